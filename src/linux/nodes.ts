/** Making and changing files, directories, links and devices, each relative to an open directory. */
import { errnoNumber } from "./errno.ts";
import { check, checkRetrying, errno, linuxError, ptr, symbols } from "./libc.ts";
import { atCurrentDirectory, pathBytes, pathText } from "./paths.ts";

const { EINTR } = errnoNumber;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_EMPTY_PATH = 0x1000;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** Type bits of st_mode. */
export const nodeType = {
  mask: 0o170000,
  socket: 0o140000,
  symlink: 0o120000,
  file: 0o100000,
  blockDevice: 0o060000,
  directory: 0o040000,
  characterDevice: 0o020000,
  fifo: 0o010000,
} as const;

/** @param mode less the umask. @throws LinuxError */
export function makeDirectoryAt(directory: number, name: string, mode: number): void {
  const bytes = pathBytes(name);
  check(symbols.mkdirat(directory, ptr(bytes), mode), "mkdir", name);
}

/** @param target is not looked at. @throws LinuxError */
export function makeSymlinkAt(target: string, directory: number, name: string): void {
  const from = pathBytes(target);
  const to = pathBytes(name);
  check(symbols.symlinkat(ptr(from), directory, ptr(to)), "symlink", name);
}

/** Hard link; a symlink as source is linked itself, never followed. */
export function linkAt(fromDirectory: number, from: string, toDirectory: number, to: string): void {
  const source = pathBytes(from);
  const target = pathBytes(to);
  check(symbols.linkat(fromDirectory, ptr(source), toDirectory, ptr(target), 0), "link", to);
}

/** Hard link to what a descriptor (also O_PATH) holds. */
export function linkDescriptor(fd: number, toDirectory: number, to: string): void {
  const source = pathBytes(`/proc/self/fd/${fd}`);
  const target = pathBytes(to);
  check(symbols.linkat(-100, ptr(source), toDirectory, ptr(target), AT_SYMLINK_FOLLOW), "link", to);
}

/** The kernel's dev_t as mknod(2) takes it. */
export function deviceNumber(major: number, minor: number): bigint {
  const high = BigInt(major);
  const low = BigInt(minor);
  return (
    ((high & 0xffff_f000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffff_ff00n) << 12n) | (low & 0xffn)
  );
}

/** @param mode type bits (`nodeType`) and permission bits. */
export function makeNodeAt(directory: number, name: string, mode: number, device = 0n): void {
  const bytes = pathBytes(name);
  check(symbols.mknodat(directory, ptr(bytes), mode, device), "mknod", name);
}

/** Anything but a directory. @throws LinuxError */
export function unlinkAt(directory: number, name: string): void {
  const bytes = pathBytes(name);
  check(symbols.unlinkat(directory, ptr(bytes), 0), "unlink", name);
}

/** An empty one. @throws LinuxError */
export function removeDirectoryAt(directory: number, name: string): void {
  const bytes = pathBytes(name);
  check(symbols.unlinkat(directory, ptr(bytes), AT_REMOVEDIR), "rmdir", name);
}

/** Symlinks are changed themselves, not followed. Clears setuid, setgid and file capabilities of files. */
export function changeOwnerAt(directory: number, name: string, uid: number, gid: number): void {
  const bytes = pathBytes(name);
  check(symbols.fchownat(directory, ptr(bytes), uid, gid, AT_SYMLINK_NOFOLLOW), "chown", name);
}

export function changeOwner(fd: number, uid: number, gid: number): void {
  check(symbols.fchown(fd, uid, gid), "fchown");
}

/** Follows symlinks (Linux keeps no mode for them): only for names known not to be one. */
export function changeModeAt(directory: number, name: string, mode: number): void {
  const bytes = pathBytes(name);
  check(symbols.fchmodat(directory, ptr(bytes), mode, 0), "chmod", name);
}

export function changeMode(fd: number, mode: number): void {
  check(symbols.fchmod(fd, mode), "fchmod");
}

// struct timespec[2]: access, modification
const times = new BigInt64Array(4);
const billion = 1_000_000_000n;
let filled: { atime: bigint; mtime: bigint } = { atime: 0n, mtime: 0n };

function fillTimes(atime: bigint, mtime: bigint): void {
  // Archives give many files the same times.
  if (atime === filled.atime && mtime === filled.mtime) return;
  filled = { atime, mtime };
  [atime, mtime].forEach((time, index) => {
    const nanoseconds = ((time % billion) + billion) % billion;
    times[index * 2] = (time - nanoseconds) / billion;
    times[index * 2 + 1] = nanoseconds;
  });
}

/** Nanoseconds since 1970, also before it. Symlinks are not followed. */
export function setTimesAt(directory: number, name: string, atime: bigint, mtime: bigint): void {
  const bytes = pathBytes(name);
  fillTimes(atime, mtime);
  check(symbols.utimensat(directory, ptr(bytes), ptr(times), AT_SYMLINK_NOFOLLOW), "utimensat", name);
}

export function setTimes(fd: number, atime: bigint, mtime: bigint): void {
  fillTimes(atime, mtime);
  check(symbols.futimens(fd, ptr(times)), "futimens");
}

/** Writes all of `bytes` at `offset`. */
export function writeAt(fd: number, bytes: Uint8Array, offset: number, path?: string): void {
  let done = 0;
  while (done < bytes.length) {
    const start = ptr(bytes, done);
    done += checkRetrying(() => symbols.pwrite(fd, start, bytes.length - done, offset + done), "write", path);
  }
}

/** Reads into `buffer` at `offset` of the file; the bytes read, 0 at its end. */
export function readAt(fd: number, buffer: Uint8Array, offset: number, path?: string): number {
  if (buffer.length === 0) return 0;
  return checkRetrying(() => symbols.pread(fd, ptr(buffer), buffer.length, offset), "read", path);
}

/** Sets the size; what is added is a hole. */
export function truncate(fd: number, size: number, path?: string): void {
  check(symbols.ftruncate(fd, size), "ftruncate", path);
}

/** The next run of data at or after `offset`, or undefined when only a hole is left. */
export function nextData(fd: number, offset: number): { start: number; end: number } | undefined {
  const start = Number(symbols.lseek(fd, offset, SEEK_DATA));
  if (start < 0) {
    const code = errno();
    if (code === errnoNumber.ENXIO) return undefined;
    throw linuxError("lseek", code);
  }
  return { start, end: check(symbols.lseek(fd, start, SEEK_HOLE), "lseek") };
}

/** Where a symlink points, undecided whether that exists. `name` may be empty for an O_PATH descriptor of one. */
export function readSymlinkAt(directory: number, name: string): string {
  const path = pathBytes(name);
  const buffer = new Uint8Array(4096);
  const length = check(
    symbols.readlinkat(directory, ptr(path), ptr(buffer), buffer.length),
    "readlink",
    name,
  );
  return pathText(buffer.subarray(0, length));
}

/** What stat(2) tells; times in nanoseconds since 1970. */
export interface NodeStatus {
  /** Type and permission bits. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Number of names (hard links). */
  links: number;
  inode: bigint;
  /** Allocated bytes. */
  allocated: number;
  atime: bigint;
  mtime: bigint;
  ctime: bigint;
  /** When it was made; 0 where the file system does not tell. */
  birth: bigint;
  /** Of a device node. */
  deviceMajor: number;
  deviceMinor: number;
  /** The file system that it lies on. */
  device: bigint;
}

/** All of stat(2), and when it was made. */
const STATX_BASIC_STATS_AND_BTIME = 0xfff;
const statxBytes = new Uint8Array(256);
const statxView = new DataView(statxBytes.buffer);

/** lstat: symlinks are not followed. An empty `name` means the descriptor itself. */
export function statusAt(directory: number, name: string): NodeStatus {
  const status = tryStatusAt(directory, name);
  if (status === undefined) throw linuxError("lstat", errnoNumber.ENOENT, name);
  return status;
}

/** As `statusAt`; undefined where there is nothing of that name. */
export function tryStatusAt(directory: number, name: string): NodeStatus | undefined {
  return tryStatus(directory, name, AT_SYMLINK_NOFOLLOW | (name === "" ? AT_EMPTY_PATH : 0));
}

/** stat: symlinks are followed. undefined where there is nothing. */
export function tryPathStatus(path: string): NodeStatus | undefined {
  return tryStatus(atCurrentDirectory, path, 0);
}

/** stat: symlinks are followed. @throws LinuxError */
export function pathStatus(path: string): NodeStatus {
  const status = tryPathStatus(path);
  if (status === undefined) throw linuxError("stat", errnoNumber.ENOENT, path);
  return status;
}

function tryStatus(directory: number, name: string, flags: number): NodeStatus | undefined {
  const path = pathBytes(name);
  if (symbols.statx(directory, ptr(path), flags, STATX_BASIC_STATS_AND_BTIME, ptr(statxBytes)) !== 0) {
    const code = errno();
    if (code === errnoNumber.ENOENT) return undefined;
    if (code === EINTR) return tryStatus(directory, name, flags);
    throw linuxError((flags & AT_SYMLINK_NOFOLLOW) === 0 ? "stat" : "lstat", code, name);
  }
  const view = statxView;
  const time = (at: number) => view.getBigInt64(at, true) * billion + BigInt(view.getUint32(at + 8, true));
  return {
    links: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    mode: view.getUint16(28, true),
    inode: view.getBigUint64(32, true),
    size: Number(view.getBigUint64(40, true)),
    allocated: Number(view.getBigUint64(48, true)) * 512,
    atime: time(64),
    birth: time(80),
    ctime: time(96),
    mtime: time(112),
    deviceMajor: view.getUint32(128, true),
    deviceMinor: view.getUint32(132, true),
    device: (BigInt(view.getUint32(136, true)) << 32n) | BigInt(view.getUint32(140, true)),
  };
}

/** Overlay's mark of a deletion: a character device with number 0/0. */
export function isWhiteout(status: NodeStatus): boolean {
  return (
    (status.mode & nodeType.mask) === nodeType.characterDevice &&
    status.deviceMajor === 0 &&
    status.deviceMinor === 0
  );
}
