/** What a snapshot changed against the trees below it: as a list and as a layer. */

import { readDirectory } from "../../linux/directories.ts";
import { isWhiteout, type NodeStatus } from "../../linux/nodes.ts";
import { closeFile, descriptorPath, openDirectory } from "../../linux/paths.ts";
import { isDirectory, statusBeneath, type WalkedNode, walkTree } from "../../linux/walk.ts";
import { getXattr, listXattrs } from "../../linux/xattrs.ts";
import type { LayerTarget } from "../../storage/snapshotter.ts";
import { splitPath } from "./entry-name.ts";
import { OverlayStack } from "./overlay-stack.ts";
import { gather, type LocalMember, writeLocalTar } from "./tar-writer.ts";
import { atTime, describeNode, HardLinks, type TreeOptions } from "./tree.ts";

/** `path` is absolute inside the root. */
export interface TreeChange {
  kind: "added" | "modified" | "deleted";
  path: string;
}

type Change =
  | { kind: "added" | "modified"; node: WalkedNode }
  /** `opaque`: the directory shows nothing of what lies below it. */
  | { kind: "opaque"; path: string }
  | { kind: "deleted"; path: string };

/** What `docker diff` lists, sorted by path; directories above a change are listed as modified. */
export function listChanges(target: LayerTarget, options: { signal?: AbortSignal } = {}): TreeChange[] {
  const changes = new Map<string, TreeChange["kind"]>();
  const add = (path: string, kind: TreeChange["kind"]) => {
    changes.set(path, kind);
    for (let at = splitPath(path).parent; at !== "" && !changes.has(at); at = splitPath(at).parent) {
      changes.set(at, "modified");
    }
  };
  using stack = new OverlayStack(target.whiteouts === "overlay" ? (target.lower ?? []) : []);
  for (const change of changesOf(target)) {
    options.signal?.throwIfAborted();
    if (change.kind === "deleted") {
      if (target.whiteouts === "delete" || stack.find(change.path) !== undefined) add(change.path, "deleted");
    } else if (change.kind === "opaque") {
      for (const path of stack.childrenOf(change.path)) if (!changes.has(path)) add(path, "deleted");
    } else {
      const { path, status } = change.node;
      if (target.whiteouts === "delete") add(path, change.kind);
      else {
        const below = stack.find(path);
        if (below === undefined) add(path, "added");
        else if (!isSame(status, below) || !isDirectory(status)) add(path, "modified");
        else if (!changes.has(path)) changes.set(path, "modified");
      }
    }
  }
  return [...changes]
    .map(([path, kind]): TreeChange => ({ kind, path: `/${path}` }))
    .sort((left, right) => (left.path < right.path ? -1 : 1));
}

/** The changes as a layer tar: `.wh.` files for deletions. */
export function diffTar(target: LayerTarget, options: TreeOptions = {}): AsyncGenerator<Uint8Array> {
  return gather(writeLocalTar(atTime(diffMembers(target), options.mtime)), options);
}

/** The same, without a promise for each chunk: for `passOn`. */
export function diffChunks(
  target: LayerTarget,
  options: Pick<TreeOptions, "mtime"> = {},
): Generator<Uint8Array> {
  return writeLocalTar(atTime(diffMembers(target), options.mtime));
}

function* diffMembers(target: LayerTarget): Generator<LocalMember> {
  const links = new HardLinks();
  for (const change of changesOf(target)) {
    if (change.kind === "deleted") {
      const { parent, base } = splitPath(change.path);
      yield whiteout(parent, `.wh.${base}`);
    } else if (change.kind === "opaque") yield whiteout(change.path, ".wh..wh..opq");
    else {
      const member = describeNode(change.node, links);
      if (member !== undefined) yield member;
    }
  }
}

function whiteout(parent: string, base: string): LocalMember {
  return { entry: { name: parent === "" ? base : `${parent}/${base}`, type: "file", mode: 0o600 } };
}

function changesOf(target: LayerTarget): Generator<Change> {
  return target.whiteouts === "overlay"
    ? overlayChanges(target.path)
    : treeChanges(target.path, target.lower?.[0]);
}

function* overlayChanges(upper: string): Generator<Change> {
  for (const node of walkTree(upper)) {
    const { status } = node;
    if (isWhiteout(status)) {
      yield { kind: "deleted", path: node.path };
      continue;
    }
    yield { kind: "modified", node };
    if (isDirectory(status) && isOpaque(node)) yield { kind: "opaque", path: node.path };
  }
}

function isOpaque(node: WalkedNode): boolean {
  const path = descriptorPath(node.directory, node.name);
  // Hardly any directory has it.
  if (!listXattrs(path).includes("trusted.overlay.opaque")) return false;
  const value = getXattr(path, "trusted.overlay.opaque");
  return value !== undefined && Buffer.from(value).toString() === "y";
}

/** Compares two whole trees; a changed node comes after the directories above it. */
function* treeChanges(tree: string, base: string | undefined): Generator<Change> {
  if (base === undefined) {
    for (const node of walkTree(tree)) yield { kind: "added", node };
    return;
  }
  const below = openDirectory(base);
  try {
    // A layer names the directories above each change, so that it can stand alone.
    const pending: WalkedNode[] = [];
    for (const name of missing(tree, base, "")) yield { kind: "deleted", path: name };
    for (const node of walkTree(tree)) {
      const old = statusBeneath(below, node.path);
      const deleted =
        old !== undefined && isDirectory(old) && isDirectory(node.status)
          ? missing(tree, base, node.path)
          : [];
      while (pending.length > 0 && !node.path.startsWith(`${pending.at(-1)?.path}/`)) pending.pop();
      if (old !== undefined && isSame(node.status, old) && deleted.length === 0) {
        if (isDirectory(node.status)) pending.push(node);
        continue;
      }
      for (const above of pending.splice(0)) yield { kind: "modified", node: above };
      yield { kind: old === undefined ? "added" : "modified", node };
      for (const path of deleted) yield { kind: "deleted", path };
    }
  } finally {
    closeFile(below);
  }
}

/** Paths in a directory of `base` that `tree` no longer has there. */
function missing(tree: string, base: string, path: string): string[] {
  const present = new Set(namesIn(tree, path));
  return namesIn(base, path)
    .filter((name) => !present.has(name))
    .sort()
    .map((name) => (path === "" ? name : `${path}/${name}`));
}

function namesIn(root: string, path: string): string[] {
  const fd = openDirectory(path === "" ? root : `${root}/${path}`);
  try {
    return readDirectory(fd).map((entry) => entry.name);
  } finally {
    closeFile(fd);
  }
}

/** As Docker compares: size and time of directories say nothing about them. */
function isSame(left: NodeStatus, right: NodeStatus): boolean {
  return (
    left.mode === right.mode &&
    left.uid === right.uid &&
    left.gid === right.gid &&
    left.deviceMajor === right.deviceMajor &&
    left.deviceMinor === right.deviceMinor &&
    (isDirectory(left) || (left.size === right.size && left.mtime === right.mtime))
  );
}
