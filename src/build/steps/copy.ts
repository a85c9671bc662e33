/** Copies what was scanned into a tree. */
import { hasErrno } from "../../core/errors.ts";
import { splitPath } from "../../images/layers/entry-name.ts";
import { SpaceWatch } from "../../images/layers/space.ts";
import { readDirectory, removeTreeAt } from "../../linux/directories.ts";
import { tryCopyRange } from "../../linux/disks.ts";
import {
  changeMode,
  changeModeAt,
  changeOwner,
  changeOwnerAt,
  deviceNumber,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  makeSymlinkAt,
  nodeType,
  readAt,
  setTimes,
  setTimesAt,
  statusAt,
  tryStatusAt,
  writeAt,
} from "../../linux/nodes.ts";
import { closeFile, descriptorPath, openAt, openFlag } from "../../linux/paths.ts";
import { isDirectory } from "../../linux/walk.ts";
import { setXattr } from "../../linux/xattrs.ts";
import type { EarlierFiles } from "../cache/earlier.ts";
import type { Scan, ScannedNode } from "../context/scan.ts";
import { openInTree } from "../context/tree.ts";
import { StepFailure } from "./failure.ts";
import { Linking, tryOpenDirectory } from "./linking.ts";
import type { ModeChange } from "./modes.ts";
import type { Owner } from "./owners.ts";

export interface CopyOptions {
  readonly owner: Owner | undefined;
  readonly mode: ModeChange | undefined;
  /**
   * Is told of directories that were empty, or not there, before: what goes into them may be copied later with
   * `copyPart`. Without it all is copied at once.
   */
  readonly later?: (part: CopyPart, directory: number) => void;
  readonly signal: AbortSignal;
}

/** For parts that are copied into a layer's own directory. */
export interface PartOptions extends CopyOptions {
  /** Later times become this; nanoseconds since 1970. */
  readonly latest: bigint | undefined;
  /** Files that are the same there get another name instead of being copied. */
  readonly earlier: EarlierFiles | undefined;
}

/** A directory of a scan, made already, whose content is still to be copied. */
export interface CopyPart {
  readonly scan: Scan;
  /** The directory's place among the scan's nodes, and that of the first node behind what is in it. */
  readonly first: number;
  readonly end: number;
}

/** Nodes between two turns of the event loop. */
const batch = 256;
/** Below so many nodes it is not worth while to copy them later. */
const worthLater = 64;

/**
 * Copies a scan: its first node becomes `name` in the open directory, or where `name` is "." its content goes into
 * that directory.
 * @returns the newest time of the files, in nanoseconds. @throws StepFailure when a file has changed meanwhile
 */
export async function copyScan(
  scanned: Scan,
  directory: number,
  name: string,
  options: CopyOptions,
): Promise<bigint> {
  using copy = new Copy(scanned, options, directory);
  await copy.run(directory, name);
  let newest = 0n;
  for (const node of scanned.nodes) {
    if (!isContextItself(scanned, node) && node.status.mtime > newest) newest = node.status.mtime;
  }
  return newest;
}

/** When something was last put into the context's directory says nothing of what is in it. */
function isContextItself({ tree, base }: Scan, { path }: ScannedNode): boolean {
  return tree.belongsToRoot && base === "" && path === "";
}

/**
 * Copies what was left for later.
 * @param to.directory open, and with nothing in it. @param to.path from the layer's top
 * @returns bytes of the files
 */
export async function copyPart(
  part: CopyPart,
  to: { readonly directory: number; readonly path: string },
  options: PartOptions,
): Promise<number> {
  const { earlier, latest } = options;
  const linking = earlier === undefined ? undefined : new Linking(earlier, to.path, part);
  using copy = new Copy(part.scan, options, to.directory, { latest, linking });
  await copy.part(part, to.directory);
  return copy.bytes;
}

interface Level {
  readonly path: string;
  readonly source: number;
  readonly target: number;
  readonly node: ScannedNode;
  /** The same directory of an earlier layer, where there is one. */
  readonly earlier: number | undefined;
}

const readFlags = openFlag.readOnly | openFlag.noFollow | openFlag.nonBlocking;
const newFile = openFlag.writeOnly | openFlag.create | openFlag.exclusive | openFlag.noFollow;
const directoryFlags = openFlag.readOnly | openFlag.directory | openFlag.noFollow;

class Copy implements Disposable {
  readonly #scan: Scan;
  readonly #options: CopyOptions;
  readonly #levels: Level[] = [];
  /** Names of files with several: where the first was copied to. */
  readonly #linked = new Map<string, { directory: number; name: string }>();
  readonly #kept: number[] = [];
  readonly #space: SpaceWatch;
  readonly #latest: bigint | undefined;
  readonly #linking: Linking | undefined;
  /** Of the files that were copied or linked. */
  bytes = 0;
  /** Nothing is in the way where is copied to. */
  #isFresh = false;

  /** @param directory on the file system that is copied to */
  constructor(
    scanned: Scan,
    options: CopyOptions,
    directory: number,
    { latest, linking }: { latest?: bigint | undefined; linking?: Linking | undefined } = {},
  ) {
    this.#scan = scanned;
    this.#options = options;
    this.#space = new SpaceWatch(directory);
    this.#latest = latest;
    this.#linking = linking;
  }

  [Symbol.dispose](): void {
    for (const level of this.#levels.splice(0)) closeLevel(level);
    for (const fd of this.#kept.splice(0)) closeFile(fd);
  }

  async run(directory: number, name: string): Promise<void> {
    const [first] = this.#scan.nodes;
    if (first === undefined) return;
    const { parent, base } = splitPath(this.#scan.base);
    if (!isDirectory(first.status)) {
      const source = openInTree(this.#scan.tree, parent);
      try {
        this.#node(source, base, directory, name, first);
      } finally {
        closeFile(source);
      }
      return;
    }
    this.#enter(openInTree(this.#scan.tree, this.#scan.base), directory, name, first);
    await this.#content(0, this.#scan.nodes.length);
  }

  #timeOf({ status: { mtime } }: ScannedNode): bigint {
    return this.#latest !== undefined && mtime > this.#latest ? this.#latest : mtime;
  }

  async part({ first, end }: CopyPart, directory: number): Promise<void> {
    const node = this.#scan.nodes[first];
    if (node === undefined) return;
    this.#isFresh = true;
    const { base, tree } = this.#scan;
    const path = [base, node.path].filter((each) => each !== "").join("/");
    const source = openInTree(tree, path);
    const target = openAt(directory, ".", directoryFlags);
    this.#levels.push({ path: node.path, source, target, node, earlier: this.#linking?.open(node.path) });
    await this.#content(first, end);
  }

  /** What is in the directory at `first`, which has been entered. */
  async #content(first: number, end: number): Promise<void> {
    const { nodes } = this.#scan;
    let at = this.#leaveForLater(first, end) ?? first + 1;
    for (let count = 1; at < end; count += 1) {
      if (count % batch === 0) {
        await Bun.sleep(0);
        this.#options.signal.throwIfAborted();
      }
      const node = nodes[at];
      if (node === undefined) break;
      this.#below(node);
      at = (isDirectory(node.status) ? this.#leaveForLater(at, end) : undefined) ?? at + 1;
    }
    while (this.#levels.length > 0) this.#leave();
  }

  /** @returns where to go on, when the content of the directory that was just entered is copied later. */
  #leaveForLater(first: number, end: number): number | undefined {
    const level = this.#levels.at(-1);
    const { later } = this.#options;
    if (later === undefined || level === undefined || readDirectory(level.target).length > 0)
      return undefined;
    const { nodes } = this.#scan;
    const prefix = level.path === "" ? "" : `${level.path}/`;
    let next = first + 1;
    while (next < end && nodes[next]?.path.startsWith(prefix) === true) next += 1;
    if (next - first < worthLater) return undefined;
    later({ scan: this.#scan, first, end: next }, level.target);
    this.#levels.pop();
    closeLevel(level);
    return next;
  }

  #below(node: ScannedNode): void {
    const { parent, base } = splitPath(node.path);
    while (this.#levels.length > 1 && this.#levels.at(-1)?.path !== parent) this.#leave();
    const level = this.#levels.at(-1);
    if (level === undefined) return;
    if (!isDirectory(node.status)) this.#node(level.source, base, level.target, base, node);
    else this.#enter(openAt(level.source, base, directoryFlags), level.target, base, node);
  }

  /** @param source open, and closed by this. */
  #enter(source: number, directory: number, name: string, node: ScannedNode): void {
    try {
      const isNew = name !== "." && this.#makeDirectory(directory, name);
      const target = openAt(directory, name, directoryFlags);
      // As in BuildKit: of what is there already only the destination itself keeps its attributes, but for its time;
      // and what is only on the way to what is copied, its owner.
      if (isNew || (node.path !== "" && !node.isOnTheWay)) this.#attributes(target, node);
      else if (node.path !== "") changeMode(target, node.status.mode & 0o7777);
      const above = this.#levels.at(-1)?.earlier;
      const earlier = above === undefined ? undefined : tryOpenDirectory(above, name);
      this.#levels.push({ path: node.path, source, target, node, earlier });
    } catch (error) {
      closeFile(source);
      throw error;
    }
  }

  #leave(): void {
    const level = this.#levels.pop();
    if (level === undefined) return;
    const { target, node } = level;
    // Now that all that is in it has been written.
    const mtime = isContextItself(this.#scan, node) ? this.#latest : this.#timeOf(node);
    if (mtime !== undefined) setTimes(target, mtime, mtime);
    closeLevel(level);
  }

  /** @returns false for a directory that is there; anything else of that name is in the way. */
  #makeDirectory(directory: number, name: string): boolean {
    this.#space.addNode(name);
    try {
      makeDirectoryAt(directory, name, 0o700);
      return true;
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
    }
    if (!isDirectory(statusAt(directory, name))) {
      throw new StepFailure(`cannot copy to non-directory: ${name}`);
    }
    return false;
  }

  #attributes(fd: number, node: ScannedNode): void {
    const { uid, gid } = this.#ownerOf(node);
    changeOwner(fd, uid, gid);
    changeMode(fd, this.#modeOf(node));
    for (const [name, value] of node.xattrs) setXattr(fd, name, value);
  }

  #ownerOf({ status }: ScannedNode): Owner {
    const { owner } = this.#options;
    if (owner !== undefined) return owner;
    return this.#scan.tree.belongsToRoot ? { uid: 0, gid: 0 } : status;
  }

  #modeOf({ status }: ScannedNode): number {
    return (this.#options.mode?.(status.mode) ?? status.mode) & 0o7777;
  }

  #node(from: number, source: string, directory: number, name: string, node: ScannedNode): void {
    const { status } = node;
    this.#space.addNode(name);
    const isFile = (status.mode & nodeType.mask) === nodeType.file;
    const links = isFile && status.links > 1 ? `${status.device}:${status.inode}` : undefined;
    const first = links === undefined ? undefined : this.#linked.get(links);
    if (!this.#isFresh) this.#clear(directory, name);
    if (first !== undefined) {
      linkAt(first.directory, first.name, directory, name);
      return;
    }
    if (links !== undefined) {
      const kept = openAt(directory, ".", openFlag.path | openFlag.directory);
      this.#kept.push(kept);
      this.#linked.set(links, { directory: kept, name });
    }
    switch (status.mode & nodeType.mask) {
      case nodeType.file:
        this.bytes += status.size;
        if (!this.#link(directory, name, node)) this.#file(from, source, directory, name, node);
        return;
      case nodeType.symlink:
        makeSymlinkAt(node.link ?? "", directory, name);
        break;
      default:
        makeNodeAt(
          directory,
          name,
          (status.mode & ~0o7777) | 0o600,
          deviceNumber(status.deviceMajor, status.deviceMinor),
        );
        changeModeAt(directory, name, this.#modeOf(node));
    }
    const { uid, gid } = this.#ownerOf(node);
    changeOwnerAt(directory, name, uid, gid);
    for (const [key, value] of node.xattrs) setXattr(descriptorPath(directory, name), key, value);
    const mtime = this.#timeOf(node);
    setTimesAt(directory, name, mtime, mtime);
  }

  /** Gives the file of an earlier layer this name, if that is the same. */
  #link(directory: number, name: string, node: ScannedNode): boolean {
    const earlier = this.#levels.at(-1)?.earlier;
    if (earlier === undefined || this.#linking === undefined) return false;
    const wanted = { ...this.#ownerOf(node), mode: this.#modeOf(node), mtime: this.#timeOf(node) };
    return this.#linking.tryLink(earlier, { directory, name }, node, wanted);
  }

  /** What has the name goes; not a directory with something in it. */
  #clear(directory: number, name: string): void {
    const there = tryStatusAt(directory, name);
    if (there === undefined) return;
    if (isDirectory(there)) throw new StepFailure(`cannot replace to directory ${name} with file`);
    removeTreeAt(directory, name);
  }

  #file(from: number, source: string, directory: number, name: string, node: ScannedNode): void {
    const { status } = node;
    const input = openAt(from, source, readFlags);
    try {
      const output = openAt(directory, name, newFile, 0o600);
      try {
        this.#bytes(input, output, status.size, name);
        const now = statusAt(input, "");
        const isSame = now.mtime === status.mtime && now.size === status.size && now.inode === status.inode;
        if (!isSame) throw new StepFailure(`${source} was changed while it was copied`);
        this.#attributes(output, node);
        const mtime = this.#timeOf(node);
        setTimes(output, mtime, mtime);
      } finally {
        closeFile(output);
      }
    } finally {
      closeFile(input);
    }
  }

  #bytes(input: number, output: number, size: number, name: string): void {
    if (size === 0) return;
    this.#space.addBytes(size, name);
    if (size > smallFile && tryCopyRange(input, output, 0, size)) return;
    for (let done = 0; done < size; ) {
      const got = readAt(input, buffer.subarray(0, Math.min(buffer.length, size - done)), done, name);
      if (got === 0) return;
      writeAt(output, got === buffer.length ? buffer : buffer.subarray(0, got), done, name);
      done += got;
    }
  }
}

function closeLevel({ source, target, earlier }: Level): void {
  closeFile(source);
  closeFile(target);
  if (earlier !== undefined) closeFile(earlier);
}

/** Below this, reading and writing is quicker than asking the kernel to copy. */
const smallFile = 64 << 10;
const buffer = new Uint8Array(1 << 18);
