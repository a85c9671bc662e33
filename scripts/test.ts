/**
 * Runs the tests and sums them up. First all suites side by side; then those that must have the machine to
 * themselves; then the check that nothing was left behind. Arguments: parts of file names, to run only those.
 * The last line printed is `N passed, N failed`, with `, N skipped` if there are any.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { Glob } from "bun";
import { addSums, type Sum, summaryLine, sumOf } from "./junit.ts";

/** Directories of suites that kill processes at random or boot a machine: they run after the others. */
const alone = ["test/faults/", "test/vm/"];

/** Per test, in milliseconds; bun's own default of 5 s is short for a test that starts a dockerd. */
const testTimeout = 60_000;
/** Per batch: a batch that hangs is stopped and has failed. */
const batchTimeout = 30 * 60_000;

const root = join(import.meta.dir, "..");

interface Batch {
  title: string;
  files: string[];
  workers: number;
}

async function run(batch: Batch): Promise<Sum> {
  if (batch.files.length === 0) return { passed: 0, failed: 0, skipped: 0, faults: [] };
  console.log(`\n=== ${batch.title}: ${batch.files.length} files, ${batch.workers} at a time`);
  const scratch = mkdtempSync(join(tmpdir(), "davit-report-"));
  try {
    const report = join(scratch, "junit.xml");
    const child = Bun.spawn(
      [
        process.execPath,
        "test",
        `--parallel=${batch.workers}`,
        `--timeout=${testTimeout}`,
        "--reporter=junit",
        `--reporter-outfile=${report}`,
        ...batch.files.map((file) => `./${file}`),
      ],
      { cwd: root, stdin: "ignore", stdout: "inherit", stderr: "inherit", timeout: batchTimeout },
    );
    const code = await child.exited;
    return sumOf(readReport(report), batch.files, code);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function readReport(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    console.error(`no test report: ${error}`);
    return undefined;
  }
}

/** Mounts, processes, links, tables and cgroups that the tests should have removed. */
async function checkNothingIsLeft(before: string): Promise<Sum> {
  console.log("\n=== nothing is left behind");
  const child = Bun.spawn([process.execPath, "test/harness/final-check.ts", "--since", before], {
    cwd: root,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    timeout: batchTimeout,
  });
  const clean = (await child.exited) === 0;
  return {
    passed: clean ? 1 : 0,
    failed: clean ? 0 : 1,
    skipped: 0,
    faults: clean ? [] : ["the tests left something behind (test/harness/final-check.ts)"],
  };
}

/** Writes down what other runs left, which is not this one's fault. @returns the file. */
async function recordWhatIsThere(directory: string): Promise<string> {
  const path = join(directory, "before.json");
  const child = Bun.spawn([process.execPath, "test/harness/final-check.ts", "--record", path], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if ((await child.exited) !== 0) throw new Error("what is on the machine before the tests cannot be told");
  return path;
}

const wanted = process.argv.slice(2);
const files = [...new Glob("test/**/*.test.ts").scanSync(root)]
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
const isAlone = (file: string): boolean => alone.some((directory) => file.startsWith(directory));

const total: Sum = { passed: 0, failed: 0, skipped: 0, faults: [] };
if (files.length === 0) {
  total.failed += 1;
  total.faults.push(`no test file matches ${wanted.join(" ") || "test/**/*.test.ts"}`);
} else {
  const scratch = mkdtempSync(join(tmpdir(), "davit-before-"));
  const before = await recordWhatIsThere(scratch);
  const together = files.filter((file) => !isAlone(file));
  addSums(total, await run({ title: "side by side", files: together, workers: availableParallelism() + 1 }));
  addSums(total, await run({ title: "alone", files: files.filter(isAlone), workers: 1 }));
  addSums(total, await checkNothingIsLeft(before));
  rmSync(scratch, { recursive: true, force: true });
}

console.log("");
for (const fault of total.faults) console.log(`FAILED: ${fault}`);
console.log(summaryLine(total));
process.exit(total.failed === 0 ? 0 : 1);
