/** What drivers have in common that keep the whole tree of each snapshot in its directory: nothing is ever mounted. */
import { join } from "../core/paths.ts";
import type { StorageBackend } from "./backend.ts";
import { backingFileSystem } from "./file-systems.ts";
import { treeUsage } from "./usage.ts";

export interface WholeTrees {
  readonly root: string;
  /** Of the snapshot in `directory`. */
  readonly tree: (directory: string) => string;
  /** The tree of the nearest ancestor, which a fresh snapshot begins as. */
  readonly parentOf: (lower: readonly string[]) => string | undefined;
  /** All of a backend but how trees are made, frozen and destroyed. */
  readonly backend: Omit<StorageBackend, "create" | "freeze" | "destroy">;
}

/** @param name of the tree in a snapshot's directory: `<data root>/<driver>/<directory>/<name>` */
export function wholeTrees(dataRoot: string, driver: string, name: string): WholeTrees {
  const root = join(dataRoot, driver);
  const tree = (directory: string) => join(root, directory, name);
  const parentOf = (lower: readonly string[]) => (lower[0] === undefined ? undefined : tree(lower[0]));
  return {
    root,
    tree,
    parentOf,
    backend: {
      driver,
      root,

      mount: tree,
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
    },
  };
}
