/**
 * Times davit, Docker and Podman side by side. Each has an instance of its own, which is removed at the end.
 *   --quick   fewer rounds, and nothing is written: a look, not a result
 *   --only=P  one part only (containers, load, transfers, builds); nothing is written
 *   --peers   is for scripts/bench.sh, which installs Docker and Podman
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { busyboxArchive } from "../test/harness/images.ts";
import { measureBuilds } from "./builds.ts";
import { measureContainers } from "./containers.ts";
import { type Subject, startDavit, startDocker, startPodman } from "./engines.ts";
import { measureLoad } from "./load.ts";
import { run } from "./measure.ts";
import { document, type Part, type Report, type Row, shortTable, table, withNumbers } from "./report.ts";
import { measureTransfers } from "./transfers.ts";

const repository = join(import.meta.dir, "..");
const parts = {
  containers: measureContainers,
  load: measureLoad,
  transfers: measureTransfers,
  builds: measureBuilds,
};
const arguments_ = process.argv.slice(2);
const only = arguments_.find((argument) => argument.startsWith("--only="))?.slice("--only=".length);
for (const argument of arguments_) {
  if (!["--quick", "--peers", `--only=${only}`].includes(argument)) {
    console.error(`bench: unknown argument ${argument} (there are --peers, --quick and --only=PART)`);
    process.exit(2);
  }
}
if (only !== undefined && !Object.hasOwn(parts, only)) {
  console.error(`bench: there is no part ${only} (there are ${Object.keys(parts).join(", ")})`);
  process.exit(2);
}
const quick = arguments_.includes("--quick");

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
  const notes: string[] = [];
  const part: Part = {
    subjects,
    rounds: quick ? { warmup: 1, counted: 5 } : { warmup: 2, counted: 21 },
    longRounds: { warmup: 0, counted: quick ? 1 : 3 },
    scratch,
    add: (row) => {
      rows.push(row);
      const shown = [...row.values].map(([subject, { median }]) => `${subject.name} ${median.toFixed(1)}`);
      console.log(`${row.title}: ${shown.join(", ")} (${row.unit === "MB" ? "MB" : "ms"})`);
    },
    note: (text) => notes.push(text),
  };
  const busybox = await busyboxArchive();
  for (const subject of subjects) await run(subject, ["load", "-i", busybox]);
  for (const [name, measurePart] of Object.entries(parts)) {
    if (only === undefined || only === name) await measurePart(part);
  }
  if (foreignLoad >= 0.5) {
    const load = foreignLoad.toFixed(1);
    notes.push(
      `**The machine was busy with other work** (load ${load} before the start): measure again when it is not.`,
    );
  }
  if (subjects.length < 3) {
    notes.push("Not all peers were there to compare with; `npm run bench -- --peers` installs them.");
  }
  const report = { subjects, rows, notes };
  console.log(`\n${table(report)}`);
  if (!quick && only === undefined) write(report);
}

function write(report: Report): void {
  writeFileSync(join(repository, "bench", "RESULTS.md"), document(report));
  // As `npm run check` wants it: columns aligned.
  Bun.spawnSync([join(repository, "node_modules/.bin/biome"), "format", "--write", "bench/RESULTS.md"], {
    cwd: repository,
  });
  const readme = join(repository, "README.md");
  writeFileSync(readme, withNumbers(readFileSync(readme, "utf8"), shortTable(report)));
  console.log("\nwritten to bench/RESULTS.md and README.md");
}
