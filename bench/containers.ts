/** Containers: runs, execs, lists, many at once, and what each costs in memory. */
import { busyboxImage } from "../test/harness/images.ts";
import type { Subject } from "./engines.ts";
import { inParallel, interleave, run, summarize, time } from "./measure.ts";
import { memoryOf } from "./memory.ts";
import type { Part } from "./report.ts";

const sleepers = 10;
const many = 50;

export async function measureContainers(part: Part): Promise<void> {
  const { subjects, rounds, longRounds, add } = part;
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

  for (const subject of subjects) {
    for (let index = 0; index < sleepers; index += 1) await startSleeper(subject, `sleeper-${index}`);
  }
  const loaded = new Map(subjects.map((subject) => [subject, memoryOf(subject)]));
  await startUp(part, "`exec C true`", 0.35, ["exec", "sleeper-0", "true"]);
  await startUp(part, `\`ps\` with ${sleepers} containers`, 0.8, ["ps"]);
  for (const subject of subjects) await removeAll(subject);

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
  part.note(
    "Memory is that of the engine's own processes (daemons, shims, monitors), without what runs inside the containers.",
  );
}

/** What takes so little time that the client's own counts: with Docker's other clients, too. */
async function startUp(
  { subjects, rounds, add }: Part,
  title: string,
  limit: number,
  words: readonly string[],
): Promise<void> {
  const values = await interleave(subjects, rounds, (subject) => time(subject, words));
  add({ title, unit: "ms", limits: { Docker: limit }, values });
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
}

async function startSleeper(subject: Subject, name: string): Promise<void> {
  await run(subject, ["run", "-d", "--name", name, busyboxImage, "sleep", "3600"]);
}

async function removeAll(subject: Subject): Promise<void> {
  const ids = (await run(subject, ["ps", "-aq"])).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await run(subject, [...subject.removal, ...ids]);
}
