/**
 * The last check of a test run: exits 1 with a list when the tests left anything on the machine.
 *   final-check.ts --record FILE   writes down what is there before the tests
 *   final-check.ts --since FILE    checks that nothing has been added to that
 */
import { readFileSync, writeFileSync } from "node:fs";
import { snapshot } from "./leaks.ts";

/** What is being freed by the kernel right now (a namespace, a cgroup) gets this long to go. */
const patience = 5_000;

const [mode, file] = process.argv.slice(2);
if (mode === "--record" && file !== undefined) {
  writeFileSync(file, JSON.stringify(snapshot()));
  process.exit(0);
}

const before: string[] =
  mode === "--since" && file !== undefined ? JSON.parse(readFileSync(file, "utf8")) : [];
const added = (): string[] => snapshot().filter((line) => !before.includes(line));

const deadline = Date.now() + patience;
let left = added();
while (left.length > 0 && Date.now() < deadline) {
  await Bun.sleep(100);
  left = added();
}
for (const line of left) console.error(`left behind: ${line}`);
console.log(left.length === 0 ? "nothing was left behind" : `${left.length} things were left behind`);
process.exit(left.length === 0 ? 0 : 1);
