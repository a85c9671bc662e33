/** The last check of a test run: exits 1 with a list when the tests left anything on the machine. */
import { snapshot } from "./leaks.ts";

/** What is being freed by the kernel right now (a namespace, a cgroup) gets this long to go. */
const patience = 5_000;

const deadline = Date.now() + patience;
let left = snapshot();
while (left.length > 0 && Date.now() < deadline) {
  await Bun.sleep(100);
  left = snapshot();
}
for (const line of left) console.error(`left behind: ${line}`);
console.log(left.length === 0 ? "nothing was left behind" : `${left.length} things were left behind`);
process.exit(left.length === 0 ? 0 : 1);
