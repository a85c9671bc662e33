/** What of a tree a step takes: walked once, for the cache key and for the copying that may follow. */
import { readDirectory } from "../../linux/directories.ts";
import { type NodeStatus, nodeType, readSymlinkAt, tryStatusAt } from "../../linux/nodes.ts";
import { closeFile, descriptorPath, openAt, openFlag } from "../../linux/paths.ts";
import { isDirectory } from "../../linux/walk.ts";
import { getXattr, listXattrs } from "../../linux/xattrs.ts";
import type { IgnoreMatcher, InheritedMatches } from "./ignore.ts";
import { type FileTree, openInTree } from "./tree.ts";

/** A node that is taken. */
export interface ScannedNode {
  /** From where the scan began; empty for that itself. */
  readonly path: string;
  readonly status: NodeStatus;
  /** Where a symlink points. */
  readonly link: string | undefined;
  /** Of a file's content. */
  readonly digest: string | undefined;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** A directory that is taken only because something in it is. */
  readonly isOnTheWay: boolean;
}

export interface Scan {
  readonly tree: FileTree;
  /** Where it began, from the tree's root, without links. */
  readonly base: string;
  /** Directories before what is in them, by name. */
  readonly nodes: readonly ScannedNode[];
}

export interface ScanOptions {
  /** Left out, besides what the tree ignores; paths from the scan's beginning. */
  readonly exclude?: IgnoreMatcher;
  /** Only what this matches is taken, with all that is below it; paths as above. */
  readonly include?: IgnoreMatcher;
  readonly signal?: AbortSignal;
}

/** Nodes between two looks at the signal and turns of the event loop. */
const batch = 512;

/**
 * Walks what is at `base` (a path of `findInTree`).
 * @returns undefined when the tree ignores it, or it is not there any more.
 */
export async function scan(
  tree: FileTree,
  base: string,
  options: ScanOptions = {},
): Promise<Scan | undefined> {
  const above = judgeAbove(tree.ignore, base);
  if (above === "ignored") return undefined;
  const walk = new Walk(tree, base, options);
  await walk.run(above);
  return walk.nodes.length === 0 ? undefined : { tree, base, nodes: walk.nodes };
}

/** What the directories on the way to a path hand down. */
function judgeAbove(
  ignore: IgnoreMatcher | undefined,
  base: string,
): InheritedMatches | "ignored" | undefined {
  if (ignore === undefined || base === "") return undefined;
  let matches: InheritedMatches | undefined;
  const parts = base.split("/");
  for (let count = 1; count < parts.length; count += 1) {
    const verdict = ignore.judge(parts.slice(0, count).join("/"), matches);
    if (verdict.ignoredWithAllBelow) return "ignored";
    matches = verdict.matches;
  }
  return matches;
}

/** What the directories above a node hand down to it. */
interface Inherited {
  readonly ignored?: InheritedMatches | undefined;
  readonly excluded?: InheritedMatches | undefined;
  readonly included?: InheritedMatches | undefined;
}

interface Judgement extends Inherited {
  readonly isTaken: boolean;
  /** Something below may be taken. */
  readonly isOpen: boolean;
}

class Walk {
  readonly nodes: ScannedNode[] = [];
  readonly #tree: FileTree;
  readonly #base: string;
  readonly #options: ScanOptions;
  #count = 0;

  constructor(tree: FileTree, base: string, options: ScanOptions) {
    this.#tree = tree;
    this.#base = base;
    this.#options = options;
  }

  async run(above: InheritedMatches | undefined): Promise<void> {
    if (this.#base === "") {
      const fd = openInTree(this.#tree, "");
      try {
        await this.#directory(fd, ".", "", { isTaken: true, isOpen: true }, []);
      } finally {
        closeFile(fd);
      }
      return;
    }
    const slash = this.#base.lastIndexOf("/");
    const parent = openInTree(this.#tree, slash < 0 ? "" : this.#base.slice(0, slash));
    try {
      await this.#node(parent, this.#base.slice(slash + 1), "", { ignored: above }, []);
    } finally {
      closeFile(parent);
    }
  }

  /** @param pending directories above that are taken only if something in them is. */
  async #node(
    parent: number,
    name: string,
    path: string,
    above: Inherited,
    pending: ScannedNode[],
  ): Promise<void> {
    if (++this.#count % batch === 0) {
      await Bun.sleep(0);
      this.#options.signal?.throwIfAborted();
    }
    const judgement = this.#judge(path, above);
    if (!judgement.isTaken && !judgement.isOpen) return;
    const status = tryStatusAt(parent, name);
    if (status === undefined) return;
    if (isDirectory(status)) {
      if (!judgement.isTaken && !judgement.isOpen) return;
      await this.#directory(parent, name, path, judgement, pending);
      return;
    }
    if (!judgement.isTaken || (status.mode & nodeType.mask) === nodeType.socket) return;
    this.nodes.push(...pending.splice(0), this.#describe(parent, name, path, status));
  }

  async #directory(
    parent: number,
    name: string,
    path: string,
    judgement: Judgement,
    pending: ScannedNode[],
  ): Promise<void> {
    const fd = name === "." ? parent : openAt(parent, name, directoryFlags);
    try {
      const status = tryStatusAt(fd, ".");
      if (status === undefined) return;
      const self = this.#describe(parent, name, path, status, !judgement.isTaken);
      if (judgement.isTaken) this.nodes.push(...pending.splice(0), self);
      const waiting = judgement.isTaken ? pending : [...pending, self];
      if (!judgement.isOpen) return;
      const names = readDirectory(fd).map((entry) => entry.name);
      names.sort((left, right) => (left < right ? -1 : 1));
      for (const child of names) {
        const childPath = path === "" ? child : `${path}/${child}`;
        await this.#node(fd, child, childPath, judgement, waiting);
        // What was waiting has been taken with the first child.
        if (waiting !== pending && waiting.length === 0) pending.length = 0;
      }
    } finally {
      if (fd !== parent) closeFile(fd);
    }
  }

  #judge(path: string, { ignored, excluded, included }: Inherited): Judgement {
    const full = this.#base === "" ? path : path === "" ? this.#base : `${this.#base}/${path}`;
    const byTree = full === "" ? undefined : this.#tree.ignore?.judge(full, ignored);
    const byStep = path === "" ? undefined : this.#options.exclude?.judge(path, excluded);
    const wanted = path === "" ? undefined : this.#options.include;
    const byWish = wanted?.judge(path, included);
    const isWanted = byWish === undefined || byWish.ignored;
    const holdsWanted = isWanted || wanted?.patterns.some((pattern) => pattern.below(path) !== "nothing");
    return {
      isTaken: byTree?.ignored !== true && byStep?.ignored !== true && isWanted,
      isOpen:
        byTree?.ignoredWithAllBelow !== true && byStep?.ignoredWithAllBelow !== true && holdsWanted === true,
      ignored: byTree?.matches,
      excluded: byStep?.matches,
      included: byWish?.matches,
    };
  }

  #describe(parent: number, name: string, path: string, status: NodeStatus, isOnTheWay = false): ScannedNode {
    const type = status.mode & nodeType.mask;
    const full = this.#base === "" ? path : path === "" ? this.#base : `${this.#base}/${path}`;
    return {
      path,
      status,
      link: type === nodeType.symlink ? readSymlinkAt(parent, name) : undefined,
      digest: type === nodeType.file ? this.#tree.digests.digest(full, parent, name, status) : undefined,
      // Those of a context are this machine's business; BuildKit's do not arrive either.
      xattrs: this.#tree.belongsToRoot ? noXattrs : readXattrs(descriptorPath(parent, name)),
      isOnTheWay,
    };
  }
}

const directoryFlags = openFlag.readOnly | openFlag.directory | openFlag.noFollow;
const noXattrs: ReadonlyMap<string, Uint8Array> = new Map();

function readXattrs(path: string): ReadonlyMap<string, Uint8Array> {
  let xattrs: Map<string, Uint8Array> | undefined;
  for (const name of listXattrs(path).sort()) {
    // Labels belong to this machine, and overlay's marks to its own way of keeping layers.
    if (name === "security.selinux" || name.startsWith("trusted.") || name.startsWith("system.")) continue;
    const value = getXattr(path, name);
    if (value === undefined) continue;
    xattrs ??= new Map();
    xattrs.set(name, value);
  }
  return xattrs ?? noXattrs;
}

/** Adds to a key what of a scan decides about its copy: not the times. */
export function addScanToKey(hasher: Bun.CryptoHasher, { nodes, tree }: Scan): void {
  for (const { path, status, link, digest, xattrs } of nodes) {
    const owner = tree.belongsToRoot ? "0:0" : `${status.uid}:${status.gid}`;
    const device = `${status.deviceMajor}:${status.deviceMinor}`;
    hasher.update(JSON.stringify([path, status.mode, owner, link ?? null, digest ?? null, device]));
    for (const [name, value] of xattrs) hasher.update(`${name}=${Buffer.from(value).toString("base64")};`);
  }
}
