/**
 * Removes what an instance has in the kernel (processes, mounts, bridge, nftables table, cgroups), by force.
 * Usage: remove-instance.ts DIRECTORY, whose `data` and `run` are the instance's roots. The directory itself is left.
 */
import { join, resolve } from "node:path";
import { describeInstance } from "../src/core/instance.ts";
import { ownershipOf } from "../test/harness/kernel.ts";
import { tearDown } from "../test/harness/teardown.ts";

const [directory] = process.argv.slice(2);
if (directory === undefined) {
  console.error("usage: remove-instance.ts DIRECTORY");
  process.exit(2);
}
const top = resolve(directory);
await tearDown(ownershipOf(describeInstance(join(top, "data"), join(top, "run"))));
