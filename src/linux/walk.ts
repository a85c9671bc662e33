/** Walks trees through descriptors: no symlink is followed, no other file system entered, any depth reached. */

import { readDirectory } from "./directories.ts";
import { errnoNumber } from "./errno.ts";
import { linuxError } from "./libc.ts";
import { type NodeStatus, nodeType, statusAt, tryStatusAt } from "./nodes.ts";
import { closeFile, openAt, openDirectory, openFlag, resolve, tryOpenResolved } from "./paths.ts";

export interface WalkedNode {
  /** Relative to the root, without a slash in front; the root itself is not given. */
  path: string;
  /** The open directory that holds it (valid until the next step) and its name there. */
  directory: number;
  name: string;
  status: NodeStatus;
}

interface Level {
  fd: number;
  inode: bigint;
  path: string;
  /** Still to be visited, the last one first. */
  names: string[];
}

const directoryFlags = openFlag.readOnly | openFlag.directory | openFlag.noFollow;
/** More levels than this at once are closed and reopened on the way back. */
const openLevels = 64;

/**
 * All nodes below `root`, each directory before what it holds, names sorted.
 * What disappears meanwhile is left out. Mount points are given, but not entered.
 * @param options.isEntered asked for each directory after it was given; all are when absent.
 */
export function* walkTree(
  root: string,
  options: { readonly isEntered?: (directory: WalkedNode) => boolean } = {},
): Generator<WalkedNode, void, void> {
  const top: Level = { fd: openDirectory(root), inode: 0n, path: "", names: [] };
  const levels = [top];
  try {
    const { device, inode } = statusAt(top.fd, "");
    top.inode = inode;
    top.names = namesIn(top.fd);
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const name = level.names.pop();
      if (name === undefined) {
        leave(levels);
        continue;
      }
      const status = tryStatusAt(level.fd, name);
      if (status === undefined) continue;
      const path = level.path === "" ? name : `${level.path}/${name}`;
      const node = { path, directory: level.fd, name, status };
      yield node;
      if (!isDirectory(status) || status.device !== device) continue;
      if (options.isEntered?.(node) === false) continue;
      const fd = openAt(level.fd, name, directoryFlags);
      const inner: Level = { fd, inode: status.inode, path, names: [] };
      levels.push(inner);
      if (statusAt(fd, "").device === device) inner.names = namesIn(fd);
      bury(levels);
    }
  } finally {
    for (const level of levels) if (level.fd >= 0) closeFile(level.fd);
  }
}

function namesIn(fd: number): string[] {
  return readDirectory(fd)
    .map((entry) => entry.name)
    .sort((left, right) => (left < right ? 1 : -1));
}

function bury(levels: Level[]): void {
  const buried = levels.at(-1 - openLevels);
  if (buried === undefined || buried.fd < 0) return;
  closeFile(buried.fd);
  buried.fd = -1;
}

/** Closes the deepest level, first reopening the one above it if that was buried. */
function leave(levels: Level[]): void {
  const level = levels.at(-1);
  const above = levels.at(-2);
  if (level === undefined) return;
  if (above !== undefined && above.fd < 0) {
    above.fd = openAt(level.fd, "..", directoryFlags);
    // A running container may have moved the directory: then `..` is another one, perhaps outside.
    if (statusAt(above.fd, "").inode !== above.inode)
      throw linuxError("open", errnoNumber.ESTALE, level.path);
  }
  levels.pop();
  closeFile(level.fd);
}

export function isDirectory(status: NodeStatus): boolean {
  return (status.mode & nodeType.mask) === nodeType.directory;
}

/** lstat of a path below an open root, walking no symlink; undefined where the path does not lead to a node. */
export function statusBeneath(root: number, path: string): NodeStatus | undefined {
  if (path === "") return statusAt(root, "");
  const fd = tryOpenResolved(
    root,
    path,
    openFlag.path | openFlag.noFollow,
    resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks,
  );
  if (fd < 0) {
    if (absent.has(-fd)) return undefined;
    throw linuxError("lstat", -fd, path);
  }
  try {
    return statusAt(fd, "");
  } finally {
    closeFile(fd);
  }
}

const { ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG } = errnoNumber;
const absent = new Set<number>([ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG]);
