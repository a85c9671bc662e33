/** Tells one run of the machine from the next. */
import { readFileSync } from "./files.ts";

/** The kernel's random name for this boot. random(4) */
export function currentBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
}
