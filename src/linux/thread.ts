/** What belongs to one thread of this process, once it asks for it. */
import { symbols } from "./libc.ts";

const CLONE_FS = 0x200;

/**
 * Gives the calling thread a working directory and a umask of its own, and clears that umask: open(2) and mkdir(2) on
 * this thread give exactly the mode that they are asked for. False where the kernel refuses.
 */
export function unshareFileSystemState(): boolean {
  if (symbols.unshare(CLONE_FS) !== 0) return false;
  symbols.umask(0);
  return true;
}
