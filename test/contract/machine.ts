/** What this machine lets the engines do. */
import { readFileSync } from "node:fs";
import type { Subject } from "./subjects.ts";

/** The capabilities that this process may use and pass on, as /proc/self/status shows CapEff. */
export function ownCapabilities(): string {
  return statusField("CapBnd");
}

/**
 * runc 1.1 asks for every capability that the kernel knows and fails when root here does not have them all (in some
 * virtual machines and containers); davit gives what there is.
 */
export function cannotGrantAllCapabilities(subject: Subject): boolean {
  if (subject.name !== "docker") return false;
  const last = Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8"));
  return BigInt(`0x${ownCapabilities()}`) !== (1n << BigInt(last + 1)) - 1n;
}

function statusField(name: string): string {
  const line = readFileSync("/proc/self/status", "utf8")
    .split("\n")
    .find((text) => text.startsWith(`${name}:`));
  if (line === undefined) throw new Error(`/proc/self/status has no ${name}`);
  return line.slice(name.length + 1).trim();
}
