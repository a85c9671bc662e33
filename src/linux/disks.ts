/** File systems as a whole: what kind, how much is free, flushing, copying inside one. */
import { errnoNumber } from "./errno.ts";
import { check, checkRetrying, errno, linuxError, ptr, symbols } from "./libc.ts";
import { closeFile, openDirectory, pathBytes } from "./paths.ts";

export interface FileSystemStatus {
  /** f_type: 0xef53 is ext4, 0x794c7630 overlay … */
  magic: number;
  /** Bytes that an ordinary user may still write. */
  freeBytes: number;
  totalBytes: number;
  /** Undefined where the file system does not count inodes (btrfs). */
  freeInodes: number | undefined;
}

// struct statfs, 64-bit: type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen, frsize, flags
const words = new BigInt64Array(15);

function decode(): FileSystemStatus {
  const blockSize = Number(words[1] ?? 0n);
  const inodes = Number(words[5] ?? 0n);
  return {
    magic: Number((words[0] ?? 0n) & 0xffff_ffffn),
    totalBytes: Number(words[2] ?? 0n) * blockSize,
    freeBytes: Number(words[4] ?? 0n) * blockSize,
    freeInodes: inodes === 0 ? undefined : Number(words[6] ?? 0n),
  };
}

/** Of the file system that a path, or an open file, lies on. statfs(2). @throws LinuxError */
export function fileSystemStatus(path: string | number): FileSystemStatus {
  if (typeof path === "number") {
    check(symbols.fstatfs(path, ptr(words)), "fstatfs");
  } else {
    const bytes = pathBytes(path);
    check(symbols.statfs(ptr(bytes), ptr(words)), "statfs", path);
  }
  return decode();
}

export const fileSystemMagic = {
  overlay: 0x794c7630,
  btrfs: 0x9123683e,
  tmpfs: 0x01021994,
  ext4: 0xef53,
} as const;

/** Writes everything of the file system that holds `directory` to the disk. */
export function syncFileSystem(directory: string): void {
  const fd = openDirectory(directory);
  try {
    checkRetrying(() => symbols.syncfs(fd), "syncfs", directory);
  } finally {
    closeFile(fd);
  }
}

const SYNC_FILE_RANGE_WRITE = 2;

/**
 * Lets the kernel begin to write a part of a file to the disk, and does not wait. Nothing is safe by this alone; a
 * later sync has less to do. Without effect where the file system cannot.
 * @param length bytes; 0 up to the end of the file.
 */
export function startWriting(fd: number, offset: number, length: number): void {
  symbols.sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE);
}

const FICLONE = 0x40049409n;

/** Makes `to` share the data of `from`, where the file system can (btrfs, xfs); false where it cannot. */
export function tryReflink(from: number, to: number): boolean {
  // The third argument of this ioctl is the descriptor itself, not a pointer.
  return Number(symbols.syscall(process.arch === "arm64" ? 29n : 16n, to, FICLONE, from, 0, 0, 0)) === 0;
}

const offsets = new BigInt64Array(2);

/**
 * Copies `length` bytes at `offset` to the same place in another file, inside the kernel.
 * False (nothing copied) where the two file systems do not support it together.
 */
export function tryCopyRange(from: number, to: number, offset: number, length: number): boolean {
  return copyRange({ fd: from, offset }, { fd: to, offset }, length) !== undefined;
}

/**
 * Copies inside the kernel. Returns the bytes copied: fewer than `length` where the source ends before; undefined
 * (nothing copied) where the two file systems do not support it together.
 */
export function copyRange(
  from: { fd: number; offset: number },
  to: { fd: number; offset: number },
  length: number,
): number | undefined {
  offsets[0] = BigInt(from.offset);
  offsets[1] = BigInt(to.offset);
  let left = length;
  while (left > 0) {
    const copied = Number(symbols.copy_file_range(from.fd, ptr(offsets, 0), to.fd, ptr(offsets, 8), left, 0));
    if (copied > 0) left -= copied;
    else if (copied === 0) break;
    else {
      const code = errno();
      if (code === errnoNumber.EINTR) continue;
      if (left === length && unsupported.has(code)) return undefined;
      throw linuxError("copy_file_range", code);
    }
  }
  return length - left;
}

const unsupported = new Set<number>([
  errnoNumber.EXDEV,
  errnoNumber.ENOSYS,
  errnoNumber.EOPNOTSUPP,
  errnoNumber.EINVAL,
]);
