/** Tells in what two directory trees differ: one that was just unpacked, and one that should be the same. */
import { messageOf } from "../core/errors.ts";
import {
  isWhiteout,
  type NodeStatus,
  nextData,
  nodeType,
  readAt,
  readSymlinkAt,
  statusAt,
} from "../linux/nodes.ts";
import { descriptorPath, OpenFile, openAt, openDirectory, openFlag } from "../linux/paths.ts";
import { isDirectory, type WalkedNode, walkTree } from "../linux/walk.ts";
import { getXattr, listXattrs } from "../linux/xattrs.ts";

export interface TreeComparison {
  /** The first few differences, in words that begin with the path. */
  readonly differences: readonly string[];
  /** How many there are in all. */
  readonly count: number;
  /** Bytes that were read of both. */
  readonly bytesRead: number;
}

const mostWords = 3;

/**
 * Compares types, modes, owners, sizes, times of change (but for directories), extended attributes, targets of links,
 * hard links and content. Never throws for a node that cannot be read: that is a difference.
 */
export async function compareTrees(
  expected: string,
  actual: string,
  signal: AbortSignal,
): Promise<TreeComparison> {
  const comparison = new Comparison();
  try {
    comparison.roots(expected, actual);
    for (const step of pairs(expected, actual)) {
      comparison.node(step);
      if (comparison.isDue()) {
        await Bun.sleep(0);
        signal.throwIfAborted();
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    comparison.add("", `cannot be read: ${messageOf(error)}`);
  }
  return comparison;
}

interface Pair {
  expected: WalkedNode | undefined;
  actual: WalkedNode | undefined;
}

/** Both walks side by side: a node that only one of them has stands alone. */
function* pairs(expected: string, actual: string): Generator<Pair> {
  const [left, right] = [walkTree(expected), walkTree(actual)];
  try {
    let [a, b] = [next(left), next(right)];
    while (a !== undefined || b !== undefined) {
      const order = a === undefined ? 1 : b === undefined ? -1 : compareOrder(a.path, b.path);
      yield { expected: order <= 0 ? a : undefined, actual: order >= 0 ? b : undefined };
      if (order <= 0) a = next(left);
      if (order >= 0) b = next(right);
    }
  } finally {
    left.return();
    right.return();
  }
}

function next(walk: Generator<WalkedNode, void, void>): WalkedNode | undefined {
  const { done, value } = walk.next();
  return done === true || value === undefined ? undefined : value;
}

/** The order of a walk: a directory before what it holds, and that before its neighbours. */
function compareOrder(left: string, right: string): number {
  const [a, b] = [left.replaceAll("/", "\0"), right.replaceAll("/", "\0")];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Nodes, and bytes, between two turns of the event loop. */
const nodesBetweenTurns = 200;
const bytesBetweenTurns = 16 << 20;

class Comparison implements TreeComparison {
  readonly differences: string[] = [];
  count = 0;
  bytesRead = 0;
  /** The first name of each inode that has several, in both trees. */
  readonly #names = [new Map<bigint, string>(), new Map<bigint, string>()] as const;
  #nodes = 0;
  #turnAt = bytesBetweenTurns;

  add(path: string, problem: string): void {
    this.count += 1;
    if (this.differences.length < mostWords) this.differences.push(`/${path} ${problem}`);
  }

  isDue(): boolean {
    this.#nodes += 1;
    if (this.#nodes % nodesBetweenTurns !== 0 && this.bytesRead < this.#turnAt) return false;
    this.#turnAt = this.bytesRead + bytesBetweenTurns;
    return true;
  }

  roots(expected: string, actual: string): void {
    using left = new OpenFile(openDirectory(expected));
    using right = new OpenFile(openDirectory(actual));
    const problem =
      attributeProblem(statusAt(left.fd, ""), statusAt(right.fd, "")) ?? xattrProblem(left.fd, right.fd);
    if (problem !== undefined) this.add("", problem);
  }

  node({ expected, actual }: Pair): void {
    const path = (expected ?? actual)?.path ?? "";
    const problem = this.#pairProblem(expected, actual);
    if (problem !== undefined) this.add(path, problem);
  }

  #pairProblem(expected: WalkedNode | undefined, actual: WalkedNode | undefined): string | undefined {
    if (actual === undefined) return "is missing";
    if (expected === undefined) return "should not be there";
    try {
      return this.#problem(expected, actual);
    } catch (error) {
      return `cannot be read: ${messageOf(error)}`;
    }
  }

  #problem(expected: WalkedNode, actual: WalkedNode): string | undefined {
    const [left, right] = [expected.status, actual.status];
    if ((left.mode & nodeType.mask) !== (right.mode & nodeType.mask)) return "is of another type";
    if (isWhiteout(left) && isWhiteout(right)) return undefined;
    // How many names a file has says nothing: other layers may share it.
    if (!isDirectory(left) && (left.links > 1 || right.links > 1)) {
      const first = firstName(this.#names[0], expected);
      if (first !== firstName(this.#names[1], actual)) return "is a hard link to another file";
      // Of several names of one file, only the first is looked into.
      if (first !== expected.path) return undefined;
    }
    return (
      attributeProblem(left, right) ??
      timeProblem(left, right) ??
      xattrProblem(
        descriptorPath(expected.directory, expected.name),
        descriptorPath(actual.directory, actual.name),
      ) ??
      this.#contentProblem(expected, actual)
    );
  }

  #contentProblem(expected: WalkedNode, actual: WalkedNode): string | undefined {
    const type = expected.status.mode & nodeType.mask;
    if (type === nodeType.symlink) {
      const [left, right] = [
        readSymlinkAt(expected.directory, expected.name),
        readSymlinkAt(actual.directory, actual.name),
      ];
      return left === right ? undefined : "leads somewhere else";
    }
    if (type !== nodeType.file || expected.status.size === 0) return undefined;
    using left = new OpenFile(openAt(expected.directory, expected.name, readFlags));
    using right = new OpenFile(openAt(actual.directory, actual.name, readFlags));
    return this.#hasSameBytes(left.fd, right.fd, expected.status.size) ? undefined : "has another content";
  }

  /** Holes that both have are not read: a file may claim to be larger than any disk. */
  #hasSameBytes(left: number, right: number, size: number): boolean {
    for (let at = 0; at < size; ) {
      const start = size <= chunk ? at : Math.min(nextStart(left, at, size), nextStart(right, at, size));
      if (start >= size) return true;
      const length = Math.min(chunk, size - start);
      const [a, b] = [fill(left, leftBytes, start, length), fill(right, rightBytes, start, length)];
      this.bytesRead += a.length + b.length;
      if (!a.equals(b) || a.length !== length) return false;
      at = start + length;
    }
    return true;
  }
}

const readFlags = openFlag.readOnly | openFlag.noFollow | openFlag.nonBlocking;
const chunk = 1 << 20;
const leftBytes = Buffer.alloc(chunk);
const rightBytes = Buffer.alloc(chunk);

function nextStart(fd: number, at: number, size: number): number {
  return Math.max(at, nextData(fd, at)?.start ?? size);
}

function fill(fd: number, buffer: Buffer, offset: number, length: number): Buffer {
  let done = 0;
  while (done < length) {
    const got = readAt(fd, buffer.subarray(done, length), offset + done);
    if (got === 0) break;
    done += got;
  }
  return buffer.subarray(0, done);
}

function firstName(names: Map<bigint, string>, { path, status }: WalkedNode): string {
  const known = names.get(status.inode);
  if (known === undefined) names.set(status.inode, path);
  return known ?? path;
}

function attributeProblem(left: NodeStatus, right: NodeStatus): string | undefined {
  if ((left.mode & 0o7777) !== (right.mode & 0o7777)) {
    return `has mode ${octal(right)} instead of ${octal(left)}`;
  }
  if (left.uid !== right.uid || left.gid !== right.gid) {
    return `belongs to ${right.uid}:${right.gid} instead of ${left.uid}:${left.gid}`;
  }
  if (left.deviceMajor !== right.deviceMajor || left.deviceMinor !== right.deviceMinor) {
    return "is another device";
  }
  if (!isDirectory(left) && left.size !== right.size)
    return `has ${right.size} bytes instead of ${left.size}`;
  return undefined;
}

/**
 * A directory that a layer uses but does not hold has its time from elsewhere: from a layer below, or from when it was
 * made. So the times of directories say nothing.
 */
function timeProblem(left: NodeStatus, right: NodeStatus): string | undefined {
  return left.mtime === right.mtime || isDirectory(left) ? undefined : "has another time";
}

function octal({ mode }: NodeStatus): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

function xattrProblem(expected: string | number, actual: string | number): string | undefined {
  const [left, right] = [xattrsOf(expected), xattrsOf(actual)];
  const name = [...left.keys(), ...right.keys()].find((key) => left.get(key) !== right.get(key));
  return name === undefined ? undefined : `has another extended attribute ${name}`;
}

function xattrsOf(subject: string | number): Map<string, string> {
  const values = new Map<string, string>();
  for (const name of listXattrs(subject)) {
    if (!isPartOfLayer(name)) continue;
    const value = getXattr(subject, name);
    if (value !== undefined) values.set(name, Buffer.from(value).toString("hex"));
  }
  return values;
}

/** Labels belong to this machine; of overlay's own marks only the one that hides what is below says something. */
function isPartOfLayer(name: string): boolean {
  return (
    name === "trusted.overlay.opaque" || (name !== "security.selinux" && !name.startsWith("trusted.overlay."))
  );
}
