/**
 * btrfs: each snapshot is a subvolume that shares the blocks of its parent.
 *
 *     <data root>/btrfs/<short>/tree        the whole tree of the snapshot
 *                              /nested-<n>  subvolumes that were found inside, on their way out
 *
 * Committed ones are read-only.
 */

import { hasErrno, messageOf, Unavailable } from "../core/errors.ts";
import { join } from "../core/paths.ts";
import {
  createSubvolume,
  destroySubvolume,
  setReadOnly,
  snapshotSubvolume,
  subvolumeInode,
} from "../linux/btrfs.ts";
import { readDirectory, removeTree } from "../linux/directories.ts";
import { fileSystemMagic, fileSystemStatus } from "../linux/disks.ts";
import { chmodSync, mkdirSync } from "../linux/files.ts";
import { statusAt, tryStatusAt } from "../linux/nodes.ts";
import { closeFile, openDirectory } from "../linux/paths.ts";
import { renameAt } from "../linux/rename.ts";
import { isDirectory, walkTree } from "../linux/walk.ts";
import type { StorageBackend } from "./backend.ts";
import { backingFileSystem } from "./file-systems.ts";
import { wholeTrees } from "./whole-trees.ts";

export function btrfsBackend(dataRoot: string): StorageBackend {
  const { root, tree, parentOf, backend } = wholeTrees(dataRoot, "btrfs", "tree");
  return {
    ...backend,

    create: async (directory, lower) => {
      const top = join(root, directory);
      mkdirSync(top, 0o710);
      const parent = parentOf(lower);
      withDirectory(top, (fd) => {
        if (parent === undefined) createSubvolume(fd, "tree");
        else withDirectory(parent, (source) => snapshotSubvolume(source, fd, "tree"));
      });
      if (parent === undefined) chmodSync(tree(directory), 0o755);
    },

    freeze: (directory) => {
      try {
        withDirectory(join(root, directory), (fd) => setReadOnly(fd, "tree", true));
      } catch (error) {
        // Its files are lost, which `check` tells: sweeping goes on.
        if (!hasErrno(error, "ENOENT")) throw error;
      }
    },
    destroy: (directory) => destroySubvolumesIn(join(root, directory)),
  };
}

/**
 * Tries what the driver needs in `dataRoot`.
 * @throws Unavailable that names what is missing and the way out.
 */
export function probeBtrfs(dataRoot: string): void {
  const wayOut = "use another --data-root, or --storage-driver overlay2";
  if (fileSystemStatus(dataRoot).magic !== fileSystemMagic.btrfs) {
    const found = backingFileSystem(dataRoot);
    throw new Unavailable(`btrfs cannot be used: the data root is on ${found}, not on btrfs; ${wayOut}`);
  }
  const probe = `.btrfs-probe-${process.pid}`;
  withDirectory(dataRoot, (fd) => {
    try {
      createSubvolume(fd, probe);
      destroySubvolume(fd, probe);
    } catch (error) {
      if (hasErrno(error, "ENOSPC", "EDQUOT", "EROFS", "EIO")) throw error;
      throw new Unavailable(
        `btrfs cannot be used: this user cannot make and remove subvolumes (${messageOf(error)}); ${wayOut}`,
        { cause: error },
      );
    }
  });
}

function withDirectory<Result>(path: string, work: (fd: number) => Result): Result {
  const fd = openDirectory(path);
  try {
    return work(fd);
  } finally {
    closeFile(fd);
  }
}

/**
 * Removes a snapshot's directory. A container may have made subvolumes inside, to any depth, read-only ones too; the
 * kernel removes none that holds others, so each that does gives them up to `directory` first.
 */
function destroySubvolumesIn(directory: string): void {
  try {
    for (let names = subvolumesIn(directory); names.length > 0; names = subvolumesIn(directory)) {
      withDirectory(directory, (top) => {
        for (const name of names) destroyEmptied(top, directory, name);
      });
    }
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
  }
  removeTree(directory);
}

function destroyEmptied(top: number, directory: string, name: string): void {
  try {
    destroySubvolume(top, name);
  } catch (error) {
    if (!hasErrno(error, "ENOTEMPTY")) throw error;
    setReadOnly(top, name, false);
    hoistNested(top, join(directory, name));
    destroySubvolume(top, name);
  }
}

/** Moves the subvolumes inside a subvolume beside it; what they hold themselves comes along. */
function hoistNested(top: number, subvolume: string): void {
  let number = 0;
  for (const { directory, name, status } of walkTree(subvolume)) {
    if (!isDirectory(status) || status.inode !== subvolumeInode) continue;
    // The kernel moves no read-only subvolume.
    setReadOnly(directory, name, false);
    while (tryStatusAt(top, `nested-${number}`) !== undefined) number += 1;
    renameAt(directory, name, top, `nested-${number}`);
  }
}

function subvolumesIn(directory: string): string[] {
  return withDirectory(directory, (fd) =>
    readDirectory(fd)
      .map(({ name }) => name)
      .filter((name) => statusAt(fd, name).inode === subvolumeInode),
  );
}
