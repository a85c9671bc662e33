/** The moment in which a container's first process turns from the runtime's program into the container's own. */

import { hasErrno } from "../core/errors.ts";
import { readlinkSync } from "../linux/files.ts";

/** Looks without a pause before the first one, and milliseconds in all: the kernel needs a fraction of one. */
const eagerLooks = 32;
const patience = 100;

/** What a process runs now; undefined when it has ended. */
export function programOfProcess(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/**
 * Returns when the process runs another program than `before`, or has ended: whoever asks for the container's
 * processes after its start is shown the container's, not the runtime's.
 */
export async function untilReplaced(pid: number, before: string | undefined): Promise<void> {
  const deadline = performance.now() + patience;
  for (let look = 0; before !== undefined && programOfProcess(pid) === before; look += 1) {
    if (look < eagerLooks) continue;
    if (performance.now() > deadline) return;
    await Bun.sleep(1);
  }
}
