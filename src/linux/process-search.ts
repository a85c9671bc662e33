/** Finds processes by their command line, for repair after a crash only: it looks at every process. */

import { hasErrno } from "../core/errors.ts";
import { readdirSync, readFileSync } from "./files.ts";

/** Pids of processes one of whose arguments is, or begins with a flag and ends with, exactly `argument`. */
export function processesWithArgument(argument: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => argumentsOf(name).some((word) => word === argument || word.endsWith(`=${argument}`)))
    .map(Number);
}

function argumentsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch (error) {
    // It ended between the listing and the look.
    if (hasErrno(error, "ENOENT", "ESRCH")) return [];
    throw error;
  }
}
