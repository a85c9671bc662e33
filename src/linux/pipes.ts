/** Pipes. Bun gives a program's output socket pairs, which cannot be opened anew by way of /dev/stderr. pipe(7). */
import { check, ptr, symbols } from "./libc.ts";

const O_CLOEXEC = 0o2000000;

/** A pipe, both ends of which are close-on-exec, and closed by the caller. */
export function openPipe(): { reader: number; writer: number } {
  const fds = new Int32Array(2);
  check(symbols.pipe2(ptr(fds), O_CLOEXEC), "pipe2");
  const [reader = -1, writer = -1] = fds;
  return { reader, writer };
}
