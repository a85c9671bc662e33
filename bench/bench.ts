/**
 * Times davit, Docker and Podman side by side. Each has an instance of its own, which is removed at the end.
 *   --quick   fewer rounds, and nothing is written: a look, not a result
 *   --peers   is for scripts/bench.sh, which installs Docker and Podman
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { busyboxArchive, busyboxImage } from "../test/harness/images.ts";
import { type Subject, startDavit, startDocker, startPodman } from "./engines.ts";
import { imageBytes, imageFiles, writeLargeImage } from "./image.ts";
import { inParallel, interleave, run, summarize, time } from "./measure.ts";
import { memoryOf } from "./memory.ts";
import { document, type Row, shortTable, table, withNumbers } from "./report.ts";

const repository = join(import.meta.dir, "..");
const largeImage = "davit-bench-large:latest";
const arguments_ = process.argv.slice(2);
for (const argument of arguments_) {
  if (argument !== "--quick" && argument !== "--peers") {
    console.error(`bench: unknown argument ${argument} (there are --peers and --quick)`);
    process.exit(2);
  }
}
const quick = arguments_.includes("--quick");
const rounds = quick ? { warmup: 1, counted: 5 } : { warmup: 2, counted: 21 };
const longRounds = { warmup: 0, counted: quick ? 1 : 3 };

if (process.getuid?.() !== 0) {
  console.error("bench: containers need root here; run this as root");
  process.exit(1);
}

/** Processes that wanted a processor before anything was measured. */
const foreignLoad = loadavg()[0] ?? 0;
const scratch = mkdtempSync(join(tmpdir(), "davit-bench-scratch-"));
const subjects: Subject[] = [];
let failed = false;
try {
  subjects.push(startDavit(join(repository, "dist", "davit")));
  const docker = await startDocker();
  if (docker !== undefined) subjects.push(docker);
  const podman = startPodman();
  if (podman !== undefined) subjects.push(podman);
  await measure();
} catch (error) {
  console.error(error);
  failed = true;
} finally {
  for (const subject of subjects) {
    try {
      await subject[Symbol.asyncDispose]();
    } catch (error) {
      console.error(`${subject.name} was not removed cleanly:`, error);
      failed = true;
    }
  }
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);

async function measure(): Promise<void> {
  const rows: Row[] = [];
  const add = (row: Row): void => {
    rows.push(row);
    const shown = [...row.values].map(([subject, { median }]) => `${subject.name} ${median.toFixed(1)}`);
    console.log(`${row.title}: ${shown.join(", ")} (${row.unit === "MB" ? "MB" : "ms"})`);
  };
  /** What takes so little time that the client's own counts: with Docker's other clients, too. */
  const startUp = async (title: string, limit: number, words: readonly string[]): Promise<void> => {
    add({
      title,
      unit: "ms",
      limits: { Docker: limit },
      values: await interleave(subjects, rounds, (subject) => time(subject, words)),
    });
    const docker = subjects.find(({ name }) => name === "Docker");
    for (const { command, version } of docker?.otherClients ?? []) {
      const pair = subjects.flatMap((subject) => {
        if (subject.name === "Podman") return [];
        return [subject === docker ? { ...subject, command } : subject];
      });
      add({
        title: `same, beside Docker's daemon with another client (${version})`,
        unit: "ms",
        limits: {},
        values: await interleave(pair, rounds, (subject) => time(subject, words)),
      });
    }
  };
  const busybox = await busyboxArchive();
  for (const subject of subjects) await run(subject, ["load", "-i", busybox]);
  const idle = new Map(subjects.map((subject) => [subject, memoryOf(subject)]));

  add({
    title: "`run --rm IMAGE true`, bridge network",
    unit: "ms",
    limits: { Docker: 0.2, Podman: 0.2 },
    values: await interleave(subjects, rounds, (subject) =>
      time(subject, ["run", "--rm", busyboxImage, "true"]),
    ),
  });
  add({
    title: "same, `--network none`",
    unit: "ms",
    limits: { Docker: 0.2, Podman: 0.3 },
    values: await interleave(subjects, rounds, (subject) =>
      time(subject, ["run", "--rm", "--network", "none", busyboxImage, "true"]),
    ),
  });

  const sleepers = 10;
  for (const subject of subjects) {
    for (let index = 0; index < sleepers; index += 1) await startSleeper(subject, `sleeper-${index}`);
  }
  const loaded = new Map(subjects.map((subject) => [subject, memoryOf(subject)]));
  await startUp("`exec C true`", 0.35, ["exec", "sleeper-0", "true"]);
  await startUp(`\`ps\` with ${sleepers} containers`, 0.8, ["ps"]);
  for (const subject of subjects) await removeAll(subject);

  const archive = join(scratch, "large.tar");
  writeLargeImage(archive, largeImage);
  const untilSafe = new Map<Subject, number[]>(subjects.map((subject) => [subject, []]));
  const untilReturn = await interleave(subjects, longRounds, async (subject) => {
    await run(subject, ["rmi", "-f", largeImage]).catch(() => "");
    // What others have left to be written is not this one's work.
    Bun.spawnSync(["sync"]);
    const took = await time(subject, ["load", "-q", "-i", archive]);
    const began = performance.now();
    Bun.spawnSync(["sync"]);
    untilSafe.get(subject)?.push(took + performance.now() - began);
    return took;
  });
  const large = `an image of ${Math.round(imageBytes / 1e6)} MB and ${imageFiles} files`;
  add({
    title: `\`load\` of ${large}, until it is safe on the disk`,
    unit: "s",
    limits: { Docker: 0.25 },
    values: new Map([...untilSafe].map(([subject, samples]) => [subject, summarize(samples)])),
  });
  add({ title: "same, until the command returns", unit: "s", limits: {}, values: untilReturn });
  for (const subject of subjects) await run(subject, ["rmi", "-f", largeImage]);
  Bun.spawnSync(["sync"]);

  const many = 50;
  add({
    title: `${many} × \`run -d\`, four at a time`,
    unit: "s",
    limits: { Docker: 0.3, Podman: 0.7 },
    values: await interleave(subjects, longRounds, async (subject) => {
      const began = performance.now();
      await inParallel(many, 4, (index) => startSleeper(subject, `many-${index}`));
      const took = performance.now() - began;
      await removeAll(subject);
      return took;
    }),
  });

  const perContainer = (key: "rss" | "pss") =>
    new Map(
      subjects.map((subject) => {
        const before = idle.get(subject)?.[key] ?? 0;
        const after = loaded.get(subject)?.[key] ?? 0;
        return [subject, summarize([(after - before) / sleepers / 1024])] as const;
      }),
    );
  add({
    title: "memory when nothing runs",
    unit: "MB",
    limits: { absolute: 0 },
    values: new Map(subjects.map((subject) => [subject, summarize([(idle.get(subject)?.rss ?? 0) / 1024])])),
  });
  add({
    title: "memory for each running container (RSS)",
    unit: "MB",
    limits: { absolute: 2.5 },
    values: perContainer("rss"),
  });
  add({ title: "same, shared pages divided (PSS)", unit: "MB", limits: {}, values: perContainer("pss") });

  const notes = [
    "Memory is that of the engine's own processes (daemons, shims, monitors), without what runs inside the containers.",
    "`load` is timed to its end, and on to the end of a `sync` of the disk after it: davit's own ends when the image is safe, the others do not promise that.",
    ...(foreignLoad < 0.5
      ? []
      : [
          `**The machine was busy with other work** (load ${foreignLoad.toFixed(1)} before the start): measure again when it is not.`,
        ]),
    ...(subjects.length === 3
      ? []
      : ["Not all peers were there to compare with; `npm run bench -- --peers` installs them."]),
  ];
  console.log(`\n${table({ subjects, rows, notes })}`);
  if (quick) return;
  writeFileSync(join(repository, "bench", "RESULTS.md"), document({ subjects, rows, notes }));
  // As `npm run check` wants it: columns aligned.
  Bun.spawnSync([join(repository, "node_modules/.bin/biome"), "format", "--write", "bench/RESULTS.md"], {
    cwd: repository,
  });
  const readme = join(repository, "README.md");
  writeFileSync(readme, withNumbers(readFileSync(readme, "utf8"), shortTable({ subjects, rows, notes })));
  console.log("\nwritten to bench/RESULTS.md and README.md");
}

async function startSleeper(subject: Subject, name: string): Promise<void> {
  await run(subject, ["run", "-d", "--name", name, busyboxImage, "sleep", "3600"]);
}

async function removeAll(subject: Subject): Promise<void> {
  const ids = (await run(subject, ["ps", "-aq"])).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await run(subject, [...subject.removal, ...ids]);
}
