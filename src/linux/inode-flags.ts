/** Flags of inodes, as chattr(1) sets them. ioctl_iflags(2). */
import { errnoNumber } from "./errno.ts";
import { errno, linuxError, ptr, symbols } from "./libc.ts";
import { closeFile, openDirectory } from "./paths.ts";

// The kernel reads and writes 32 bits, whatever size the numbers of these calls claim.
const FS_IOC_GETFLAGS = 0x80086601n;
const FS_IOC_SETFLAGS = 0x40086602n;
const FS_TOPDIR_FL = 0x00020000;

const flags = new Uint32Array(2);
const unsupported = new Set<number>([
  errnoNumber.ENOTTY,
  errnoNumber.EOPNOTSUPP,
  errnoNumber.EINVAL,
  errnoNumber.EPERM,
]);

/**
 * Asks the file system to put each new subdirectory of `directory` into another part of the disk (`chattr +T`).
 * ext4 keeps the files of a tree near their directory and, for a minute or more, goes around each inode that was
 * deleted there: a tree that is made where another was just removed costs four times the work. Spread out, it is not.
 * @returns false where the file system knows no such flag.
 */
export function spreadSubdirectories(directory: string): boolean {
  const fd = openDirectory(directory);
  try {
    if (!control(fd, FS_IOC_GETFLAGS, directory)) return false;
    flags[0] = (flags[0] ?? 0) | FS_TOPDIR_FL;
    return control(fd, FS_IOC_SETFLAGS, directory);
  } finally {
    closeFile(fd);
  }
}

function control(fd: number, request: bigint, path: string): boolean {
  if (symbols.ioctl(fd, request, ptr(flags)) === 0) return true;
  const code = errno();
  if (unsupported.has(code)) return false;
  throw linuxError("ioctl", code, path);
}
