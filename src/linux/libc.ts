/**
 * The one `dlopen` of libc, and the rule for its failures: a call that returns -1 becomes a LinuxError with
 * the errno's name, the call and the path. Everything else in this room is a typed function over these symbols.
 *
 * `bun:ffi` reads errno reliably only right after the call, so every call goes through `check`.
 */
import { dlopen, type FFIFunction, FFIType, ptr, read } from "bun:ffi";
import { LinuxError } from "../core/errors.ts";
import { errnoNumber } from "./errno.ts";

const { i32, i64, u32, u64, ptr: pointer } = FFIType;
/**
 * A number that needs no memory of the runtime, unless it is huge: to make a bigint may start a garbage collection, whose
 * own system calls write over errno.
 */
const i64Fast = FFIType.i64_fast;

const library = "libc.so.6";

const signatures = {
  syscall: { args: [i64, i64, i64, i64, i64, i64, i64], returns: i64Fast },
  mount: { args: [pointer, pointer, pointer, u64, pointer], returns: i32 },
  umount2: { args: [pointer, i32], returns: i32 },
  unshare: { args: [i32], returns: i32 },
  setns: { args: [i32, i32], returns: i32 },
  openat: { args: [i32, pointer, i32, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
  dup3: { args: [i32, i32, i32], returns: i32 },
  read: { args: [i32, pointer, u64], returns: i64Fast },
  write: { args: [i32, pointer, u64], returns: i64Fast },
  pwrite: { args: [i32, pointer, u64, i64], returns: i64Fast },
  ftruncate: { args: [i32, i64], returns: i32 },
  mkdirat: { args: [i32, pointer, u32], returns: i32 },
  unlinkat: { args: [i32, pointer, i32], returns: i32 },
  linkat: { args: [i32, pointer, i32, pointer, i32], returns: i32 },
  symlinkat: { args: [pointer, i32, pointer], returns: i32 },
  renameat: { args: [i32, pointer, i32, pointer], returns: i32 },
  mknodat: { args: [i32, pointer, u32, u64], returns: i32 },
  fchownat: { args: [i32, pointer, u32, u32, i32], returns: i32 },
  fchmodat: { args: [i32, pointer, u32, i32], returns: i32 },
  fchmod: { args: [i32, u32], returns: i32 },
  fchown: { args: [i32, u32, u32], returns: i32 },
  utimensat: { args: [i32, pointer, pointer, i32], returns: i32 },
  futimens: { args: [i32, pointer], returns: i32 },
  lsetxattr: { args: [pointer, pointer, pointer, u64, i32], returns: i32 },
  fsetxattr: { args: [i32, pointer, pointer, u64, i32], returns: i32 },
  lgetxattr: { args: [pointer, pointer, pointer, u64], returns: i64Fast },
  llistxattr: { args: [pointer, pointer, u64], returns: i64Fast },
  lremovexattr: { args: [pointer, pointer], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  pipe2: { args: [pointer, i32], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  socketpair: { args: [i32, i32, i32, pointer], returns: i32 },
  bind: { args: [i32, pointer, u32], returns: i32 },
  connect: { args: [i32, pointer, u32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  getsockname: { args: [i32, pointer, pointer], returns: i32 },
  getpeername: { args: [i32, pointer, pointer], returns: i32 },
  setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
  getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
  send: { args: [i32, pointer, u64, i32], returns: i64Fast },
  recv: { args: [i32, pointer, u64, i32], returns: i64Fast },
  shutdown: { args: [i32, i32], returns: i32 },
  ioctl: { args: [i32, u64, pointer], returns: i32 },
  fcntl: { args: [i32, i32, i64], returns: i32 },
  fsync: { args: [i32], returns: i32 },
  syncfs: { args: [i32], returns: i32 },
  sync_file_range: { args: [i32, i64, i64, u32], returns: i32 },
  statfs: { args: [pointer, pointer], returns: i32 },
  prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
  _exit: { args: [i32], returns: FFIType.void },
  umask: { args: [u32], returns: u32 },
  poll: { args: [pointer, u64, i32], returns: i32 },
  setrlimit: { args: [i32, pointer], returns: i32 },
  getrlimit: { args: [i32, pointer], returns: i32 },
  statx: { args: [i32, pointer, i32, u32, pointer], returns: i32 },
  getdents64: { args: [i32, pointer, u64], returns: i64Fast },
  readlinkat: { args: [i32, pointer, pointer, u64], returns: i64Fast },
  copy_file_range: { args: [i32, pointer, i32, pointer, u64, u32], returns: i64Fast },
  lseek: { args: [i32, i64, i32], returns: i64Fast },
  pread: { args: [i32, pointer, u64, i64], returns: i64Fast },
  fgetxattr: { args: [i32, pointer, pointer, u64], returns: i64Fast },
  flistxattr: { args: [i32, pointer, u64], returns: i64Fast },
  fstatfs: { args: [i32, pointer], returns: i32 },
  fchdir: { args: [i32], returns: i32 },
  sendfile: { args: [i32, i32, pointer, u64], returns: i64Fast },
  faccessat: { args: [i32, pointer, i32, i32], returns: i32 },
} as const;

/**
 * What nearly every command calls is linked at once, which costs 12 µs a function; alone it costs 40. errno's place is
 * among it: a link on demand would come between a failed call and the look at its errno.
 */
const common = dlopen(library, {
  __errno_location: { args: [], returns: pointer },
  openat: signatures.openat,
  close: signatures.close,
  read: signatures.read,
  write: signatures.write,
  mkdirat: signatures.mkdirat,
  unlinkat: signatures.unlinkat,
  statx: signatures.statx,
  faccessat: signatures.faccessat,
  ioctl: signatures.ioctl,
  poll: signatures.poll,
  statfs: signatures.statfs,
  _exit: signatures._exit,
}).symbols;
const errnoLocation = common.__errno_location;

type Name = keyof typeof signatures;
type Symbols = ReturnType<typeof dlopen<typeof signatures>>["symbols"];

/** libc's functions; those that few commands use are linked when they are first asked for. */
export const symbols: Symbols = Object.create(
  // Asked for what is not there yet.
  new Proxy({}, { get: (_, name) => (isSignature(name) ? link(name) : undefined) }),
);
for (const name of Object.keys(common))
  Object.defineProperty(symbols, name, { value: Reflect.get(common, name) });

function isSignature(name: string | symbol): name is Name {
  return Object.hasOwn(signatures, name);
}

/** Who calls one of these calls most of them soon. */
const companions: readonly (readonly Name[])[] = [
  ["socketpair", "fcntl"],
  ["syscall", "sendfile", "dup3"],
  ["socket", "connect", "setsockopt", "send", "recv"],
  ["flock", "umount2", "getdents64"],
];

/** Links a function, and its companions with it. */
function link(name: Name): unknown {
  const names = companions.find((group) => group.includes(name)) ?? [name];
  const wanted: Partial<Record<Name, FFIFunction>> = {};
  for (const each of names) wanted[each] = signatures[each];
  const linked = dlopen(library, wanted).symbols;
  for (const each of names) Object.defineProperty(symbols, each, { value: Reflect.get(linked, each) });
  return Reflect.get(linked, name);
}

let errnoNames: ReadonlyMap<number, string> | undefined;

function namesOfErrno(): ReadonlyMap<number, string> {
  errnoNames ??= new Map(Object.entries(errnoNumber).map(([name, value]) => [value, name]));
  return errnoNames;
}

/** Docker and Go print errno in these words; only those that users meet are spelled out. */
const descriptions: Record<string, string> = {
  EPERM: "operation not permitted",
  ENOENT: "no such file or directory",
  EIO: "input/output error",
  EACCES: "permission denied",
  EBUSY: "device or resource busy",
  EEXIST: "file exists",
  EXDEV: "invalid cross-device link",
  ENODEV: "no such device",
  ENOTDIR: "not a directory",
  EISDIR: "is a directory",
  EINVAL: "invalid argument",
  EMFILE: "too many open files",
  EFBIG: "file too large",
  ENOSPC: "no space left on device",
  EROFS: "read-only file system",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "file name too long",
  ENOTEMPTY: "directory not empty",
  EADDRINUSE: "address already in use",
  ENOTSUP: "operation not supported",
  EOPNOTSUPP: "operation not supported",
  ENOSYS: "function not implemented",
  EDQUOT: "disk quota exceeded",
};

/** errno of the call just made on this thread. */
export function errno(): number {
  const location = errnoLocation();
  return location === null ? 0 : read.i32(location, 0);
}

/** `ENOENT` for 2; `E…` with the number for one that has no name. */
export function errnoName(value: number): string {
  return namesOfErrno().get(value) ?? `E${value}`;
}

/** A LinuxError for `value` (positive errno). */
export function linuxError(syscall: string, value: number, path?: string): LinuxError {
  const code = errnoName(value);
  return new LinuxError(syscall, value, code, descriptions[code] ?? code, path);
}

/** Returns `result`, or throws when it is -1. Must be given the call's result directly. */
export function check(result: number | bigint, syscall: string, path?: string): number {
  const value = Number(result);
  if (value < 0) throw linuxError(syscall, errno(), path);
  return value;
}

/** Retries a call that a signal interrupted, then checks it. */
export function checkRetrying(call: () => number | bigint, syscall: string, path?: string): number {
  for (;;) {
    const value = Number(call());
    if (value >= 0) return value;
    const code = errno();
    if (code !== errnoNumber.EINTR) throw linuxError(syscall, code, path);
  }
}

/** NUL-terminated bytes of `text`, to be kept alive by the caller across the call. */
export function cstring(text: string): Uint8Array {
  return bytesOf(`${text}\0`);
}

const encoder = new TextEncoder();

/** UTF-8. The first `Buffer.from` of a process takes 0.16 ms, which every command would pay. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

export { ptr };
