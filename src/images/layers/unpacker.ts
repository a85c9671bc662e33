/** The sink of the tar parser that makes the entries of a layer below a LayerRoot. */
import { hasErrno, InvalidParameter, LinuxError } from "../../core/errors.ts";
import { linuxError } from "../../linux/libc.ts";
import {
  changeMode,
  changeModeAt,
  changeOwner,
  changeOwnerAt,
  deviceNumber,
  linkAt,
  makeNodeAt,
  makeSymlinkAt,
  nodeType,
  setTimes,
  setTimesAt,
  truncate,
  writeAt,
} from "../../linux/nodes.ts";
import { closeFile, descriptorPath, openAt, openFlag } from "../../linux/paths.ts";
import { setXattr } from "../../linux/xattrs.ts";
import { cleanPath, entryPath, quote, splitPath } from "./entry-name.ts";
import type { LayerRoot } from "./layer-root.ts";
import { SpaceWatch } from "./space.ts";
import type { TarEntry } from "./tar-entry.ts";
import type { TarSink } from "./tar-parser.ts";

/** What one layer may cost, beyond the free space of the file system (which is never used up to the last). */
export interface LayerLimits {
  entries: number;
  /** Bytes of all files together as `ls` shows them, holes included. */
  bytes: number;
}

const whiteoutPrefix = ".wh.";
/** Marks of aufs begin with this; only the opaque one means something to others. */
const whiteoutMetaPrefix = ".wh..wh.";
const opaqueMark = ".wh..wh..opq";

const zeros = Buffer.alloc(1 << 16);
/** A shorter run of zeros is not worth a hole: the block of most file systems. */
const smallestHole = 4096;

export class Unpacker implements TarSink {
  readonly #root: LayerRoot;
  readonly #limits: LayerLimits;
  readonly #owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly #space: SpaceWatch;
  #entry: TarEntry | undefined;
  #file = -1;
  #fileEnd = 0;
  entries = 0;
  size = 0;
  /** Of the entries' times; nanoseconds since 1970. */
  newest = 0n;

  /** @param owner of everything, whatever the archive says */
  constructor(root: LayerRoot, limits: LayerLimits, owner?: { readonly uid: number; readonly gid: number }) {
    this.#root = root;
    this.#limits = limits;
    this.#owner = owner;
    this.#space = new SpaceWatch(root.fd);
  }

  /** Closes what a failed archive left open. */
  abandon(): void {
    if (this.#file >= 0) closeFile(this.#file);
    this.#file = -1;
  }

  entry(entry: TarEntry): void {
    this.entries += 1;
    if (entry.mtime > this.newest) this.newest = entry.mtime;
    if (this.#owner !== undefined) Object.assign(entry, this.#owner);
    // As Docker counts: a symlink is as long as its target.
    this.size += entry.type === "symlink" ? Buffer.byteLength(entry.linkName) : entry.size;
    if (this.entries > this.#limits.entries) {
      throw new InvalidParameter(`the layer holds more than ${this.#limits.entries} entries`);
    }
    if (this.size > this.#limits.bytes) {
      throw new InvalidParameter(
        `the layer unpacks to more than ${this.#limits.bytes} bytes (at ${quote(entry.name)})`,
      );
    }
    this.#entry = entry;
    this.#space.addNode(entry.name);
    try {
      this.#make(entry, entryPath(entry.name));
    } catch (error) {
      throw named(error, entry);
    }
  }

  data(bytes: Buffer, offset: number): void {
    const entry = this.#entry;
    if (this.#file < 0 || entry === undefined) return;
    try {
      this.#write(entry, bytes, offset);
    } catch (error) {
      throw named(error, entry);
    }
  }

  end(): void {
    const entry = this.#entry;
    this.#entry = undefined;
    if (this.#file < 0 || entry === undefined) return;
    const fd = this.#file;
    try {
      // A hole at the end, which nothing was written into.
      if (this.#fileEnd < entry.size) truncate(fd, entry.size);
      const hasOwner = this.#isMadeFor(entry);
      if (!hasOwner) changeOwner(fd, entry.uid, entry.gid);
      if (!hasOwner || !this.#isMadeWith(entry.mode)) changeMode(fd, entry.mode);
      // After chown, which clears security.capability.
      if (entry.xattrs.size > 0) setXattrs(fd, entry);
      setTimes(fd, entry.atime ?? entry.mtime, entry.mtime);
    } catch (error) {
      throw named(error, entry);
    } finally {
      this.#file = -1;
      closeFile(fd);
    }
  }

  #make(entry: TarEntry, path: string): void {
    this.#root.releaseStale();
    const { parent: parentPath, base } = splitPath(path);
    if (base.startsWith(whiteoutPrefix)) {
      this.#whiteOut(entry, parentPath, base);
      return;
    }
    if (path === "") {
      if (entry.type !== "directory")
        throw new InvalidParameter(`invalid path: ${quote(entry.name)} is the root`);
      this.#attributes(entry, this.#root.fd, ".");
      this.#root.markNamed("", entry.mode);
      this.#root.setDirectoryTimes("", entry.atime ?? entry.mtime, entry.mtime);
      return;
    }
    const parent = this.#root.parent(parentPath);
    this.#root.markWritten(path);
    switch (entry.type) {
      case "file": {
        // What is not root's gets its mode when it has its owner: nobody else may be let in before.
        const mode = this.#isMadeFor(entry) && this.#isMadeWith(entry.mode) ? entry.mode : 0o600;
        this.#file = this.#replacing(parent, path, base, () => openAt(parent, base, newFile, mode));
        this.#fileEnd = 0;
        return;
      }
      case "directory": {
        const isExact = this.#isMadeFor(entry) && this.#isMadeWith(entry.mode);
        const isNew = this.#root.makeDirectory(parent, path, base, isExact ? entry.mode : 0o700);
        if (!isNew || !isExact) this.#attributes(entry, parent, base);
        else if (entry.xattrs.size > 0) setXattrs(descriptorPath(parent, base), entry);
        this.#root.markNamed(path, entry.mode);
        this.#root.setDirectoryTimes(path, entry.atime ?? entry.mtime, entry.mtime);
        return;
      }
      case "hard-link":
        this.#link(entry, parent, path, base);
        return;
      case "symlink":
        this.#replacing(parent, path, base, () => makeSymlinkAt(entry.linkName, parent, base));
        break;
      default: {
        const mode = nodeBits[entry.type] | 0o600;
        this.#replacing(parent, path, base, () => makeNodeAt(parent, base, mode, device(entry)));
      }
    }
    this.#attributes(entry, parent, base);
    setTimesAt(parent, base, entry.atime ?? entry.mtime, entry.mtime);
  }

  #whiteOut(entry: TarEntry, parent: string, base: string): void {
    if (base === opaqueMark) {
      this.#root.makeOpaque(parent);
      return;
    }
    if (base.startsWith(whiteoutMetaPrefix)) return;
    const name = base.slice(whiteoutPrefix.length);
    if (name === "" || name === "." || name === "..") {
      throw new InvalidParameter(`invalid path: ${quote(entry.name)} is not the whiteout of a name`);
    }
    this.#root.whiteOut(parent === "" ? name : `${parent}/${name}`);
  }

  #link(entry: TarEntry, parent: number, path: string, base: string): void {
    const target = cleanPath(entry.linkName);
    const invalid = () =>
      new InvalidParameter(`invalid hardlink ${quote(entry.name)} -> ${quote(entry.linkName)}`);
    if (target === undefined || target === "" || target === path) throw invalid();
    const from = splitPath(target);
    const directory = this.#root.openExisting(from.parent);
    if (directory === undefined) throw invalid();
    try {
      this.#replacing(parent, path, base, () => linkAt(directory, from.base, parent, base));
    } catch (error) {
      // ENOENT: no such target inside the root; EPERM: a directory.
      if (hasErrno(error, "ENOENT", "EPERM", "ENOTDIR")) throw invalid();
      throw error;
    } finally {
      closeFile(directory);
    }
  }

  /** Makes something new; what has the name already goes first. */
  #replacing<Result>(parent: number, path: string, base: string, make: () => Result): Result {
    try {
      return make();
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
    }
    this.#root.clear(parent, path, base);
    return make();
  }

  /** True when what this process makes belongs to whom the entry names. */
  #isMadeFor(entry: TarEntry): boolean {
    return entry.uid === 0 && entry.gid === 0 && this.#root.makesRootsFiles;
  }

  /** True when open(2) and mkdir(2) give this mode themselves. */
  #isMadeWith(mode: number): boolean {
    return mode <= 0o777 && this.#root.makesExactModes;
  }

  #attributes(entry: TarEntry, parent: number, base: string): void {
    changeOwnerAt(parent, base, entry.uid, entry.gid);
    if (entry.type !== "symlink") changeModeAt(parent, base, entry.mode);
    if (entry.xattrs.size > 0) setXattrs(descriptorPath(parent, base), entry);
  }

  /** Leaves out long runs of zeros: they become holes, and a layer of nothing but zeros costs nothing. */
  #write(entry: TarEntry, bytes: Buffer, offset: number): void {
    let from = 0;
    for (let at = 0; at < bytes.length; ) {
      const length = Math.min(bytes.length - at, zeros.length - ((offset + at) % zeros.length));
      if (length >= smallestHole && zeros.compare(bytes, at, at + length, 0, length) === 0) {
        this.#flush(entry, bytes, from, at, offset);
        from = at + length;
      }
      at += length;
    }
    this.#flush(entry, bytes, from, bytes.length, offset);
  }

  #flush(entry: TarEntry, bytes: Buffer, from: number, to: number, offset: number): void {
    if (from >= to) return;
    this.#space.addBytes(to - from, entry.name);
    writeAt(this.#file, from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), offset + from);
    this.#fileEnd = offset + to;
  }
}

const newFile = openFlag.writeOnly | openFlag.create | openFlag.exclusive | openFlag.noFollow;

const nodeBits = {
  "character-device": nodeType.characterDevice,
  "block-device": nodeType.blockDevice,
  fifo: nodeType.fifo,
} as const;

function device(entry: TarEntry): bigint {
  return entry.type === "fifo" ? 0n : deviceNumber(entry.deviceMajor, entry.deviceMinor);
}

/** What overlay itself keeps in xattrs is not a layer's to say: it could redirect into other directories. */
const overlayPrefix = "trusted.overlay.";

function setXattrs(subject: string | number, entry: TarEntry): void {
  for (const [name, value] of entry.xattrs) {
    if (name.startsWith(overlayPrefix)) continue;
    try {
      setXattr(subject, name, value);
    } catch (error) {
      // As Docker: a file system without xattrs, or user.* on a symlink or device, is no reason to fail.
      if (!hasErrno(error, "ENOTSUP", "EOPNOTSUPP", "EPERM")) throw error;
    }
  }
}

/** System calls know one name in a directory; who reads the message wants the entry. */
function named(error: unknown, entry: TarEntry): unknown {
  return error instanceof LinuxError ? linuxError(error.syscall, error.errno, quote(entry.name)) : error;
}
