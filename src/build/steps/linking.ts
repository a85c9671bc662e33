/** Takes files over from the layer of an earlier copy: they get another name instead of being copied. */
import { hasErrno } from "../../core/errors.ts";
import { linkAt, nodeType, tryStatusAt } from "../../linux/nodes.ts";
import { openFlag, resolve, tryOpenResolved } from "../../linux/paths.ts";
import type { EarlierFiles } from "../cache/earlier.ts";
import type { ScannedNode } from "../context/scan.ts";
import type { CopyPart } from "./copy.ts";
import type { Owner } from "./owners.ts";

/** What a layer keeps of a file besides its content. */
interface Attributes extends Owner {
  readonly mode: number;
  readonly mtime: bigint;
}

const how = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;

/** A directory below an open one, by a path without links; undefined where there is none. */
export function tryOpenDirectory(directory: number, path: string): number | undefined {
  const fd = tryOpenResolved(
    directory,
    path === "" ? "." : path,
    openFlag.readOnly | openFlag.directory,
    how,
  );
  return fd < 0 ? undefined : fd;
}

export class Linking {
  readonly #earlier: EarlierFiles;
  readonly #path: string;
  readonly #top: string;
  readonly #single: (node: ScannedNode) => boolean;

  /** @param path of the part's directory, in both layers */
  constructor(earlier: EarlierFiles, path: string, part: CopyPart) {
    this.#earlier = earlier;
    this.#path = path;
    this.#top = part.scan.nodes[part.first]?.path ?? "";
    this.#single = singles(part);
  }

  /** The directory of the earlier layer that a directory of the scan was copied to. */
  open(path: string): number | undefined {
    return tryOpenDirectory(this.#earlier.layer, layerPath(this.#path, this.#top, path));
  }

  /**
   * @param from the directory of the earlier layer in which the file has the same name
   * @returns false when the file has to be copied: it is not there, or is another, or can have no more names.
   */
  tryLink(
    from: number,
    to: { readonly directory: number; readonly name: string },
    node: ScannedNode,
    wanted: Attributes,
  ): boolean {
    const { digest, xattrs, status } = node;
    if (digest === undefined || xattrs.size > 0 || !this.#single(node)) return false;
    if (this.#earlier.digestOf(layerPath(this.#path, this.#top, node.path)) !== digest) return false;
    const there = tryStatusAt(from, to.name);
    const isSame =
      there !== undefined &&
      (there.mode & nodeType.mask) === nodeType.file &&
      (there.mode & 0o7777) === wanted.mode &&
      there.uid === wanted.uid &&
      there.gid === wanted.gid &&
      there.mtime === wanted.mtime &&
      there.size === status.size;
    if (!isSame) return false;
    try {
      linkAt(from, to.name, to.directory, to.name);
      return true;
    } catch (error) {
      if (hasErrno(error, "EMLINK", "ENOENT", "EXDEV")) return false;
      throw error;
    }
  }
}

/** Files that a part has put into a layer and a later copy may take over: paths in the layer, and digests. */
export function* filesOfPart(part: CopyPart, path: string): Generator<readonly [string, string]> {
  const { nodes } = part.scan;
  const top = nodes[part.first]?.path ?? "";
  const isSingle = singles(part);
  for (let at = part.first + 1; at < part.end; at += 1) {
    const node = nodes[at];
    if (node?.digest === undefined || node.xattrs.size > 0 || !isSingle(node)) continue;
    yield [layerPath(path, top, node.path), node.digest];
  }
}

function layerPath(directory: string, top: string, path: string): string {
  const below = top === "" ? path : path.slice(top.length + 1);
  return [directory, below].filter((part) => part !== "").join("/");
}

/** Tells files that have one name in the part from those that have several: these are one file in the layer too. */
function singles({ scan, first, end }: CopyPart): (node: ScannedNode) => boolean {
  const counts = new Map<string, number>();
  for (let at = first; at < end; at += 1) {
    const status = scan.nodes[at]?.status;
    if (status === undefined || status.links < 2) continue;
    const key = `${status.device}:${status.inode}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return ({ status }) => status.links < 2 || counts.get(`${status.device}:${status.inode}`) === 1;
}
