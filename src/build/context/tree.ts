/** Trees that files are copied from: a context, or a file system that a stage has made. */

import { SystemFailure } from "../../core/errors.ts";
import { readlinkSync } from "../../linux/files.ts";
import { type NodeStatus, statusAt } from "../../linux/nodes.ts";
import {
  closeFile,
  openDirectory,
  openFlag,
  openResolved,
  resolve,
  tryOpenResolved,
} from "../../linux/paths.ts";
import type { FileDigests } from "./digests.ts";
import type { IgnoreMatcher } from "./ignore.ts";

export interface FileTree {
  /** Open directory. */
  readonly root: number;
  /** What of it is not seen. */
  readonly ignore: IgnoreMatcher | undefined;
  /** Files belong to root, whoever owns them on this machine; false where owners are kept. */
  readonly belongsToRoot: boolean;
  readonly digests: FileDigests;
}

export interface FoundPath {
  /** From the tree's root, without links; empty for the root itself. */
  readonly path: string;
  readonly status: NodeStatus;
}

/** What a path leads to inside the tree, through links; undefined where nothing is. */
export function findInTree(tree: FileTree, path: string): FoundPath | undefined {
  const how = resolve.inRoot | resolve.noMagicLinks;
  const fd = tryOpenResolved(tree.root, path.replace(/^\/+/, "") || ".", openFlag.path, how);
  if (fd < 0) return undefined;
  try {
    const status = statusAt(fd, "");
    return { path: pathBelow(tree.root, fd), status };
  } finally {
    closeFile(fd);
  }
}

/**
 * Where an open node is below an open directory, as the kernel tells. Only to be walked again by the kernel, without
 * links. @throws SystemFailure when it is not below it
 */
export function pathBelow(root: number, fd: number): string {
  const [top = "", path = ""] = [root, fd].map((each) => readlinkSync(`/proc/self/fd/${each}`));
  if (path === top) return "";
  const prefix = top === "/" ? "/" : `${top}/`;
  if (!path.startsWith(prefix)) throw new SystemFailure(`${path} was moved while it was used`);
  return path.slice(prefix.length);
}

/** A directory below the tree's root, by a path without links. The caller closes it. @throws LinuxError */
export function openInTree(tree: Pick<FileTree, "root">, path: string): number {
  if (path === "") return openDirectory(`/proc/self/fd/${tree.root}`);
  const how = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;
  return openResolved(tree.root, path, openFlag.readOnly | openFlag.directory, how);
}
