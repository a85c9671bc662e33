/**
 * Overlay copies a directory up as soon as something in it is touched, also where that is gone again. A directory that
 * is as it was, and holds nothing new, adds nothing to a layer and is taken out.
 */

import { splitPath } from "../../images/layers/entry-name.ts";
import { OverlayStack } from "../../images/layers/overlay-stack.ts";
import { type NodeStatus, removeDirectoryAt } from "../../linux/nodes.ts";
import {
  closeFile,
  descriptorPath,
  openDirectory,
  openFlag,
  openResolved,
  resolve,
} from "../../linux/paths.ts";
import { isDirectory, walkTree } from "../../linux/walk.ts";
import { listXattrs } from "../../linux/xattrs.ts";
import type { LayerTarget } from "../../storage/snapshotter.ts";

interface Candidate {
  readonly path: string;
  readonly status: NodeStatus;
  children: number;
  readonly hasMarks: boolean;
}

/** For drivers that keep a layer's own files apart; others compare whole trees anyway. */
export function dropUnchangedDirectories(target: LayerTarget): void {
  if (target.whiteouts !== "overlay" || target.lower === undefined || target.lower.length === 0) return;
  const directories = new Map<string, Candidate>();
  for (const { path, status, directory, name } of walkTree(target.path)) {
    const above = directories.get(splitPath(path).parent);
    if (above !== undefined) above.children += 1;
    if (!isDirectory(status)) continue;
    // Also the opaque mark is one: such a directory hides what lies below it.
    const marks = listXattrs(descriptorPath(directory, name)).filter((mark) => !harmless.has(mark));
    directories.set(path, { path, status, children: 0, hasMarks: marks.length > 0 });
  }
  if (directories.size === 0) return;
  using lower = new OverlayStack(target.lower);
  const top = openDirectory(target.path, openFlag.path);
  try {
    for (const candidate of [...directories.values()].reverse()) {
      const { path, status, children, hasMarks } = candidate;
      if (children > 0 || hasMarks || !isSame(status, lower.find(path))) continue;
      const { parent, base } = splitPath(path);
      removeIn(top, parent, base);
      const above = directories.get(parent);
      if (above !== undefined) above.children -= 1;
    }
  } finally {
    closeFile(top);
  }
}

/** Overlay's notes on where a directory came from. */
const harmless = new Set(["trusted.overlay.origin", "trusted.overlay.impure", "trusted.overlay.uuid"]);

function isSame(upper: NodeStatus, lower: NodeStatus | undefined): boolean {
  return (
    lower !== undefined &&
    upper.mode === lower.mode &&
    upper.uid === lower.uid &&
    upper.gid === lower.gid &&
    upper.mtime === lower.mtime
  );
}

function removeIn(top: number, parent: string, name: string): void {
  if (parent === "") {
    removeDirectoryAt(top, name);
    return;
  }
  const how = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;
  const fd = openResolved(top, parent, openFlag.path | openFlag.directory, how);
  try {
    removeDirectoryAt(fd, name);
  } finally {
    closeFile(fd);
  }
}
