/**
 * vfs: each snapshot is a whole copy of its parent, in `<data root>/vfs/<short>/root`. Works on any file system
 * and needs nothing of the kernel; costs the space and time of the copy (nearly none where reflinks exist).
 */

import { join } from "../core/paths.ts";
import { removeTree } from "../linux/directories.ts";
import { mkdirSync } from "../linux/files.ts";
import type { StorageBackend } from "./backend.ts";
import { copyTree } from "./copy-tree.ts";
import { wholeTrees } from "./whole-trees.ts";

export function vfsBackend(dataRoot: string): StorageBackend {
  const { root, tree, parentOf, backend } = wholeTrees(dataRoot, "vfs", "root");
  return {
    ...backend,

    create: async (directory, lower) => {
      mkdirSync(join(root, directory), 0o710);
      mkdirSync(tree(directory), 0o755);
      const parent = parentOf(lower);
      if (parent !== undefined) await copyTree(parent, tree(directory));
    },

    freeze: () => {},
    destroy: (directory) => removeTree(join(root, directory)),
  };
}
