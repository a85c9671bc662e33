/** Looks things up in overlay's lower directories as the mounted stack would show them. */

import { readDirectory } from "../../linux/directories.ts";
import { errnoNumber } from "../../linux/errno.ts";
import { linuxError } from "../../linux/libc.ts";
import { isWhiteout, type NodeStatus, statusAt } from "../../linux/nodes.ts";
import {
  closeFile,
  descriptorPath,
  openDirectory,
  openFlag,
  resolve,
  tryOpenResolved,
} from "../../linux/paths.ts";
import { isDirectory } from "../../linux/walk.ts";
import { getXattr } from "../../linux/xattrs.ts";
import { splitPath } from "./entry-name.ts";

const { ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG } = errnoNumber;
const how = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;

export class OverlayStack implements Disposable {
  readonly #layers: number[] = [];

  /** @param lower paths of the lower directories, topmost first. */
  constructor(lower: readonly string[]) {
    try {
      for (const path of lower) this.#layers.push(openDirectory(path, openFlag.path));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const fd of this.#layers.splice(0)) closeFile(fd);
  }

  /** What the stack has at a clean path; undefined where nothing is, or a whiteout says so. */
  find(path: string): NodeStatus | undefined {
    return this.locate(path)?.status;
  }

  /** As `find`, with the open lower directory that it is in. */
  locate(path: string): { readonly status: NodeStatus; readonly layer: number } | undefined {
    for (const layer of this.#layers) {
      const found = lookUp(layer, path);
      if (found === "hidden") return undefined;
      if (found !== undefined) return isWhiteout(found) ? undefined : { status: found, layer };
      if (hasOpaqueAncestor(layer, path)) return undefined;
    }
    return undefined;
  }

  /** Paths of all that the stack shows in a directory. */
  childrenOf(path: string): string[] {
    const names = new Map<string, boolean>();
    for (const layer of this.#layers) {
      const found = lookUp(layer, path);
      if (found === "hidden" || (found !== undefined && !isDirectory(found))) break;
      if (found !== undefined) {
        for (const { name } of namesIn(layer, path)) {
          const child = lookUp(layer, path === "" ? name : `${path}/${name}`);
          if (child === undefined || child === "hidden" || names.has(name)) continue;
          names.set(name, !isWhiteout(child));
        }
        if (isOpaque(layer, path)) break;
      }
      if (hasOpaqueAncestor(layer, path)) break;
    }
    return [...names]
      .filter(([, visible]) => visible)
      .map(([name]) => (path === "" ? name : `${path}/${name}`))
      .sort();
  }
}

/** "hidden" where something on the way is no directory: then no layer below shows through either. */
function lookUp(layer: number, path: string): NodeStatus | "hidden" | undefined {
  if (path === "") return statusAt(layer, "");
  const fd = tryOpenResolved(layer, path, openFlag.path | openFlag.noFollow, how);
  if (fd >= 0) {
    try {
      return statusAt(fd, "");
    } finally {
      closeFile(fd);
    }
  }
  if (fd === -ENOENT || fd === -ENAMETOOLONG) return undefined;
  if (fd === -ENOTDIR || fd === -ELOOP) return "hidden";
  throw linuxError("open", -fd, path);
}

function namesIn(layer: number, path: string): { name: string }[] {
  const fd = tryOpenResolved(layer, path === "" ? "." : path, openFlag.readOnly | openFlag.directory, how);
  if (fd < 0) throw linuxError("open", -fd, path);
  try {
    return readDirectory(fd);
  } finally {
    closeFile(fd);
  }
}

function hasOpaqueAncestor(layer: number, path: string): boolean {
  for (let at = splitPath(path).parent; at !== ""; at = splitPath(at).parent) {
    if (isOpaque(layer, at)) return true;
  }
  return false;
}

function isOpaque(layer: number, path: string): boolean {
  const fd = tryOpenResolved(layer, path === "" ? "." : path, openFlag.path | openFlag.directory, how);
  if (fd < 0) return false;
  try {
    const value = getXattr(descriptorPath(fd, "."), "trusted.overlay.opaque");
    return value !== undefined && Buffer.from(value).toString() === "y";
  } finally {
    closeFile(fd);
  }
}
