/**
 * Removes what an instance has in the kernel (processes, mounts, bridge, nftables table, cgroups), by force.
 * Usage: remove-instance.ts DATA_ROOT EXEC_ROOT; its directories are left to the caller.
 */
import { resolve } from "node:path";
import { describeInstance } from "../src/core/instance.ts";
import { ownershipOf } from "../test/harness/kernel.ts";
import { tearDown } from "../test/harness/teardown.ts";

const [dataRoot, execRoot] = process.argv.slice(2);
if (dataRoot === undefined || execRoot === undefined) {
  console.error("usage: remove-instance.ts DATA_ROOT EXEC_ROOT");
  process.exit(2);
}
await tearDown(ownershipOf(describeInstance(resolve(dataRoot), resolve(execRoot))));
