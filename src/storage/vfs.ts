/**
 * vfs: each snapshot is a whole copy of its parent, in `<data root>/vfs/<short>/root`. Works on any file system
 * and needs nothing of the kernel; costs the space and time of the copy (nearly none where reflinks exist).
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { removeTree } from "../linux/directories.ts";
import type { StorageBackend } from "./backend.ts";
import { copyTree } from "./copy-tree.ts";
import { backingFileSystem } from "./file-systems.ts";
import { treeUsage } from "./usage.ts";

export function vfsBackend(dataRoot: string): StorageBackend {
  const root = join(dataRoot, "vfs");
  const tree = (directory: string) => join(root, directory, "root");
  const parentOf = (lower: readonly string[]) => (lower[0] === undefined ? undefined : tree(lower[0]));

  return {
    driver: "vfs",
    root,

    create: async (directory, lower) => {
      mkdirSync(join(root, directory), 0o710);
      mkdirSync(tree(directory), 0o755);
      const parent = parentOf(lower);
      if (parent !== undefined) await copyTree(parent, tree(directory));
    },

    freeze: () => {},
    destroy: (directory) => removeTree(join(root, directory)),

    mount: (directory) => tree(directory),
    unmount: () => {},
    isMounted: () => false,
    rootPath: tree,

    target: (directory, lower) => {
      const parent = parentOf(lower);
      return { path: tree(directory), whiteouts: "delete", lower: parent === undefined ? [] : [parent] };
    },

    usage: (directory, lower) => treeUsage(tree(directory), parentOf(lower)),
    describe: () => ({}),
    describeDriver: () => [["Backing Filesystem", backingFileSystem(root)]],
  };
}
