/** A directory tree as a tar: for `export`, and the entries of which a layer diff is made. */
import { type NodeStatus, nextData, nodeType, readAt, readSymlinkAt } from "../../linux/nodes.ts";
import { closeFile, descriptorPath, openAt, openFlag } from "../../linux/paths.ts";
import { isDirectory, type WalkedNode, walkTree } from "../../linux/walk.ts";
import { getXattr, listXattrs } from "../../linux/xattrs.ts";
import type { SparseRun, TarEntryType } from "./tar-entry.ts";
import { gather, type LocalMember, writeLocalTar } from "./tar-writer.ts";

export interface TreeOptions {
  signal?: AbortSignal;
  /** What all times become; nanoseconds since 1970. */
  mtime?: bigint;
}

/** The same members, all of one time. */
export function* atTime(members: Iterable<LocalMember>, mtime: bigint | undefined): Generator<LocalMember> {
  for (const member of members) {
    yield mtime === undefined ? member : { ...member, entry: { ...member.entry, mtime } };
  }
}

/**
 * The whole tree below `root`, sorted by name, as tar chunks: hard links, xattrs, nanosecond times, devices and
 * sparse files kept; sockets left out as Docker does. Other file systems mounted below `root` are not entered.
 */
export function treeTar(root: string, options: TreeOptions = {}): AsyncGenerator<Uint8Array> {
  return gather(writeLocalTar(atTime(treeMembers(root), options.mtime)), options);
}

export interface PlacedTree {
  readonly root: string;
  /** Below which it lies in the archive; empty for the top. */
  readonly directory: string;
  /** Files at its top besides its own, and in the place of those with their names. */
  readonly besides?: readonly LocalMember[];
}

/** Several trees in one tar. */
export function treesTar(
  trees: readonly PlacedTree[],
  options: TreeOptions = {},
): AsyncGenerator<Uint8Array> {
  function* members(): Generator<LocalMember> {
    for (const { root, directory, besides = [] } of trees) {
      const all = besides.length === 0 ? treeMembers(root) : membersWith(besides, root);
      if (directory === "") yield* all;
      else yield* membersBelow(directory, all);
    }
  }
  return gather(writeLocalTar(members()), options);
}

/** Each in its place among the names. */
function* membersWith(besides: readonly LocalMember[], root: string): Generator<LocalMember> {
  const waiting = besides.toSorted((left, right) => (left.entry.name < right.entry.name ? -1 : 1));
  const names = new Set(besides.map(({ entry }) => entry.name));
  for (const member of treeMembers(root, names)) {
    const [top = ""] = member.entry.name.split("/", 1);
    while (waiting[0] !== undefined && waiting[0].entry.name < top) yield* waiting.splice(0, 1);
    yield member;
  }
  yield* waiting;
}

function* membersBelow(directory: string, members: Iterable<LocalMember>): Generator<LocalMember> {
  yield { entry: { name: `${directory}/`, type: "directory" } };
  for (const member of members) {
    const { name, type, linkName } = member.entry;
    const moved = { ...member.entry, name: `${directory}/${name}` };
    // A hard link names another member of the archive; a symbolic one a path, wherever it leads.
    const isLink = type === "hard-link" && linkName !== undefined;
    yield { ...member, entry: isLink ? { ...moved, linkName: `${directory}/${linkName}` } : moved };
  }
}

/** @param without names at its top that are left out */
function* treeMembers(root: string, without: ReadonlySet<string> = new Set()): Generator<LocalMember> {
  const links = new HardLinks();
  const isIn = ({ path }: WalkedNode) => !without.has(path.split("/", 1)[0] ?? "");
  for (const node of walkTree(root, { isEntered: isIn })) {
    if (!isIn(node)) continue;
    const member = describeNode(node, links);
    if (member !== undefined) yield member;
  }
}

/** Which inode was written under which name. */
export class HardLinks {
  readonly #names = new Map<string, string>();

  /** The name under which this inode is in the archive already, or undefined: then it is `name` from now on. */
  first(status: NodeStatus, name: string): string | undefined {
    if (status.links < 2 || isDirectory(status)) return undefined;
    const key = `${status.device}:${status.inode}`;
    const known = this.#names.get(key);
    if (known === undefined) this.#names.set(key, name);
    return known;
  }
}

const types: Record<number, TarEntryType> = {
  [nodeType.file]: "file",
  [nodeType.symlink]: "symlink",
  [nodeType.directory]: "directory",
  [nodeType.characterDevice]: "character-device",
  [nodeType.blockDevice]: "block-device",
  [nodeType.fifo]: "fifo",
};

/** A node as a tar member, to be written before the walk goes on; undefined for sockets. */
export function describeNode(node: WalkedNode, links: HardLinks): LocalMember | undefined {
  const { status, directory, name } = node;
  const type = types[status.mode & nodeType.mask];
  if (type === undefined) return undefined;
  const first = links.first(status, node.path);
  const entry = {
    name: type === "directory" ? `${node.path}/` : node.path,
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    mtime: status.mtime,
  };
  if (first !== undefined) return { entry: { ...entry, type: "hard-link", linkName: first } };
  const xattrs = readXattrs(descriptorPath(directory, name));
  switch (type) {
    case "file": {
      const sparse = findRuns(directory, name, status);
      return {
        entry: { ...entry, type, xattrs, size: status.size, sparse },
        content: readRuns(directory, name, sparse ?? [{ offset: 0, length: status.size }]),
      };
    }
    case "symlink":
      return { entry: { ...entry, type, xattrs, linkName: readSymlinkAt(directory, name) } };
    case "character-device":
    case "block-device":
      return {
        entry: { ...entry, type, xattrs, deviceMajor: status.deviceMajor, deviceMinor: status.deviceMinor },
      };
    default:
      return { entry: { ...entry, type, xattrs } };
  }
}

/** Labels belong to this machine, and overlay's marks to its own way of keeping layers. */
function isLocalXattr(name: string): boolean {
  return name === "security.selinux" || name.startsWith("trusted.overlay.");
}

const noXattrs: ReadonlyMap<string, Uint8Array> = new Map();

function readXattrs(path: string): ReadonlyMap<string, Uint8Array> {
  let xattrs: Map<string, Uint8Array> | undefined;
  for (const name of listXattrs(path)) {
    if (isLocalXattr(name)) continue;
    const value = getXattr(path, name);
    if (value === undefined) continue;
    xattrs ??= new Map();
    xattrs.set(name, value);
  }
  return xattrs ?? noXattrs;
}

/** Files from this size on of which at least half is holes are written as sparse ones. */
const smallestSparse = 1 << 20;
/** More runs than this make too long a map. */
const mostRuns = 1000;

function findRuns(directory: number, name: string, status: NodeStatus): SparseRun[] | undefined {
  if (status.size < smallestSparse || status.allocated * 2 > status.size) return undefined;
  const fd = openAt(directory, name, readFlags);
  try {
    const runs: SparseRun[] = [];
    for (let at = 0; at < status.size; ) {
      const run = nextData(fd, at);
      if (run === undefined || run.start >= status.size) break;
      at = Math.min(run.end, status.size);
      runs.push({ offset: run.start, length: at - run.start });
      if (runs.length > mostRuns) return undefined;
    }
    // GNU tar ends its maps with an empty run at the end of the file; readers that know no size need it.
    runs.push({ offset: status.size, length: 0 });
    return runs;
  } finally {
    closeFile(fd);
  }
}

const readFlags = openFlag.readOnly | openFlag.noFollow | openFlag.nonBlocking;
const buffer = new Uint8Array(1 << 18);

/** Exactly the runs, also when the file shrinks meanwhile: what is missing is read as zeros. */
function* readRuns(directory: number, name: string, runs: readonly SparseRun[]): Generator<Uint8Array> {
  if (runs.every((run) => run.length === 0)) return;
  const fd = openAt(directory, name, readFlags);
  try {
    for (const run of runs) {
      for (let done = 0; done < run.length; ) {
        const wanted = Math.min(buffer.length, run.length - done);
        const got = readAt(fd, buffer.subarray(0, wanted), run.offset + done, name);
        if (got === 0) buffer.fill(0, 0, wanted);
        const length = got === 0 ? wanted : got;
        yield buffer.subarray(0, length);
        done += length;
      }
    }
  } finally {
    closeFile(fd);
  }
}
