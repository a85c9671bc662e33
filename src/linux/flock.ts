/** Advisory locks that the kernel gives back when the holder dies: of whole files, flock(2), and of single bytes, fcntl(2). */
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

const F_OFD_SETLK = 37;
const F_WRLCK = 1;
/** struct flock: type and whence as 16 bits each, padding, start and length as 64, pid. */
const sizeOfFlock = 32;

/**
 * Locks the one byte at `offset` (which need not exist) for this open file, if it is free; false when another open
 * file has it. So one file serves as any number of locks, and none of them leaves anything behind.
 */
export function tryLockByte(fd: number, offset: bigint, path: string): boolean {
  const request = Buffer.alloc(sizeOfFlock);
  request.writeInt16LE(F_WRLCK, 0);
  request.writeBigInt64LE(offset, 8);
  request.writeBigInt64LE(1n, 16);
  if (symbols.fcntl(fd, F_OFD_SETLK, ptr(request)) === 0) return true;
  const code = errno();
  if (["EAGAIN", "EACCES", "EINTR"].includes(errnoName(code))) return false;
  throw linuxError("fcntl", code, path);
}

/** Closing the last descriptor of the open file releases the lock. */
export function closeLockFile(fd: number): void {
  check(symbols.close(fd), "close");
}
