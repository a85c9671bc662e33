/**
 * Compares a layer that overlay keeps with its archive while that is read, without writing anything. It says "intact"
 * only where everything about every entry was seen to be right, and "doubtful" for all else: damage, and whatever an
 * archive can do that is not plain (names twice, paths through symlinks, times that the file system cannot keep).
 */
import { LinuxError } from "../core/errors.ts";
import type { Digest } from "../core/ids.ts";
import {
  isWhiteout,
  type NodeStatus,
  nextData,
  nodeType,
  readAt,
  readSymlinkAt,
  statusAt,
} from "../linux/nodes.ts";
import {
  atCurrentDirectory,
  closeFile,
  descriptorPath,
  openDirectory,
  openFlag,
  resolve,
  tryOpenResolved,
} from "../linux/paths.ts";
import { isDirectory, walkTree } from "../linux/walk.ts";
import { getXattr, listXattrs } from "../linux/xattrs.ts";
import type { LayerTarget } from "../storage/snapshotter.ts";
import { decompress } from "./layers/compression.ts";
import { cleanPath, splitPath } from "./layers/entry-name.ts";
import { OverlayStack } from "./layers/overlay-stack.ts";
import type { TarEntry, TarEntryType } from "./layers/tar-entry.ts";
import { TarParser, type TarSink } from "./layers/tar-parser.ts";

export interface ComparedEntries {
  readonly verdict: "intact" | "doubtful";
  /** Of the archive, and of the layer's files. */
  readonly bytesRead: number;
}

/**
 * @param blob the layer's intact blob.
 * @throws InvalidParameter for an archive that cannot be read.
 */
export async function compareEntries(
  blob: string,
  diffId: Digest,
  target: LayerTarget,
  signal: AbortSignal,
): Promise<ComparedEntries> {
  using verifier = new EntryVerifier(target);
  const hasher = new Bun.CryptoHasher("sha256");
  const parser = new TarParser(verifier);
  const { compression, stream } = await decompress({ path: blob }, { signal });
  // A plain tar is the blob, which was hashed before.
  const isHashed = compression !== "none";
  let since = 0;
  for await (const chunk of stream) {
    if (isHashed) hasher.update(chunk);
    parser.push(chunk);
    since += chunk.length;
    if (since < bytesBetweenTurns) continue;
    since = 0;
    await Bun.sleep(0);
    signal.throwIfAborted();
    if (verifier.isDoubtful) break;
  }
  if (!verifier.isDoubtful) {
    parser.finish();
    verifier.lookForOthers();
  }
  const isRight = !isHashed || `sha256:${hasher.digest("hex")}` === diffId;
  const verdict = isRight && !verifier.isDoubtful ? "intact" : "doubtful";
  return { verdict, bytesRead: parser.position + verifier.bytesRead };
}

const bytesBetweenTurns = 16 << 20;
const beneath = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;
const readFlags = openFlag.readOnly | openFlag.noFollow | openFlag.nonBlocking;
const whiteoutPrefix = ".wh.";
const whiteoutMetaPrefix = ".wh..wh.";
const opaqueMark = ".wh..wh..opq";
const zeros = Buffer.alloc(1 << 20);
const scratch = Buffer.alloc(1 << 20);

const typeBits: Record<Exclude<TarEntryType, "hard-link">, number> = {
  file: nodeType.file,
  directory: nodeType.directory,
  symlink: nodeType.symlink,
  "character-device": nodeType.characterDevice,
  "block-device": nodeType.blockDevice,
  fifo: nodeType.fifo,
};

/** More entries than this are not remembered: the layer is unpacked again instead. */
const mostEntries = 200_000;

class EntryVerifier implements TarSink, Disposable {
  isDoubtful = false;
  bytesRead = 0;
  readonly #target: LayerTarget;
  readonly #root: number;
  readonly #entries = new Map<string, TarEntry>();
  /** Directories that the archive uses, whether it names them or not. */
  readonly #parents = new Set<string>();
  readonly #whiteouts = new Set<string>();
  readonly #opaque = new Set<string>();
  #file = -1;
  #size = 0;
  #position = 0;

  constructor(target: LayerTarget) {
    this.#target = target;
    this.#root = openDirectory(target.path);
    this.isDoubtful = target.whiteouts !== "overlay";
  }

  [Symbol.dispose](): void {
    if (this.#file >= 0) closeFile(this.#file);
    closeFile(this.#root);
  }

  entry(entry: TarEntry): void {
    if (!this.isDoubtful) this.#ask(() => this.#take(entry));
  }

  data(bytes: Buffer, offset: number): void {
    if (this.#file < 0) return;
    this.#ask(() => this.#isZeroUntil(offset) && this.#holds(bytes, offset));
    this.#position = offset + bytes.length;
  }

  end(): void {
    if (this.#file < 0) return;
    this.#ask(() => this.#isZeroUntil(this.#size));
    closeFile(this.#file);
    this.#file = -1;
  }

  /** After the last entry: are there these and no others, and is each as the archive says? */
  lookForOthers(): void {
    this.#ask(() => this.#isWhole());
  }

  /** What cannot be read is doubtful, too. */
  #ask(question: () => boolean): void {
    try {
      if (!this.isDoubtful && !question()) this.isDoubtful = true;
    } catch (error) {
      if (!(error instanceof LinuxError)) throw error;
      this.isDoubtful = true;
    }
  }

  #take(entry: TarEntry): boolean {
    const path = cleanPath(entry.name);
    if (path === undefined || this.#entries.size >= mostEntries) return false;
    const { parent, base } = splitPath(path);
    for (let at = parent; at !== "" && !this.#parents.has(at); at = splitPath(at).parent)
      this.#parents.add(at);
    if (base === opaqueMark) this.#opaque.add(parent);
    else if (base.startsWith(whiteoutMetaPrefix)) return true;
    else if (base.startsWith(whiteoutPrefix)) {
      const name = base.slice(whiteoutPrefix.length);
      this.#whiteouts.add(parent === "" ? name : `${parent}/${name}`);
    } else {
      if (this.#entries.has(path)) return false;
      this.#entries.set(path, entry);
      if (entry.type === "file" && entry.size > 0) return this.#open(path, entry.size);
    }
    return true;
  }

  #open(path: string, size: number): boolean {
    this.#file = tryOpenResolved(this.#root, path, readFlags, beneath);
    this.#size = size;
    this.#position = 0;
    return this.#file >= 0;
  }

  /** True when the file has nothing but zeros, or a hole, from where it was read to up to `offset`. */
  #isZeroUntil(offset: number): boolean {
    while (this.#position < offset) {
      const start = nextData(this.#file, this.#position)?.start ?? offset;
      this.#position = Math.min(offset, Math.max(start, this.#position));
      const length = Math.min(zeros.length, offset - this.#position);
      if (length > 0 && !this.#holds(zeros.subarray(0, length), this.#position)) return false;
      this.#position += length;
    }
    return true;
  }

  #holds(bytes: Buffer, offset: number): boolean {
    for (let done = 0; done < bytes.length; ) {
      const wanted = Math.min(scratch.length, bytes.length - done);
      const got = readAt(this.#file, scratch.subarray(0, wanted), offset + done);
      if (got === 0 || scratch.compare(bytes, done, done + got, 0, got) !== 0) return false;
      done += got;
      this.bytesRead += got;
    }
    return true;
  }

  #isWhole(): boolean {
    using lower = new OverlayStack(this.#target.lower ?? []);
    if (!this.#isRootRight()) return false;
    const inodes = new Map<string, bigint>();
    // Of files with several names those that are found here; others are other layers', which may share a file.
    const names = new Map<bigint, number>();
    let whiteouts = 0;
    for (const { path, directory, name, status } of walkTree(this.#target.path)) {
      if (isWhiteout(status) && this.#whiteouts.has(path)) {
        whiteouts += 1;
        continue;
      }
      const subject = descriptorPath(directory, name);
      if (isDirectory(status) && this.#isOpaque(subject) !== this.#opaque.has(path)) return false;
      const entry = this.#entries.get(path);
      if (entry === undefined) {
        if (!this.#parents.has(path) || !isImplied(status, lower.find(path))) return false;
        continue;
      }
      inodes.set(path, status.inode);
      if (!isDirectory(status) && status.links > 1) {
        names.set(status.inode, (names.get(status.inode) ?? 0) + 1);
      }
      if (entry.type === "hard-link") continue;
      if (!hasAttributes(status, entry) || !hasXattrs(subject, entry.xattrs)) return false;
      if (entry.type === "symlink" && readSymlinkAt(directory, name) !== entry.linkName) return false;
    }
    return (
      whiteouts === this.#whiteouts.size &&
      inodes.size === this.#entries.size - (this.#entries.has("") ? 1 : 0) &&
      this.#areLinksRight(inodes, names)
    );
  }

  #areLinksRight(inodes: ReadonlyMap<string, bigint>, names: ReadonlyMap<bigint, number>): boolean {
    const expected = new Map<bigint, number>();
    for (const [path, entry] of this.#entries) {
      if (entry.type !== "hard-link") continue;
      const target = cleanPath(entry.linkName);
      const inode = inodes.get(path);
      if (target === undefined || inode === undefined || inodes.get(target) !== inode) return false;
      expected.set(inode, (expected.get(inode) ?? 1) + 1);
    }
    return [...names].every(([inode, found]) => found === (expected.get(inode) ?? 1));
  }

  #isRootRight(): boolean {
    const entry = this.#entries.get("");
    const status = statusAt(this.#root, "");
    if (this.#isOpaque(this.#root) !== this.#opaque.has("")) return false;
    if (entry !== undefined) {
      return (
        entry.type === "directory" && hasAttributes(status, entry) && hasXattrs(this.#root, entry.xattrs)
      );
    }
    const [below] = this.#target.lower ?? [];
    const inherited = below === undefined ? undefined : statusAt(atCurrentDirectory, below);
    return isImplied(status, inherited);
  }

  #isOpaque(subject: string | number): boolean {
    return getXattr(subject, "trusted.overlay.opaque") !== undefined;
  }
}

/** A directory that the archive uses and does not name: as the layers below have it, or plain. */
function isImplied(status: NodeStatus, below: NodeStatus | undefined): boolean {
  if (!isDirectory(status)) return false;
  return below !== undefined && isDirectory(below)
    ? status.mode === below.mode && status.uid === below.uid && status.gid === below.gid
    : (status.mode & 0o7777) === 0o755 && status.uid === 0 && status.gid === 0;
}

/** The times of directories say nothing (compare-trees.ts). */
function hasAttributes(status: NodeStatus, entry: TarEntry): boolean {
  if (entry.type === "hard-link") return false;
  const isDevice = entry.type === "character-device" || entry.type === "block-device";
  return (
    (status.mode & nodeType.mask) === typeBits[entry.type] &&
    (entry.type === "symlink" || (status.mode & 0o7777) === entry.mode) &&
    status.uid === entry.uid &&
    status.gid === entry.gid &&
    (entry.type === "directory" || status.mtime === entry.mtime) &&
    (entry.type !== "file" || status.size === entry.size) &&
    (!isDevice || (status.deviceMajor === entry.deviceMajor && status.deviceMinor === entry.deviceMinor))
  );
}

function hasXattrs(subject: string | number, expected: ReadonlyMap<string, Uint8Array>): boolean {
  const isCounted = (name: string) => name !== "security.selinux" && !name.startsWith("trusted.overlay.");
  const names = listXattrs(subject).filter(isCounted);
  if (names.length !== [...expected.keys()].filter(isCounted).length) return false;
  return names.every((name) => {
    const [actual, wanted] = [getXattr(subject, name), expected.get(name)];
    return actual !== undefined && wanted !== undefined && Buffer.compare(actual, wanted) === 0;
  });
}
