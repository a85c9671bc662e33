/**
 * The directory that a layer is unpacked into, and the only place where its paths meet the file system: every
 * parent directory is opened by the kernel inside the root (openat2, RESOLVE_IN_ROOT), everything else happens to
 * one name in such a directory, not following symlinks.
 */

import { hasErrno, InvalidParameter } from "../../core/errors.ts";
import { readDirectory, removeTreeAt } from "../../linux/directories.ts";
import { errnoNumber } from "../../linux/errno.ts";
import { linuxError } from "../../linux/libc.ts";
import {
  changeModeAt,
  changeOwnerAt,
  deviceNumber,
  isWhiteout,
  makeDirectoryAt,
  makeNodeAt,
  nodeType,
  readSymlinkAt,
  setTimesAt,
  statusAt,
  tryStatusAt,
} from "../../linux/nodes.ts";
import {
  closeFile,
  descriptorPath,
  openAt,
  openDirectory,
  openFlag,
  resolve,
  tryOpenResolved,
} from "../../linux/paths.ts";
import { isDirectory } from "../../linux/walk.ts";
import { setXattr } from "../../linux/xattrs.ts";
import type { LayerTarget } from "../../storage/snapshotter.ts";
import { cleanPath, quote, splitPath } from "./entry-name.ts";
import { OverlayStack } from "./overlay-stack.ts";

const { ENOENT, ENOTDIR, ELOOP } = errnoNumber;
/** Descriptors of parent directories kept open: archives name the files of a directory one after the other. */
const cachedParents = 128;
const mostSymlinks = 40;
const impliedMode = 0o755;
const whiteoutDevice = deviceNumber(0, 0);
const setGroupId = 0o2000;

export interface LayerRootOptions {
  /** The layers below are not here yet: directories that this one implies are listed instead (`implied`). */
  isAlone?: boolean;
  /** The umask of this thread is 0. */
  makesExactModes?: boolean;
}

export class LayerRoot implements Disposable {
  readonly fd: number;
  readonly #whiteouts: LayerTarget["whiteouts"];
  readonly #lowerPaths: readonly string[];
  #lower: OverlayStack | undefined;
  readonly #parents = new Map<string, number>();
  /** No longer to be given out, but perhaps in use for the entry at hand. */
  #retired: number[] = [];
  /** Times of directories, set at the end: whatever is made in a directory changes them. */
  readonly #times = new Map<string, { atime: bigint; mtime: bigint }>();
  /** With whiteouts by deletion: what this layer wrote itself and its whiteouts must leave alone. */
  readonly #written: Set<string> | undefined;
  readonly #isAlone: boolean;
  readonly #implied = new Set<string>();
  readonly #makesExactModes: boolean;
  /** A directory with the setgid bit was seen: what is made in one gets its group. */
  #inheritsGroup: boolean;

  constructor(target: LayerTarget, options: LayerRootOptions = {}) {
    this.fd = openDirectory(target.path);
    this.#whiteouts = target.whiteouts;
    this.#written = target.whiteouts === "delete" ? new Set() : undefined;
    this.#lowerPaths = target.whiteouts === "overlay" ? (target.lower ?? []) : [];
    this.#isAlone = options.isAlone === true;
    this.#makesExactModes = options.makesExactModes === true;
    // Where the tree below is copied in, its directories are not looked through for such bits.
    this.#inheritsGroup = target.whiteouts === "delete" || (statusAt(this.fd, ".").mode & setGroupId) !== 0;
    if (this.#isAlone) this.#implied.add("");
  }

  /**
   * Directories whose mode, owner and times are still to be taken from the layers below ("" for the root), for a
   * layer that was unpacked without them: see `settleImplied`.
   */
  get implied(): readonly string[] {
    return [...this.#implied];
  }

  /** True when what this process makes has its own user and group: root's. */
  get makesRootsFiles(): boolean {
    return !this.#inheritsGroup;
  }

  /** True when the mode that is given to open(2) and mkdir(2) is the mode that the file has. */
  get makesExactModes(): boolean {
    return this.#makesExactModes && !this.#inheritsGroup;
  }

  /** A directory entry of the archive has been given its attributes. */
  markNamed(path: string, mode: number): void {
    if ((mode & setGroupId) !== 0) this.#inheritsGroup = true;
    if (this.#isAlone) this.#implied.delete(path);
  }

  [Symbol.dispose](): void {
    this.#forgetParents();
    this.releaseStale();
    this.#lower?.[Symbol.dispose]();
    closeFile(this.fd);
  }

  /** To be called between entries: descriptors given out before may be closed. */
  releaseStale(): void {
    for (const fd of this.#retired) closeFile(fd);
    this.#retired = [];
  }

  /**
   * The open directory at a clean path; directories that are missing are made. The descriptor is the root's own
   * and valid until the next call of `parent`.
   * @throws InvalidParameter when something on the way is not a directory.
   */
  parent(path: string, jumps = 0): number {
    if (path === "") return this.fd;
    const cached = this.#parents.get(path);
    if (cached !== undefined) return cached;
    let fd = tryOpenResolved(
      this.fd,
      path,
      openFlag.path | openFlag.directory,
      resolve.inRoot | resolve.noMagicLinks,
    );
    if (fd < 0) {
      if (fd !== -ENOENT && fd !== -ENOTDIR) throw this.#badParent(path, -fd);
      if (jumps > mostSymlinks) throw this.#badParent(path, ELOOP);
      const moved = this.#makeMissing(path, jumps);
      if (moved !== undefined) return this.parent(moved, jumps + 1);
      fd = tryOpenResolved(
        this.fd,
        path,
        openFlag.path | openFlag.directory,
        resolve.inRoot | resolve.noMagicLinks,
      );
      if (fd < 0) throw this.#badParent(path, -fd);
    }
    if (this.#parents.size >= cachedParents) {
      for (const old of this.#parents.values()) closeFile(old);
      this.#parents.clear();
    }
    this.#parents.set(path, fd);
    return fd;
  }

  /** Opens an existing directory without making any; undefined where there is none. The caller closes it. */
  openExisting(path: string): number | undefined {
    const flags = openFlag.path | openFlag.directory;
    const fd = tryOpenResolved(
      this.fd,
      path === "" ? "." : path,
      flags,
      resolve.inRoot | resolve.noMagicLinks,
    );
    return fd < 0 ? undefined : fd;
  }

  /** Records that this layer itself holds `path`. */
  markWritten(path: string): void {
    if (this.#written === undefined) return;
    for (let at = path; at !== "" && !this.#written.has(at); at = splitPath(at).parent) this.#written.add(at);
  }

  setDirectoryTimes(path: string, atime: bigint, mtime: bigint): void {
    this.#times.set(path, { atime, mtime });
  }

  /** Takes away whatever has this name. */
  clear(parent: number, path: string, base: string): void {
    removeTreeAt(parent, base);
    // Also descriptors that led through a symlink of this name are stale now.
    this.#forgetParents();
    this.#times.delete(path);
  }

  /**
   * A directory of this name, made unless it is there. What else had the name goes; where that was a whiteout of
   * this layer, the new directory hides what lies below.
   * @returns true when it was made, with `mode` (less the umask).
   */
  makeDirectory(parent: number, path: string, base: string, mode = 0o700): boolean {
    try {
      makeDirectoryAt(parent, base, mode);
      return true;
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
    }
    const status = tryStatusAt(parent, base);
    if (status !== undefined && isDirectory(status)) return false;
    const hides = status !== undefined && isWhiteout(status);
    this.clear(parent, path, base);
    makeDirectoryAt(parent, base, mode);
    if (hides && this.#whiteouts === "overlay") this.#makeOpaque(parent, base);
    return true;
  }

  /** `.wh.<name>`: what lower layers have at `path` is gone; what this layer wrote there itself stays. */
  whiteOut(path: string): void {
    const { parent, base } = splitPath(path);
    if (this.#whiteouts === "delete") {
      const directory = this.openExisting(parent);
      if (directory === undefined) return;
      try {
        if (this.#written?.has(path) === true) this.#prune(directory, path, base);
        else this.clear(directory, path, base);
      } finally {
        closeFile(directory);
      }
      return;
    }
    const directory = this.parent(parent);
    try {
      makeNodeAt(directory, base, nodeType.characterDevice, whiteoutDevice);
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
      const status = tryStatusAt(directory, base);
      if (status !== undefined && isDirectory(status)) this.#makeOpaque(directory, base);
    }
  }

  /** `.wh..wh..opq` in the directory `path`: nothing of lower layers shows through it. */
  makeOpaque(path: string): void {
    if (this.#whiteouts === "overlay") {
      const directory = this.parent(path);
      setXattr(descriptorPath(directory, "."), "trusted.overlay.opaque", Buffer.from("y"));
      return;
    }
    const directory = this.openExisting(path);
    if (directory === undefined) return;
    try {
      this.#prune(directory, path, ".");
    } finally {
      closeFile(directory);
    }
  }

  /** Gives all directories their times. */
  finish(): void {
    const siblings = Map.groupBy(this.#times, ([path]) => splitPath(path).parent);
    for (const [parent, directories] of siblings) {
      const fd = this.openExisting(parent);
      if (fd === undefined) continue;
      try {
        for (const [path, { atime, mtime }] of directories) {
          const name = splitPath(path).base || ".";
          const status = tryStatusAt(fd, name);
          if (status !== undefined && isDirectory(status)) setTimesAt(fd, name, atime, mtime);
        }
      } finally {
        closeFile(fd);
      }
    }
  }

  /**
   * Makes the last directory of a path that could not be opened.
   * @returns another path to go on with, where it is a symlink to what is not there yet.
   */
  #makeMissing(path: string, jumps: number): string | undefined {
    const { parent, base } = splitPath(path);
    const directory = this.parent(parent, jumps);
    const status = tryStatusAt(directory, base);
    if (status === undefined) {
      this.#makeImplied(directory, path, base);
      return undefined;
    }
    if ((status.mode & nodeType.mask) === nodeType.symlink) {
      const target = readSymlinkAt(directory, base);
      // Only where to look next: the kernel resolves that path inside the root again.
      return cleanPath(target.startsWith("/") ? target : `/${parent}/${target}`);
    }
    if (isWhiteout(status) && this.#whiteouts === "overlay") {
      this.makeDirectory(directory, path, base);
      changeModeAt(directory, base, impliedMode);
      this.#implied.delete(path);
      return undefined;
    }
    if (isDirectory(status)) return undefined;
    throw this.#badParent(path, ENOTDIR);
  }

  /** A directory that the archive uses but does not hold: as the layers below have it, or plain. */
  #makeImplied(directory: number, path: string, base: string): void {
    makeDirectoryAt(directory, base, 0o700);
    this.markWritten(path);
    if (this.#isAlone) this.#implied.add(path);
    this.#lower ??= new OverlayStack(this.#lowerPaths);
    const below = this.#lower.find(path);
    if (below === undefined || !isDirectory(below)) {
      changeModeAt(directory, base, impliedMode);
      return;
    }
    changeOwnerAt(directory, base, below.uid, below.gid);
    changeModeAt(directory, base, below.mode & 0o7777);
    if ((below.mode & setGroupId) !== 0) this.#inheritsGroup = true;
    this.setDirectoryTimes(path, below.atime, below.mtime);
  }

  #makeOpaque(parent: number, base: string): void {
    setXattr(descriptorPath(parent, base), "trusted.overlay.opaque", Buffer.from("y"));
  }

  /** Removes below a directory what this layer did not write. */
  #prune(parent: number, path: string, base: string): void {
    const status = tryStatusAt(parent, base);
    if (status === undefined || !isDirectory(status)) return;
    const directory = openAt(parent, base, openFlag.readOnly | openFlag.directory | openFlag.noFollow);
    try {
      for (const { name } of readDirectory(directory)) {
        const inner = path === "" ? name : `${path}/${name}`;
        if (this.#written?.has(inner) === true) this.#prune(directory, inner, name);
        else this.clear(directory, inner, name);
      }
    } finally {
      closeFile(directory);
    }
  }

  #badParent(path: string, code: number): Error {
    if (code !== ENOTDIR && code !== ELOOP && code !== ENOENT) return linuxError("open", code, quote(path));
    const reason = code === ELOOP ? "too many levels of symbolic links" : "not a directory";
    return new InvalidParameter(`invalid path: ${quote(path)}: ${reason}`);
  }

  #forgetParents(): void {
    this.#retired.push(...this.#parents.values());
    this.#parents.clear();
  }
}
