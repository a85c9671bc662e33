/**
 * Overlay marks a directory that was removed and made again as opaque: nothing of the layers below shows through.
 * Layers say the same with a whiteout for each name, as the image specification asks for and BuildKit does.
 */
import { splitPath } from "../../images/layers/entry-name.ts";
import type { OverlayStack } from "../../images/layers/overlay-stack.ts";
import { readDirectory } from "../../linux/directories.ts";
import { deviceNumber, makeNodeAt, nodeType, setTimesAt, statusAt } from "../../linux/nodes.ts";
import { closeFile, descriptorPath, openFlag, openResolved, resolve } from "../../linux/paths.ts";
import { isDirectory, statusBeneath } from "../../linux/walk.ts";
import { removeXattr } from "../../linux/xattrs.ts";

export const opaqueMark = "trusted.overlay.opaque";

const how = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;
const whiteoutDevice = deviceNumber(0, 0);

/** @param top the layer's open directory. @param path of an opaque directory in it. @param lower what it hides */
export function spellOutOpaque(top: number, path: string, lower: OverlayStack): void {
  const directory = openResolved(top, path, openFlag.readOnly | openFlag.directory, how);
  try {
    const { atime, mtime } = statusAt(directory, "");
    const present = new Set(readDirectory(directory).map(({ name }) => name));
    for (const hidden of lower.childrenOf(path)) {
      const { base } = splitPath(hidden);
      if (!present.has(base)) makeNodeAt(directory, base, nodeType.characterDevice, whiteoutDevice);
      // What is below it in both would show through now.
      else if (isDirectoryIn(top, hidden)) spellOutOpaque(top, hidden, lower);
    }
    removeXattr(descriptorPath(directory, "."), opaqueMark);
    setTimesAt(directory, ".", atime, mtime);
  } finally {
    closeFile(directory);
  }
}

function isDirectoryIn(top: number, path: string): boolean {
  const status = statusBeneath(top, path);
  return status !== undefined && isDirectory(status);
}
