/** Where a step puts its files: a mounted tree. The kernel resolves every path inside it. */
import { constants } from "node:os";
import { hasErrno } from "../../core/errors.ts";
import { cleanPath, splitPath } from "../../images/layers/entry-name.ts";
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
import { StepFailure } from "./failure.ts";
import type { Owner } from "./owners.ts";

const how = resolve.inRoot | resolve.noMagicLinks;
const mostLinks = 40;

export class TargetTree implements Disposable {
  /** Open directory. */
  readonly root: number;
  readonly #owner: Owner | undefined;

  /** @param owner of directories that have to be made */
  constructor(path: string, owner: Owner | undefined) {
    this.root = openDirectory(path);
    this.#owner = owner;
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
  open(path: string): number {
    return this.#open(relative(path), 0);
  }

  #open(path: string, jumps: number): number {
    const flags = openFlag.readOnly | openFlag.directory;
    const fd = tryOpenResolved(this.root, path || ".", flags, how);
    if (fd >= 0) return fd;
    if (fd !== -constants.errno.ENOENT || jumps > mostLinks) throw notDirectory(path, -fd);
    const { parent, base } = splitPath(path);
    const above = this.#open(parent, jumps + 1);
    try {
      const status = tryStatusAt(above, base);
      if (status === undefined) this.#make(above, base);
      else if ((status.mode & nodeType.mask) === nodeType.symlink) {
        // A link to what is not there: that is made, where the link says.
        const link = readSymlinkAt(above, base);
        const target = cleanPath(link.startsWith("/") ? link : `/${parent}/${link}`) ?? "";
        return this.#open(target, jumps + 1);
      }
    } finally {
      closeFile(above);
    }
    const made = tryOpenResolved(this.root, path, flags, how);
    if (made < 0) throw notDirectory(path, -made);
    return made;
  }

  #make(directory: number, name: string): void {
    try {
      makeDirectoryAt(directory, name, 0o755);
    } catch (error) {
      if (hasErrno(error, "EEXIST")) return;
      throw error;
    }
    changeModeAt(directory, name, 0o755);
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
  if (code === constants.errno.ENOTDIR) return new StepFailure(`mkdir /${path}: not a directory`);
  if (code === constants.errno.ELOOP) return new StepFailure(`/${path}: too many levels of symbolic links`);
  return linuxError("open", code, `/${path}`);
}
