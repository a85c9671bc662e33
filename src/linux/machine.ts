/** What the kernel tells of the machine, without `node:os`, which takes 0.3 ms to load. */
import { readFileSync } from "./files.ts";

/** `6.18.44-fc`: uname -r. */
export function kernelRelease(): string {
  return readFileSync("/proc/sys/kernel/osrelease", "latin1").trim();
}

/** Processors that we may run on, as sched_getaffinity(2) counts them. */
export function processorCount(): number {
  const status = readFileSync("/proc/self/status", "latin1");
  const mask = status.match(/^Cpus_allowed:\s*([0-9a-f,]+)/m)?.[1] ?? "1";
  let count = 0;
  for (let rest = BigInt(`0x${mask.replaceAll(",", "")}`); rest > 0n; rest >>= 1n) count += Number(rest & 1n);
  return count;
}

/** Of our UTS namespace. */
export function hostName(): string {
  return readFileSync("/proc/sys/kernel/hostname", "utf8").trim();
}
