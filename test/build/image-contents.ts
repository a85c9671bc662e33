/** An OCI archive taken apart: what a container would see of it, its config and its history, to be compared. */

import { gunzipSync } from "node:zlib";
import { cleanPath } from "../../src/images/layers/entry-name.ts";
import type { TarEntry } from "../../src/images/layers/tar-entry.ts";
import { TarParser } from "../../src/images/layers/tar-parser.ts";

/** One node of the final file system, all that can be seen of it. */
export interface NodeFacts {
  type: string;
  /** Octal. */
  mode: string;
  owner: string;
  size?: number;
  /** sha256 of a file's content. */
  digest?: string;
  link?: string;
  device?: string;
  /** File capabilities, as the kernel keeps them, in hex. */
  capability?: string;
  /** All names of the same file. */
  names?: string[];
  /** Nanoseconds since 1970. */
  mtime: bigint;
}

export interface ImageContents {
  /** By absolute path, sorted. */
  readonly files: ReadonlyMap<string, NodeFacts>;
  /** The names in each layer, sorted; `-name` for what it takes away. */
  readonly layers: readonly (readonly string[])[];
  /** The config document. */
  readonly config: Readonly<Record<string, unknown>>;
}

interface Member {
  readonly entry: TarEntry;
  readonly content: Buffer;
}

/** @param archive an OCI layout as a tar, with one image */
export async function readImage(archive: Uint8Array): Promise<ImageContents> {
  const files = new Map(
    membersOf(archive).flatMap(({ entry, content }) =>
      entry.type === "file" ? [[cleanPath(entry.name) ?? "", content]] : [],
    ),
  );
  const blob = (digest: string): Buffer => {
    const found = files.get(`blobs/${digest.replace(":", "/")}`);
    if (found === undefined) throw new Error(`the archive has no blob ${digest}`);
    return found;
  };
  const document = (bytes: Buffer | undefined) => JSON.parse((bytes ?? Buffer.alloc(0)).toString());
  const [top] = document(files.get("index.json")).manifests;
  let manifest = document(blob(top.digest));
  if (manifest.manifests !== undefined) manifest = document(blob(manifest.manifests[0].digest));
  const layers: Member[][] = (manifest.layers ?? []).map(({ digest }: { digest: string }) =>
    layerOf(blob(digest)),
  );
  const { files: tree, names } = merged(layers);
  return {
    files: new Map([...tree].sort(([left], [right]) => (left < right ? -1 : 1))),
    layers: names,
    config: document(blob(manifest.config.digest)),
  };
}

const layersSeen = new Map<string, Member[]>();

/** Images have their base in common. */
function layerOf(blob: Buffer): Member[] {
  const digest = digestOf(blob);
  const known = layersSeen.get(digest);
  if (known !== undefined) return known;
  const isGzip = blob[0] === 0x1f && blob[1] === 0x8b;
  const members = membersOf(isGzip ? gunzipSync(blob) : blob);
  layersSeen.set(digest, members);
  return members;
}

function digestOf(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

function membersOf(tar: Uint8Array): Member[] {
  const members: Member[] = [];
  let parts: { bytes: Buffer; offset: number }[] = [];
  let current: TarEntry | undefined;
  const parser = new TarParser({
    entry: (entry) => {
      current = entry;
      parts = [];
    },
    data: (bytes, offset) => {
      parts.push({ bytes: Buffer.from(bytes), offset });
    },
    end: () => {
      if (current === undefined) return;
      const content = Buffer.alloc(current.type === "file" ? current.size : 0);
      for (const { bytes, offset } of parts) bytes.copy(content, offset);
      members.push({ entry: current, content });
    },
  });
  parser.push(tar);
  parser.finish();
  return members;
}

const opaque = ".wh..wh..opq";

function pathOf(name: string): string {
  return `/${cleanPath(name) ?? name}`;
}

/** A file of a layer; several names may have the same. */
interface Inode {
  readonly facts: NodeFacts;
}

/** The layers one on the other; and what each of them adds, and takes away of what is there. */
function merged(layers: readonly (readonly Member[])[]) {
  const tree = new Map<string, Inode>();
  const remove = (path: string, isItselfToo: boolean): boolean => {
    const gone = [...tree.keys()].filter(
      (name) => name.startsWith(`${path}/`) || (isItselfToo && name === path),
    );
    for (const name of gone) tree.delete(name);
    return gone.length > 0;
  };
  const names = layers.map((layer) => {
    const whiteouts = layer.filter(isWhiteout).flatMap(({ entry }) => {
      const path = pathOf(entry.name);
      const at = path.lastIndexOf("/");
      const [directory, name] = [path.slice(0, at), path.slice(at + 1)];
      const isOpaque = name === opaque;
      const hidden = isOpaque ? directory : `${directory}/${name.slice(".wh.".length)}`;
      return remove(hidden, !isOpaque) ? [isOpaque ? path : `-${hidden}`] : [];
    });
    const added = layer.filter((member) => !isWhiteout(member));
    for (const member of added) add(tree, member, remove);
    return [...whiteouts, ...added.map(({ entry }) => pathOf(entry.name))].sort();
  });
  return { files: withNames(tree), names };
}

function isWhiteout({ entry }: Member): boolean {
  return /(^|\/)\.wh\.[^/]+$/.test(entry.name);
}

function add(
  tree: Map<string, Inode>,
  member: Member,
  remove: (path: string, all: boolean) => boolean,
): void {
  const { entry } = member;
  const path = pathOf(entry.name);
  if (entry.type === "hard-link") {
    const target = tree.get(pathOf(entry.linkName));
    if (target === undefined)
      throw new Error(`${entry.name} is a link to ${entry.linkName}, which is not there`);
    tree.set(path, target);
    return;
  }
  if (entry.type !== "directory" && tree.has(path)) remove(path, true);
  tree.set(path, { facts: factsOf(member) });
}

function withNames(tree: ReadonlyMap<string, Inode>): Map<string, NodeFacts> {
  const names = new Map<Inode, string[]>();
  for (const [path, inode] of tree) names.set(inode, [...(names.get(inode) ?? []), path]);
  return new Map(
    [...tree].map(([path, inode]) => {
      const all = names.get(inode) ?? [];
      return [
        path,
        all.length > 1 && inode.facts.type === "file" ? { ...inode.facts, names: all.sort() } : inode.facts,
      ];
    }),
  );
}

function factsOf({ entry, content }: Member): NodeFacts {
  const { type } = entry;
  // BuildKit's layers hold no other attribute, and whole seconds only.
  const capability = entry.xattrs.get("security.capability");
  return {
    type,
    mode: type === "symlink" ? "" : entry.mode.toString(8),
    owner: `${entry.uid}:${entry.gid}`,
    ...(type === "file" ? { size: entry.size, digest: digestOf(content) } : {}),
    ...(type === "symlink" ? { link: entry.linkName } : {}),
    ...(type.endsWith("device") ? { device: `${entry.deviceMajor}:${entry.deviceMinor}` } : {}),
    ...(capability === undefined ? {} : { capability: Buffer.from(capability).toString("hex") }),
    mtime: entry.mtime - (entry.mtime % second),
  };
}

/** A layer with more is the base's. */
const mostNames = 200;

/**
 * Two images as objects to be compared.
 * @param since the time when the builds began: what another clock than the files' own gave them is not compared.
 * Undefined to compare all times.
 */
export function compared(
  own: ImageContents,
  theirs: ImageContents,
  since: bigint | undefined,
): { own: unknown; theirs: unknown } {
  const isOwnTime = (path: string) => {
    const mtime = theirs.files.get(path)?.mtime;
    return since === undefined || (mtime !== undefined && mtime < since);
  };
  const fact = ({ files }: ImageContents, path: string): unknown => {
    const found = files.get(path);
    if (found === undefined) return "nothing";
    const { mtime, ...facts } = found;
    return isOwnTime(path) ? { ...facts, time: timeOf(mtime) } : facts;
  };
  // What differs is shown, not the hundreds of files of the base.
  const paths = [...new Set([...own.files.keys(), ...theirs.files.keys()])];
  const different = paths.filter((path) => !Bun.deepEquals(fact(own, path), fact(theirs, path)));
  const shown = (image: ImageContents) => ({
    fileCount: image.files.size,
    files: Object.fromEntries(different.map((path) => [path, fact(image, path)])),
    layers: image.layers.map((names) => (names.length > mostNames ? `${names.length} names` : names)),
    config: comparedConfig(image.config, since !== undefined),
  });
  return { own: shown(own), theirs: shown(theirs) };
}

const second = 1_000_000_000n;

function timeOf(nanoseconds: bigint): string {
  return new Date(Number(nanoseconds / 1_000_000n)).toISOString();
}

/** Layers are counted only: archives of the same files may differ. */
function comparedConfig({ rootfs, ...config }: ImageContents["config"], isTimeless: boolean): unknown {
  const layerCount = isObject(rootfs) && Array.isArray(rootfs.diff_ids) ? rootfs.diff_ids.length : 0;
  return isTimeless ? { ...withoutTimes(config), layerCount } : { ...config, layerCount };
}

function withoutTimes({ created: _, history, ...config }: ImageContents["config"]): object {
  const entries: unknown[] = Array.isArray(history) ? history : [];
  const timeless = entries.map((entry) =>
    isObject(entry) ? Object.fromEntries(Object.entries(entry).filter(([key]) => key !== "created")) : entry,
  );
  return { ...config, history: timeless };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
