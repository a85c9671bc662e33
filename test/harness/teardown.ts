/** Takes away, by force and without davit, what an instance has in the kernel. */
import { existsSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "../../src/core/errors.ts";
import { unmountIfMounted } from "../../src/linux/mounts.ts";
import { findInKernel, type KernelFacts, type Ownership } from "./kernel.ts";

const attempts = 100;
const pause = 50;

/** @throws when something does not go away. */
export async function tearDown(owner: Ownership): Promise<void> {
  let facts = findInKernel(owner);
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    removeOnce(facts);
    facts = findInKernel(owner);
    if (describeFacts(facts).length === 0) return;
    await Bun.sleep(pause);
  }
  throw new Error(`could not be removed:\n${describeFacts(facts).join("\n")}`);
}

/** One line for each thing. */
export function describeFacts(facts: KernelFacts): string[] {
  return [
    ...facts.mounts.map((path) => `mount ${path}`),
    ...facts.processes.map(({ pid, command }) => `process ${pid}: ${command}`),
    ...facts.links.map((name) => `link ${name}`),
    ...facts.tables.map((table) => `nftables table ${table}`),
    ...facts.cgroups.map((path) => `cgroup ${path}`),
  ];
}

function removeOnce(facts: KernelFacts): void {
  for (const { pid } of facts.processes) kill(pid);
  for (const path of facts.cgroups) thaw(path);
  for (const path of facts.mounts.toReversed()) unmountIfMounted(path);
  for (const name of facts.links) Bun.spawnSync(["ip", "link", "delete", name]);
  for (const table of facts.tables) Bun.spawnSync(["nft", "delete", "table", ...table.split(" ")]);
  for (const path of facts.cgroups) {
    try {
      rmdirSync(path);
    } catch (error) {
      // Its processes are still on their way out, or it went with them: the next attempt will tell.
      if (!hasErrno(error, "EBUSY", "ENOTEMPTY", "ENOENT")) throw error;
    }
  }
}

/** A paused process does not die before it is thawed. */
function thaw(cgroup: string): void {
  for (const [file, word] of [
    ["freezer.state", "THAWED"],
    ["cgroup.freeze", "0"],
  ] as const) {
    const path = join(cgroup, file);
    if (existsSync(path)) writeFileSync(path, word);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!hasErrno(error, "ESRCH")) throw error;
  }
}
