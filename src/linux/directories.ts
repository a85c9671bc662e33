/** Reading directories and removing trees through descriptors: no symlink is followed, no mount crossed. */

import { hasErrno } from "../core/errors.ts";
import { errnoNumber } from "./errno.ts";
import { check, errno, linuxError, ptr, symbols } from "./libc.ts";
import { nodeType, removeDirectoryAt, statusAt, unlinkAt } from "./nodes.ts";
import {
  atCurrentDirectory,
  closeFile,
  openAt,
  openFlag,
  openReading,
  pathBytes,
  pathText,
} from "./paths.ts";

export interface DirectoryEntry {
  name: string;
  /** Type bits as in st_mode; 0 where the file system does not tell. */
  type: number;
}

const bufferSize = 32768;

/** All entries but `.` and `..`, in the order in which the kernel gives them. Reads from the descriptor's position. */
export function readDirectory(fd: number): DirectoryEntry[] {
  const buffer = Buffer.alloc(bufferSize);
  const entries: DirectoryEntry[] = [];
  for (;;) {
    const length = check(symbols.getdents64(fd, ptr(buffer), buffer.length), "getdents64");
    if (length === 0) return entries;
    // struct linux_dirent64 { u64 ino; s64 off; u16 reclen; u8 type; char name[] }
    for (let at = 0; at < length; at += buffer.readUInt16LE(at + 16)) {
      const end = buffer.indexOf(0, at + 19);
      const name = pathText(buffer.subarray(at + 19, end));
      if (name !== "." && name !== "..") entries.push({ name, type: buffer.readUInt8(at + 18) << 12 });
    }
  }
}

/**
 * Removes a file or a whole tree; no error when it is not there. Mount points inside are left (EBUSY is thrown).
 * Works on trees of any depth that path names could not reach.
 */
export function removeTree(path: string): void {
  removeTreeAt(atCurrentDirectory, path);
}

/** As `removeTree`, for `name` in an open directory. */
export function removeTreeAt(directory: number, name: string): void {
  const bytes = pathBytes(name);
  if (symbols.unlinkat(directory, ptr(bytes), 0) === 0) return;
  const code = errno();
  if (code === errnoNumber.ENOENT) return;
  if (code !== errnoNumber.EISDIR && code !== errnoNumber.EPERM) throw linuxError("unlink", code, name);
  if ((statusAt(directory, name).mode & nodeType.mask) !== nodeType.directory) {
    throw linuxError("unlink", code, name);
  }
  removeDirectoryTree(directory, name);
}

interface Level {
  fd: number;
  name: string;
  subdirectories: string[];
}

/** Depth first with an own stack: neither the JavaScript stack nor the longest path limits the depth. */
function removeDirectoryTree(directory: number, name: string): void {
  const device = statusAt(directory, name).device;
  const levels: Level[] = [];
  // Only the deepest levels keep their descriptor; others are reopened through `..` of the level below.
  try {
    levels.push(enter(directory, name, device));
    for (;;) {
      const level = levels.at(-1);
      if (level === undefined) return;
      const next = level.subdirectories.pop();
      if (next !== undefined) {
        levels.push(enter(level.fd, next, device));
        const buried = levels.at(-1 - openLevels);
        if (buried !== undefined && buried.fd >= 0) {
          closeFile(buried.fd);
          buried.fd = -1;
        }
        continue;
      }
      const above = levels.at(-2);
      if (above !== undefined && above.fd < 0) above.fd = openAt(level.fd, "..", directoryFlags);
      levels.pop();
      closeFile(level.fd);
      removeDirectoryAt(above?.fd ?? directory, level.name);
    }
  } finally {
    for (const level of levels) if (level.fd >= 0) closeFile(level.fd);
  }
}

const openLevels = 64;
const directoryFlags = openFlag.readOnly | openFlag.directory | openFlag.noFollow;

/** Opens a directory and unlinks all in it that is not a directory. */
function enter(directory: number, name: string, device: bigint): Level {
  const fd = openAt(directory, name, directoryFlags);
  try {
    if (statusAt(fd, "").device !== device) throw linuxError("rmdir", errnoNumber.EBUSY, name);
    const subdirectories: string[] = [];
    for (const entry of readDirectory(fd)) {
      if (entry.type === nodeType.directory) subdirectories.push(entry.name);
      else if (!unlinked(fd, entry.name)) subdirectories.push(entry.name);
    }
    return { fd, name, subdirectories };
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}

/** False when it is a directory after all. */
function unlinked(directory: number, name: string): boolean {
  try {
    unlinkAt(directory, name);
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return true;
    if (hasErrno(error, "EISDIR")) return false;
    throw error;
  }
}

/** Names in a directory; none when it is not there. */
export function namesIn(path: string): string[] {
  try {
    return namesOf(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** Names in a directory, in the kernel's order. */
export function namesOf(path: string): string[] {
  const fd = openReading(path, openFlag.directory);
  try {
    return readDirectory(fd).map(({ name }) => name);
  } finally {
    closeFile(fd);
  }
}
