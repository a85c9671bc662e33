/** Where a step puts its files: a mounted tree. The kernel resolves every path inside it. */

import { hasErrno } from "../../core/errors.ts";
import { cleanPath, splitPath } from "../../images/layers/entry-name.ts";
import { errnoNumber } from "../../linux/errno.ts";
import { linuxError } from "../../linux/libc.ts";
import {
  changeModeAt,
  changeOwnerAt,
  makeDirectoryAt,
  nodeType,
  readSymlinkAt,
  tryStatusAt,
} from "../../linux/nodes.ts";
import { closeFile, openDirectory, openFlag, resolve, tryOpenResolved } from "../../linux/paths.ts";
import { isDirectory } from "../../linux/walk.ts";
import { pathBelow } from "../context/tree.ts";
import { StepFailure } from "./failure.ts";
import type { Owner } from "./owners.ts";

const how = resolve.inRoot | resolve.noMagicLinks;
const mostLinks = 40;

export class TargetTree implements Disposable {
  /** Open directory. */
  readonly root: number;
  readonly #owner: Owner | undefined;
  readonly #mode: number;

  /** @param owner of directories that have to be made, @param mode theirs */
  constructor(path: string, owner: Owner | undefined, mode = 0o755) {
    this.root = openDirectory(path);
    this.#owner = owner;
    this.#mode = mode;
  }

  [Symbol.dispose](): void {
    closeFile(this.root);
  }

  /** True when the path leads to a directory, through links too. */
  isDirectory(path: string): boolean {
    const fd = tryOpenResolved(this.root, relative(path), openFlag.path | openFlag.directory, how);
    if (fd < 0) return false;
    closeFile(fd);
    return true;
  }

  /**
   * Opens a directory; what is missing on the way is made. The caller closes it.
   * @throws StepFailure when something on the way is no directory
   */
  open(path: string, mode = this.#mode): number {
    return this.#open(relative(path), mode, 0);
  }

  /**
   * Where a file of this path belongs: its links are followed, also to what is not there. The caller closes
   * `directory`. @throws StepFailure as `open`
   */
  openParent(path: string): { directory: number; base: string } {
    let at = relative(path);
    for (let jumps = 0; ; jumps += 1) {
      const { parent, base } = splitPath(at);
      const directory = this.open(parent);
      const status = base === "" ? undefined : tryStatusAt(directory, base);
      if (status === undefined || (status.mode & nodeType.mask) !== nodeType.symlink) {
        return { directory, base: base === "" ? "." : base };
      }
      try {
        if (jumps > mostLinks) throw notDirectory(path, errnoNumber.ELOOP);
        at = this.#linkedPath(directory, base);
      } finally {
        closeFile(directory);
      }
    }
  }

  /** What a link says, from the root. */
  #linkedPath(directory: number, name: string): string {
    const link = readSymlinkAt(directory, name);
    return cleanPath(link.startsWith("/") ? link : `/${pathBelow(this.root, directory)}/${link}`) ?? "";
  }

  #open(path: string, mode: number, jumps: number): number {
    const flags = openFlag.readOnly | openFlag.directory;
    const fd = tryOpenResolved(this.root, path || ".", flags, how);
    if (fd >= 0) return fd;
    if (fd !== -errnoNumber.ENOENT || jumps > mostLinks) throw notDirectory(path, -fd);
    const { parent, base } = splitPath(path);
    const above = this.#open(parent, mode, jumps + 1);
    try {
      const status = tryStatusAt(above, base);
      if (status === undefined) this.#make(above, base, mode);
      else if ((status.mode & nodeType.mask) === nodeType.symlink) {
        // A link to what is not there: that is made, where the link says.
        return this.#open(this.#linkedPath(above, base), mode, jumps + 1);
      }
    } finally {
      closeFile(above);
    }
    const made = tryOpenResolved(this.root, path, flags, how);
    if (made < 0) throw notDirectory(path, -made);
    return made;
  }

  #make(directory: number, name: string, mode: number): void {
    try {
      makeDirectoryAt(directory, name, mode);
    } catch (error) {
      if (hasErrno(error, "EEXIST")) return;
      throw error;
    }
    changeModeAt(directory, name, mode);
    if (this.#owner !== undefined) changeOwnerAt(directory, name, this.#owner.uid, this.#owner.gid);
  }
}

/** A directory that is not there yet would be made by `open`; this says whether one is. */
export function isDirectoryAt(directory: number, name: string): boolean {
  const status = tryStatusAt(directory, name);
  return status !== undefined && isDirectory(status);
}

function relative(path: string): string {
  return cleanPath(path.startsWith("/") ? path : `/${path}`) ?? "";
}

function notDirectory(path: string, code: number): Error {
  if (code === errnoNumber.ENOTDIR) return new StepFailure(`mkdir /${path}: not a directory`);
  if (code === errnoNumber.ELOOP) return new StepFailure(`/${path}: too many levels of symbolic links`);
  return linuxError("open", code, `/${path}`);
}
