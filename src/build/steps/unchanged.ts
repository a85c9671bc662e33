/**
 * Overlay copies a node up as soon as it, or something in it, is touched, also where nothing comes of it. What is as it
 * was adds nothing to a layer and is taken out, as BuildKit leaves it out: of a directory that holds nothing new the
 * time does not count either.
 */

import { splitPath } from "../../images/layers/entry-name.ts";
import { OverlayStack } from "../../images/layers/overlay-stack.ts";
import {
  isWhiteout,
  type NodeStatus,
  nodeType,
  readAt,
  readSymlinkAt,
  removeDirectoryAt,
  setTimesAt,
  statusAt,
  unlinkAt,
} from "../../linux/nodes.ts";
import {
  closeFile,
  descriptorPath,
  openAt,
  openDirectory,
  openFlag,
  openResolved,
  resolve,
} from "../../linux/paths.ts";
import { isDirectory, walkTree } from "../../linux/walk.ts";
import { listXattrs } from "../../linux/xattrs.ts";
import type { LayerTarget } from "../../storage/snapshotter.ts";
import { opaqueMark, spellOutOpaque } from "./opaque.ts";

/** A directory of the layer. */
interface Candidate {
  readonly path: string;
  readonly status: NodeStatus;
  children: number;
  readonly hasMarks: boolean;
  /** What lies below shows through it. */
  readonly isMerged: boolean;
}

/**
 * Also spells out what opaque directories hide. For drivers that keep a layer's own files apart; others compare whole
 * trees anyway.
 * @param filled directories that are known to hold what is new, and nothing else
 */
export function dropUnchanged(target: LayerTarget, filled: ReadonlySet<string> = new Set()): void {
  if (target.whiteouts !== "overlay" || target.lower === undefined || target.lower.length === 0) return;
  using lower = new OverlayStack(target.lower);
  const top = openDirectory(target.path, openFlag.path);
  try {
    const { directories, unchanged, opaque } = survey(target.path, lower, filled);
    for (const path of opaque) spellOutOpaque(top, path, lower);
    for (const path of unchanged) {
      removeIn(top, path, unlinkAt);
      leave(directories, path);
    }
    for (const { path, status, children, hasMarks, isMerged } of [...directories.values()].reverse()) {
      const isKept = path === "" || children > 0 || hasMarks || !isMerged;
      if (isKept || !isAlike(status, lower.find(path))) continue;
      removeIn(top, path, removeDirectoryAt);
      leave(directories, path);
    }
  } finally {
    closeFile(top);
  }
}

function leave(directories: ReadonlyMap<string, Candidate>, path: string): void {
  const above = directories.get(splitPath(path).parent);
  if (above !== undefined) above.children -= 1;
}

/** The directories of a layer, from the top, and its other nodes that are in the layers below just so. */
function survey(layer: string, lower: OverlayStack, filled: ReadonlySet<string>) {
  const directories = new Map<string, Candidate>();
  const unchanged: string[] = [];
  const opaque: string[] = [];
  const isEntered = (node: { path: string }) => !filled.has(node.path);
  for (const { path, status, directory, name } of walkTree(layer, { isEntered })) {
    const above = directories.get(splitPath(path).parent);
    if (above !== undefined) above.children += 1;
    // In a directory that is new nothing can be as it was; directly below the top, it may.
    const mayBeOld = above?.isMerged ?? true;
    if (isDirectory(status)) {
      const marks = marksOf(descriptorPath(directory, name));
      const hasMarks = marks.length > 0;
      // Such a directory hides what lies below it.
      if (marks.includes(opaqueMark)) opaque.push(path);
      const below = mayBeOld ? lower.find(path) : undefined;
      const isMerged = !hasMarks && below !== undefined && isDirectory(below);
      directories.set(path, { path, status, children: filled.has(path) ? 1 : 0, hasMarks, isMerged });
    } else if (mayBeOld && !isWhiteout(status) && isUnchanged({ directory, name, status }, lower, path)) {
      unchanged.push(path);
    }
  }
  return { directories, unchanged, opaque };
}

/** Overlay's notes on where a node came from. */
const harmless = new Set(["trusted.overlay.origin", "trusted.overlay.impure", "trusted.overlay.uuid"]);

function marksOf(path: string): string[] {
  return listXattrs(path).filter((mark) => !harmless.has(mark));
}

function isAlike(upper: NodeStatus, lower: NodeStatus | undefined): boolean {
  return (
    lower !== undefined && upper.mode === lower.mode && upper.uid === lower.uid && upper.gid === lower.gid
  );
}

interface UpperNode {
  readonly directory: number;
  readonly name: string;
  readonly status: NodeStatus;
}

function isUnchanged({ directory, name, status }: UpperNode, lower: OverlayStack, path: string): boolean {
  const found = lower.locate(path);
  if (found === undefined || !isAlike(status, found.status)) return false;
  const { status: old, layer } = found;
  if (status.mtime !== old.mtime || status.size !== old.size) return false;
  if (status.deviceMajor !== old.deviceMajor || status.deviceMinor !== old.deviceMinor) return false;
  const { parent, base } = splitPath(path);
  const below =
    parent === "" ? openDirectory(descriptorPath(layer)) : openResolved(layer, parent, directoryFlags, how);
  try {
    if ([descriptorPath(directory, name), descriptorPath(below, base)].some((at) => marksOf(at).length > 0)) {
      return false;
    }
    switch (status.mode & nodeType.mask) {
      case nodeType.file:
        return haveSameContent([directory, name], [below, base], status.size);
      case nodeType.symlink:
        return readSymlinkAt(directory, name) === readSymlinkAt(below, base);
      default:
        return true;
    }
  } finally {
    closeFile(below);
  }
}

const how = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;
const directoryFlags = openFlag.path | openFlag.directory;
const readFlags = openFlag.readOnly | openFlag.noFollow;
const bufferSize = 1 << 16;

function haveSameContent(
  left: readonly [number, string],
  right: readonly [number, string],
  size: number,
): boolean {
  const fds: number[] = [];
  try {
    const one = openAt(...left, readFlags);
    fds.push(one);
    const other = openAt(...right, readFlags);
    fds.push(other);
    const [some, others] = [new Uint8Array(bufferSize), new Uint8Array(bufferSize)];
    for (let done = 0; done < size; ) {
      const [got, gotThere] = [readAt(one, some, done, left[1]), readAt(other, others, done, right[1])];
      if (got !== gotThere || got === 0) return false;
      if (Buffer.compare(some.subarray(0, got), others.subarray(0, got)) !== 0) return false;
      done += got;
    }
    return true;
  } finally {
    for (const fd of fds) closeFile(fd);
  }
}

/** The directory that it is taken from keeps its times. */
function removeIn(top: number, path: string, remove: (directory: number, name: string) => void): void {
  const { parent, base } = splitPath(path);
  const directory =
    parent === "" ? openAt(top, ".", directoryFlags) : openResolved(top, parent, directoryFlags, how);
  try {
    const { atime, mtime } = statusAt(directory, "");
    remove(directory, base);
    setTimesAt(directory, ".", atime, mtime);
  } finally {
    closeFile(directory);
  }
}
