/**
 * Opening files without ever trusting a path: the kernel resolves it inside a root (openat2(2)), and names that
 * are not UTF-8 survive the way through JavaScript strings.
 */
import { errnoNumber } from "./errno.ts";
import { bytesOf, check, checkRetrying, errno, linuxError, ptr, symbols } from "./libc.ts";

export const atCurrentDirectory = -100;

/** open(2) flags, the values of x86-64 and of all architectures that share asm-generic where they differ. */
const isArm = process.arch === "arm64";
export const openFlag = {
  readOnly: 0,
  writeOnly: 0o1,
  readWrite: 0o2,
  create: 0o100,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
  nonBlocking: 0o4000,
  directory: isArm ? 0o40000 : 0o200000,
  noFollow: isArm ? 0o100000 : 0o400000,
  closeOnExec: 0o2000000,
  /** Names a file without opening it. */
  path: 0o10000000,
} as const;

/** How openat2(2) walks a path. */
export const resolve = {
  /** Mount points may not be crossed. */
  noCrossDevice: 0x01,
  /** /proc/…/fd links are not followed. */
  noMagicLinks: 0x02,
  noSymlinks: 0x04,
  /** Leaving the directory fails with EXDEV. */
  beneath: 0x08,
  /** The directory is `/`: absolute symlinks and `..` stay inside. */
  inRoot: 0x10,
} as const;

const openat2Number = 437n;

/**
 * NUL-terminated bytes of a path. Lone surrogates U+DC80…U+DCFF stand for the bytes 0x80…0xFF (see `pathText`).
 * A path that holds NUL itself is cut there by the kernel; who takes paths from outside refuses such names first.
 */
export function pathBytes(path: string): Uint8Array {
  if (path.isWellFormed()) return bytesOf(`${path}\0`);
  const bytes: number[] = [];
  for (const character of path) {
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...bytesOf(character));
  }
  bytes.push(0);
  return Uint8Array.from(bytes);
}

/** Loaded for names that look odd only. */
const nodeBuffer = (): typeof import("node:buffer") => require("node:buffer");

/** The string for a name's bytes: UTF-8, or with each byte that is not ASCII as U+DC00 + byte if it is not UTF-8. */
export function pathText(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString("utf8");
  // U+FFFD stands where bytes are not UTF-8, or for itself.
  if (!text.includes("\ufffd") || nodeBuffer().isUtf8(buffer)) return text;
  return buffer
    .toString("latin1")
    .replace(/[\x80-\xff]/g, (character) => String.fromCharCode(0xdc00 + character.charCodeAt(0)));
}

/** openat(2), close-on-exec. */
export function openAt(directory: number, path: string, flags: number, mode = 0): number {
  const name = pathBytes(path);
  return checkRetrying(
    () => symbols.openat(directory, ptr(name), flags | openFlag.closeOnExec, mode),
    "open",
    path,
  );
}

/** Opens a directory (or anything, with other flags) by its path on the host. */
export function openDirectory(path: string, flags: number = openFlag.readOnly): number {
  return openAt(atCurrentDirectory, path, flags | openFlag.directory);
}

/** Makes `to`, which is open, another name of what `from` is, and closes `from`. Closed on exec. dup3(2). */
export function moveDescriptor(from: number, to: number): void {
  try {
    checkRetrying(() => symbols.dup3(from, to, openFlag.closeOnExec), "dup3");
  } finally {
    closeFile(from);
  }
}

/** Opens what is at a path on the host for reading. */
export function openReading(path: string, flags = 0): number {
  return openAt(atCurrentDirectory, path, openFlag.readOnly | flags);
}

// struct open_how { u64 flags, mode, resolve }
const openHow = new BigUint64Array(3);

/**
 * openat2(2): opens `path` below `root`, walking as `how` (flags of `resolve`) says.
 * @throws LinuxError EXDEV (beneath, noCrossDevice) or ELOOP (noSymlinks) where the walk would break the rule.
 */
export function openResolved(root: number, path: string, flags: number, how: number, mode = 0): number {
  const result = tryOpenResolved(root, path, flags, how, mode);
  if (result < 0) throw linuxError("open", -result, path);
  return result;
}

/** As `openResolved`, but gives the negative errno instead of throwing it. */
export function tryOpenResolved(root: number, path: string, flags: number, how: number, mode = 0): number {
  const name = pathBytes(path);
  openHow[0] = BigInt(flags | openFlag.closeOnExec);
  openHow[1] = BigInt(mode);
  openHow[2] = BigInt(how);
  for (;;) {
    const fd = Number(symbols.syscall(openat2Number, root, ptr(name), ptr(openHow), 24, 0, 0));
    if (fd >= 0) return fd;
    const code = errno();
    // EAGAIN: a rename or mount elsewhere raced with the walk of `..` and the kernel cannot vouch for it.
    if (code !== errnoNumber.EINTR && code !== errnoNumber.EAGAIN) return -code;
  }
}

/** Opens `path` as a process would that has `root` as its `/`. Magic links are refused. */
export function openInRoot(root: number, path: string, flags: number, mode = 0): number {
  return openResolved(root, path, flags, resolve.inRoot | resolve.noMagicLinks, mode);
}

export function closeFile(fd: number): void {
  check(symbols.close(fd), "close");
}

/** A descriptor that `using` closes. */
export class OpenFile implements Disposable {
  readonly fd: number;
  constructor(fd: number) {
    this.fd = fd;
  }
  [Symbol.dispose](): void {
    closeFile(this.fd);
  }
}

/** The name under which other calls reach what `fd` holds (and `name` in it, not followed by l… calls). */
export function descriptorPath(fd: number, name?: string): string {
  return name === undefined ? `/proc/self/fd/${fd}` : `/proc/self/fd/${fd}/${name}`;
}
