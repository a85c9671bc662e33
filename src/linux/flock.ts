/** Advisory whole-file locks that the kernel gives back when the holder dies. flock(2). */
import { check, checkRetrying, cstring, errno, errnoName, linuxError, ptr, symbols } from "./libc.ts";

const AT_FDCWD = -100;
const O_RDWR_CREAT_CLOEXEC = 0o2 | 0o100 | 0o2000000;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Opens (and makes, mode 0600) the file that a lock lives on. Not inherited by children. */
export function openLockFile(path: string): number {
  const name = cstring(path);
  return checkRetrying(() => symbols.openat(AT_FDCWD, ptr(name), O_RDWR_CREAT_CLOEXEC, 0o600), "open", path);
}

/** Takes the lock if it is free; false when another open file holds it. */
export function tryLock(fd: number, mode: "shared" | "exclusive", path: string): boolean {
  if (symbols.flock(fd, (mode === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true;
  const code = errno();
  if (errnoName(code) === "EAGAIN" || errnoName(code) === "EINTR") return false;
  throw linuxError("flock", code, path);
}

/** Closing the last descriptor of the open file releases the lock. */
export function closeLockFile(fd: number): void {
  check(symbols.close(fd), "close");
}
