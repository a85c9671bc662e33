/** Measures trees, as `docker ps --size` and `image inspect` count: sizes of files, each inode once. */
import { type NodeStatus, nodeType } from "../linux/nodes.ts";
import { closeFile, openDirectory } from "../linux/paths.ts";
import { isDirectory, statusBeneath, walkTree } from "../linux/walk.ts";

export interface TreeUsage {
  bytes: number;
  inodes: number;
}

/**
 * What is below `root`, without root itself. With `base`, only what is not the same there: other type, size,
 * time, mode or owner.
 */
export function treeUsage(root: string, base?: string): TreeUsage {
  const usage: TreeUsage = { bytes: 0, inodes: 0 };
  const seen = new Set<bigint>();
  const below = base === undefined ? undefined : openDirectory(base);
  try {
    for (const { path, status } of walkTree(root)) {
      if (below !== undefined && isSame(status, statusBeneath(below, path))) continue;
      if (status.links > 1 && !isDirectory(status)) {
        if (seen.has(status.inode)) continue;
        seen.add(status.inode);
      }
      usage.inodes += 1;
      const type = status.mode & nodeType.mask;
      if (type === nodeType.file || type === nodeType.symlink) usage.bytes += status.size;
    }
  } finally {
    if (below !== undefined) closeFile(below);
  }
  return usage;
}

function isSame(status: NodeStatus, other: NodeStatus | undefined): boolean {
  return (
    other !== undefined &&
    status.mode === other.mode &&
    status.uid === other.uid &&
    status.gid === other.gid &&
    (isDirectory(status) || (status.size === other.size && status.mtime === other.mtime))
  );
}
