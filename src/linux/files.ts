/**
 * Files of the host by path: what davit uses of `node:fs`, under its names, on libc. To load `node:fs` costs a command
 * 2 ms before it has done anything (docs/decisions/007-start-up.md). Failures are LinuxErrors. Paths are davit's own or the
 * user's; what comes from outside is opened beneath its root instead (`paths.ts`).
 */
import { dirname } from "../core/paths.ts";
import { namesOf, removeTree } from "./directories.ts";
import { errnoNumber } from "./errno.ts";
import { bytesOf, check, checkRetrying, errno, linuxError, ptr, symbols } from "./libc.ts";
import {
  makeDirectoryAt,
  type NodeStatus,
  nodeType,
  pathStatus,
  readAt,
  readSymlinkAt,
  removeDirectoryAt,
  statusAt,
  tryPathStatus,
  unlinkAt,
  writeAt,
} from "./nodes.ts";
import { atCurrentDirectory, closeFile, openAt, openFlag, openReading, pathBytes } from "./paths.ts";
import { renameAt } from "./rename.ts";

/** What `stat` tells, in node's terms. */
export class FileStatus {
  readonly #status: NodeStatus;
  constructor(status: NodeStatus) {
    this.#status = status;
  }
  get size(): number {
    return this.#status.size;
  }
  /** Type and permission bits. */
  get mode(): number {
    return this.#status.mode;
  }
  get nlink(): number {
    return this.#status.links;
  }
  get ino(): bigint {
    return this.#status.inode;
  }
  get dev(): bigint {
    return this.#status.device;
  }
  /** 512-byte blocks that are allocated. */
  get blocks(): number {
    return this.#status.allocated / 512;
  }
  /** Nanoseconds since 1970. */
  get mtimeNs(): bigint {
    return this.#status.mtime;
  }
  get mtimeMs(): number {
    return Number(this.#status.mtime) / 1e6;
  }
  get birthtimeMs(): number {
    return Number(this.#status.birth) / 1e6;
  }
  isFile(): boolean {
    return (this.#status.mode & nodeType.mask) === nodeType.file;
  }
  isDirectory(): boolean {
    return (this.#status.mode & nodeType.mask) === nodeType.directory;
  }
  isSocket(): boolean {
    return (this.#status.mode & nodeType.mask) === nodeType.socket;
  }
}

/** Symlinks are followed. @throws LinuxError, unless `throwIfNoEntry` is false: undefined where there is nothing. */
export function statSync(path: string): FileStatus;
export function statSync(path: string, options: { throwIfNoEntry: false }): FileStatus | undefined;
export function statSync(path: string, options?: { throwIfNoEntry: false }): FileStatus | undefined {
  if (options === undefined) return new FileStatus(pathStatus(path));
  const status = tryPathStatus(path);
  return status === undefined ? undefined : new FileStatus(status);
}

export function fstatSync(fd: number): FileStatus {
  return new FileStatus(statusAt(fd, ""));
}

/** Whether something is there, and can be reached. Never throws. */
export function existsSync(path: string): boolean {
  const bytes = pathBytes(path);
  return symbols.faccessat(atCurrentDirectory, ptr(bytes), 0, 0) === 0;
}

const flagsOf = {
  r: openFlag.readOnly,
  "r+": openFlag.readWrite,
  w: openFlag.writeOnly | openFlag.create | openFlag.truncate,
  wx: openFlag.writeOnly | openFlag.create | openFlag.exclusive,
  a: openFlag.writeOnly | openFlag.create | openFlag.append,
} as const;

export type OpenMode = keyof typeof flagsOf;

/** Close-on-exec. @param flags a mode in node's letters, or bits of `openFlag`. */
export function openSync(path: string, flags: OpenMode | number, mode = 0o666): number {
  return openAt(atCurrentDirectory, path, typeof flags === "number" ? flags : flagsOf[flags], mode);
}

export { closeFile as closeSync, namesOf as readdirSync };

/** Reads once, at `position` or, without one, at the descriptor's own. @returns how many bytes came; 0 at the end. */
export function readSync(
  fd: number,
  buffer: Uint8Array,
  offset = 0,
  length = buffer.byteLength - offset,
  position: number | null = null,
): number {
  const part = buffer.subarray(offset, offset + length);
  if (part.byteLength === 0) return 0;
  if (position !== null) return readAt(fd, part, position);
  return checkRetrying(() => symbols.read(fd, ptr(part), part.byteLength), "read");
}

/** Writes once, at `position` or, without one, at the descriptor's own. @returns how many bytes went. */
export function writeSync(
  fd: number,
  data: string | Uint8Array,
  offset = 0,
  length?: number,
  position?: number,
): number {
  const bytes = typeof data === "string" ? bytesOf(data) : data;
  const part = bytes.subarray(offset, length === undefined ? undefined : offset + length);
  if (part.byteLength === 0) return 0;
  if (position !== undefined) {
    writeAt(fd, part, position);
    return part.byteLength;
  }
  return checkRetrying(() => symbols.write(fd, ptr(part), part.byteLength), "write");
}

/** Most files that are read whole are smaller. */
const firstRead = 32 << 10;

/** The whole file, also one of /proc that does not know its size. */
export function readFileSync(path: string): Buffer;
export function readFileSync(path: string, encoding: "utf8" | "latin1"): string;
export function readFileSync(path: string, encoding?: "utf8" | "latin1"): Buffer | string {
  const fd = openReading(path);
  try {
    const bytes = readWhole(fd, path);
    return encoding === undefined ? bytes : bytes.toString(encoding);
  } finally {
    closeFile(fd);
  }
}

function readWhole(fd: number, path: string): Buffer {
  let buffer = Buffer.allocUnsafe(firstRead);
  let length = 0;
  for (;;) {
    const part = buffer.subarray(length);
    const count = checkRetrying(() => symbols.read(fd, ptr(part), part.byteLength), "read", path);
    if (count === 0) return buffer.subarray(0, length);
    length += count;
    if (length < buffer.byteLength) continue;
    const larger = Buffer.allocUnsafe(Math.max(2 * length, fstatSync(fd).size + 1));
    buffer.copy(larger);
    buffer = larger;
  }
}

export interface WriteFileOptions {
  /** Of a file that is made, less the umask. */
  mode?: number;
  flag?: "w" | "wx" | "a";
  /** Safe on the disk when this returns. */
  flush?: boolean;
}

export function writeFileSync(path: string, data: string | Uint8Array, options: WriteFileOptions = {}): void {
  const fd = openSync(path, options.flag ?? "w", options.mode);
  try {
    const bytes = typeof data === "string" ? bytesOf(data) : data;
    for (let done = 0; done < bytes.byteLength; ) {
      const part = bytes.subarray(done);
      done += checkRetrying(() => symbols.write(fd, ptr(part), part.byteLength), "write", path);
    }
    if (options.flush) check(symbols.fsync(fd), "fsync", path);
  } finally {
    closeFile(fd);
  }
}

export function appendFileSync(path: string, data: string | Uint8Array): void {
  writeFileSync(path, data, { flag: "a" });
}

/** `recursive`: with all directories above it, and no error where it is already. */
export function mkdirSync(path: string, options: number | { recursive?: boolean; mode?: number } = {}): void {
  const { recursive = false, mode = 0o777 } = typeof options === "number" ? { mode: options } : options;
  if (recursive) makeDirectories(path, mode);
  else makeDirectoryAt(atCurrentDirectory, path, mode);
}

function makeDirectories(path: string, mode: number): void {
  if (tryMakeDirectory(path, mode)) return;
  makeDirectories(dirname(path), mode);
  if (!tryMakeDirectory(path, mode)) throw linuxError("mkdir", errnoNumber.ENOENT, path);
}

/** False where a directory above it is missing. No error where it is already. */
function tryMakeDirectory(path: string, mode: number): boolean {
  const bytes = pathBytes(path);
  if (symbols.mkdirat(atCurrentDirectory, ptr(bytes), mode) === 0) return true;
  const code = errno();
  if (code === errnoNumber.ENOENT && dirname(path) !== path) return false;
  if (code === errnoNumber.EEXIST && statSync(path, { throwIfNoEntry: false })?.isDirectory()) return true;
  throw linuxError("mkdir", code, path);
}

/** `recursive`: a directory with all that is in it. `force`: no error where there is nothing. */
export function rmSync(path: string, options: { recursive?: boolean; force?: boolean } = {}): void {
  if (options.recursive) {
    if (!options.force) statusAt(atCurrentDirectory, path);
    removeTree(path);
    return;
  }
  const bytes = pathBytes(path);
  if (symbols.unlinkat(atCurrentDirectory, ptr(bytes), 0) === 0) return;
  const code = errno();
  if (!(options.force && code === errnoNumber.ENOENT)) throw linuxError("unlink", code, path);
}

export function unlinkSync(path: string): void {
  unlinkAt(atCurrentDirectory, path);
}

export function rmdirSync(path: string): void {
  removeDirectoryAt(atCurrentDirectory, path);
}

export function renameSync(from: string, to: string): void {
  renameAt(atCurrentDirectory, from, atCurrentDirectory, to);
}

/** Hard link; a symlink is linked itself. */
export function linkSync(from: string, to: string): void {
  const source = pathBytes(from);
  const target = pathBytes(to);
  check(symbols.linkat(atCurrentDirectory, ptr(source), atCurrentDirectory, ptr(target), 0), "link", to);
}

export function readlinkSync(path: string): string {
  return readSymlinkAt(atCurrentDirectory, path);
}

/** Symlinks are followed. */
export function chmodSync(path: string, mode: number): void {
  const bytes = pathBytes(path);
  check(symbols.fchmodat(atCurrentDirectory, ptr(bytes), mode, 0), "chmod", path);
}

/** Symlinks are followed. */
export function chownSync(path: string, uid: number, gid: number): void {
  const bytes = pathBytes(path);
  check(symbols.fchownat(atCurrentDirectory, ptr(bytes), uid, gid, 0), "chown", path);
}

export function ftruncateSync(fd: number, size: number): void {
  check(symbols.ftruncate(fd, size), "ftruncate");
}

export function truncateSync(path: string, size = 0): void {
  const fd = openSync(path, openFlag.writeOnly);
  try {
    ftruncateSync(fd, size);
  } finally {
    closeFile(fd);
  }
}

export function fsyncSync(fd: number): void {
  check(symbols.fsync(fd), "fsync");
}
