/**
 * What a layer that was unpacked alone takes over from those below, once they are there: an archive may put a file into
 * a directory that it does not name, and then the directory is to look as it did before.
 */
import { changeModeAt, changeOwnerAt, setTimesAt, tryStatusAt } from "../../linux/nodes.ts";
import { closeFile, openDirectory, openFlag, resolve, tryOpenResolved } from "../../linux/paths.ts";
import { isDirectory } from "../../linux/walk.ts";
import type { LayerTarget } from "../../storage/snapshotter.ts";
import { splitPath } from "./entry-name.ts";
import { OverlayStack } from "./overlay-stack.ts";

/** @param implied as `applyLayer` gave it; "" is the root. */
export function settleImplied(target: LayerTarget, implied: readonly string[]): void {
  if (implied.length === 0 || target.lower === undefined || target.lower.length === 0) return;
  using lower = new OverlayStack(target.lower);
  const root = openDirectory(target.path);
  try {
    // The kernel walks each path, inside the layer and through no symlink: the archive may have put one there.
    for (const path of implied) {
      const below = path === "" ? rootStatus(target.lower[0]) : lower.find(path);
      if (below === undefined || !isDirectory(below)) continue;
      const { parent, base } = splitPath(path);
      const flags = openFlag.path | openFlag.directory;
      const how = resolve.inRoot | resolve.noSymlinks | resolve.noMagicLinks;
      const fd = tryOpenResolved(root, parent === "" ? "." : parent, flags, how);
      if (fd < 0) continue;
      try {
        const name = base || ".";
        const status = tryStatusAt(fd, name);
        if (status === undefined || !isDirectory(status)) continue;
        changeOwnerAt(fd, name, below.uid, below.gid);
        changeModeAt(fd, name, below.mode & 0o7777);
        if (path !== "") setTimesAt(fd, name, below.atime, below.mtime);
      } finally {
        closeFile(fd);
      }
    }
  } finally {
    closeFile(root);
  }
}

function rootStatus(path: string | undefined): ReturnType<typeof tryStatusAt> {
  if (path === undefined) return undefined;
  const fd = openDirectory(path);
  try {
    return tryStatusAt(fd, ".");
  } finally {
    closeFile(fd);
  }
}
