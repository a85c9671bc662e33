/** Mounts: mount(2), umount2(2) and the fd-based API (fsopen, fsconfig, fsmount, move_mount, mount_setattr). */

import { LinuxError } from "../core/errors.ts";
import { errnoNumber } from "./errno.ts";
import { check, cstring, errno, errnoName, linuxError, ptr, symbols } from "./libc.ts";
import { atCurrentDirectory, closeFile, pathBytes } from "./paths.ts";

/** Flags of mount(2). */
export const mountFlag = {
  readOnly: 1,
  noSetuid: 2,
  noDevices: 4,
  noExec: 8,
  synchronous: 16,
  remount: 32,
  noAtime: 1024,
  noDirAtime: 2048,
  bind: 4096,
  move: 8192,
  recursive: 16384,
  silent: 32768,
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relatime: 1 << 21,
  strictAtime: 1 << 24,
} as const;

/**
 * mount(2).
 * @param data the file system's own options, comma-separated; at most 4095 bytes.
 */
export function mount(
  source: string | undefined,
  target: string,
  type: string | undefined,
  flags: number,
  data?: string,
): void {
  const from = source === undefined ? null : pathBytes(source);
  const to = pathBytes(target);
  const kind = type === undefined ? null : cstring(type);
  const options = data === undefined ? null : pathBytes(data);
  check(
    symbols.mount(from && ptr(from), ptr(to), kind && ptr(kind), BigInt(flags), options && ptr(options)),
    "mount",
    target,
  );
}

export interface BindOptions {
  /** With all that is mounted below `source`. */
  recursive?: boolean;
  readOnly?: boolean;
}

/** Shows `source` (a directory or file) at `target`. `recursive` with `readOnly` makes every mount below read-only. */
export function bindMount(source: string, target: string, options: BindOptions = {}): void {
  const recursive = options.recursive === true;
  mount(source, target, undefined, mountFlag.bind | (recursive ? mountFlag.recursive : 0));
  if (options.readOnly !== true) return;
  try {
    setMountAttributes(target, { set: mountAttribute.readOnly, recursive });
  } catch (error) {
    unmount(target, { detach: true });
    throw error;
  }
}

const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/** @param options.detach unmount even if it is in use: it disappears now and is freed when nobody uses it. */
export function unmount(target: string, options: { detach?: boolean } = {}): void {
  const path = pathBytes(target);
  const flags = UMOUNT_NOFOLLOW | (options.detach === true ? MNT_DETACH : 0);
  check(symbols.umount2(ptr(path), flags), "umount", target);
}

/** Detaches what is mounted at `target`, however often. True if something was; no error when it is not there. */
export function unmountIfMounted(target: string): boolean {
  const path = pathBytes(target);
  for (let found = false; ; found = true) {
    if (symbols.umount2(ptr(path), UMOUNT_NOFOLLOW | MNT_DETACH) === 0) continue;
    const code = errno();
    if (code === errnoNumber.EINVAL || code === errnoNumber.ENOENT) return found;
    throw linuxError("umount", code, target);
  }
}

const STATX_ATTR_MOUNT_ROOT = 0x2000n;
const statxBytes = new Uint8Array(256);
const statxView = new DataView(statxBytes.buffer);
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_NO_AUTOMOUNT = 0x800;

/** True when something is mounted at exactly `path`. False when it is not there. */
export function isMountPoint(path: string): boolean {
  const name = pathBytes(path);
  const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  if (symbols.statx(atCurrentDirectory, ptr(name), flags, 0, ptr(statxBytes)) !== 0) {
    const code = errno();
    if (code === errnoNumber.ENOENT || code === errnoNumber.ENOTDIR) return false;
    throw linuxError("statx", code, path);
  }
  return (statxView.getBigUint64(8, true) & STATX_ATTR_MOUNT_ROOT) !== 0n;
}

// One number on all architectures: they came after the numbers were unified.
const systemCall = {
  openTree: 428n,
  moveMount: 429n,
  fsopen: 430n,
  fsconfig: 431n,
  fsmount: 432n,
  mountSetattr: 442n,
} as const;

/** Attributes of a mount, for `setMountAttributes` and `createMount` (MOUNT_ATTR_…). */
export const mountAttribute = {
  readOnly: 0x1,
  noSetuid: 0x2,
  noDevices: 0x4,
  noExec: 0x8,
  noAtime: 0x10,
  strictAtime: 0x20,
  noDirAtime: 0x80,
  noSymlinkFollow: 0x200000,
} as const;

const AT_RECURSIVE = 0x8000;

export interface MountAttributes {
  /** Bits of `mountAttribute`. */
  set?: number;
  clear?: number;
  propagation?: "private" | "slave" | "shared" | "unbindable";
  /** Also every mount below. */
  recursive?: boolean;
}

/** mount_setattr(2). Needs Linux 5.12: @throws LinuxError ENOSYS before. */
export function setMountAttributes(target: string, attributes: MountAttributes): void {
  const path = pathBytes(target);
  const propagation = attributes.propagation === undefined ? 0 : mountFlag[attributes.propagation];
  // struct mount_attr { u64 attr_set, attr_clr, propagation, userns_fd }
  const bits = new BigUint64Array([
    BigInt(attributes.set ?? 0),
    BigInt(attributes.clear ?? 0),
    BigInt(propagation),
    0n,
  ]);
  const flags = attributes.recursive === true ? AT_RECURSIVE : 0;
  check(
    symbols.syscall(systemCall.mountSetattr, atCurrentDirectory, ptr(path), flags, ptr(bits), 32, 0),
    "mount_setattr",
    target,
  );
}

const FSOPEN_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

/** One option: a flag, or a key with a value of at most 255 bytes. */
export type FileSystemOption = readonly [key: string] | readonly [key: string, value: string];

/**
 * Makes a file system from options and mounts it: fsopen, fsconfig for each option in order, fsmount, move_mount.
 * @param attributes bits of `mountAttribute`
 * @throws LinuxError with the kernel's own explanation in its message where it gave one; ENOSYS before Linux 5.2.
 */
export function mountFileSystem(
  type: string,
  target: string,
  options: readonly FileSystemOption[],
  attributes = 0,
): void {
  const kind = cstring(type);
  const context = check(
    symbols.syscall(systemCall.fsopen, ptr(kind), FSOPEN_CLOEXEC, 0, 0, 0, 0),
    "fsopen",
    type,
  );
  try {
    for (const [key, value] of options) configure(context, type, key, value);
    checkContext(
      symbols.syscall(systemCall.fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0, 0),
      context,
      `mount ${type}`,
      target,
    );
    const mounted = checkContext(
      symbols.syscall(systemCall.fsmount, context, FSMOUNT_CLOEXEC, attributes, 0, 0, 0),
      context,
      "fsmount",
      target,
    );
    try {
      attach(mounted, target);
    } finally {
      closeFile(mounted);
    }
  } finally {
    closeFile(context);
  }
}

function configure(context: number, type: string, key: string, value: string | undefined): void {
  const name = cstring(key);
  const text = value === undefined ? null : pathBytes(value);
  const command = value === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
  checkContext(
    symbols.syscall(systemCall.fsconfig, context, command, ptr(name), text === null ? 0 : ptr(text), 0, 0),
    context,
    `mount ${type}: option ${key}`,
    value,
  );
}

function attach(mounted: number, target: string): void {
  const nothing = cstring("");
  const path = pathBytes(target);
  check(
    symbols.syscall(
      systemCall.moveMount,
      mounted,
      ptr(nothing),
      atCurrentDirectory,
      ptr(path),
      MOVE_MOUNT_F_EMPTY_PATH,
      0,
    ),
    "move_mount",
    target,
  );
}

/** As `check`, with what the kernel wrote into the context's log as the explanation. */
function checkContext(result: number | bigint, context: number, syscall: string, path?: string): number {
  const value = Number(result);
  if (value >= 0) return value;
  const code = errno();
  const log = readContextLog(context);
  if (log === "") throw linuxError(syscall, code, path);
  throw new LinuxError(syscall, code, errnoName(code), log, path);
}

function readContextLog(context: number): string {
  const lines: string[] = [];
  const buffer = Buffer.alloc(1024);
  for (;;) {
    const length = Number(symbols.read(context, ptr(buffer), buffer.length));
    if (length <= 0) return lines.join("; ");
    // Each message begins with its level: "e overlay: …".
    lines.push(
      buffer
        .toString("utf8", 0, length)
        .replace(/^[ewi] /, "")
        .trim(),
    );
  }
}

/** Runs `work` with another working directory: mount(2) then takes short relative names. Synchronous by design. */
export function inDirectory<Result>(directory: number, work: () => Result): Result {
  const dot = cstring(".");
  const O_PATH_DIRECTORY_CLOEXEC = 0o10000000 | 0o2000000;
  const before = check(
    symbols.openat(atCurrentDirectory, ptr(dot), O_PATH_DIRECTORY_CLOEXEC, 0),
    "open",
    ".",
  );
  try {
    check(symbols.fchdir(directory), "fchdir");
    try {
      return work();
    } finally {
      check(symbols.fchdir(before), "fchdir");
    }
  } finally {
    closeFile(before);
  }
}
