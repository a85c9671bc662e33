/** A step's layer: a writable snapshot on what is below, and what becomes of its files. */
import { NotFound } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import { randomId } from "../../core/ids.ts";
import { unpackKey } from "../../images/leases.ts";
import { isWhiteout, nodeType, setTimesAt } from "../../linux/nodes.ts";
import { closeFile, openDirectory } from "../../linux/paths.ts";
import { statusBeneath, walkTree } from "../../linux/walk.ts";
import type { LayerTarget } from "../../storage/snapshotter.ts";
import { beginResult, finishResult, forgetResult, resultById } from "../cache/results.ts";
import type { BuildRooms } from "../rooms.ts";
import type { Root, RootLayer } from "./root.ts";
import { dropUnchanged } from "./unchanged.ts";

export interface LayerWork {
  /** The cache key that the result gets. */
  readonly key: string;
  readonly input: Root;
  readonly description: string;
  /** Changes the tree. */
  work(root: string): Promise<Worked>;
}

export interface Worked {
  /** The newest time that files may have, in nanoseconds: later ones become this. */
  readonly fileTime: bigint;
  /**
   * Does the rest, when the tree is not mounted any more. @param layer the directory that holds what the layer adds
   * @returns the directories that it has filled, with times that are no later than they may be
   */
  readonly finish?: (layer: string, fileTime: bigint) => Promise<Filled | undefined>;
}

/** Directories of a layer, by paths, whose content nobody needs to look at again. */
export interface Filled {
  readonly directories: ReadonlySet<string>;
  /** Bytes of the files in them. */
  readonly bytes: number;
}

const nothing: Filled = { directories: new Set(), bytes: 0 };

/** Runs work on a fresh snapshot and records what came out. When it throws, nothing is left of it. */
export async function makeLayer(rooms: BuildRooms, layer: LayerWork): Promise<Root> {
  const { state, snapshots } = rooms;
  const active = unpackKey();
  await prepareOn(rooms, active, layer.input);
  const id = randomId().slice(0, 20);
  let isBegun = false;
  try {
    const root = await snapshots.mount(active, { volatile: true });
    const { fileTime, finish } = await layer.work(root);
    await snapshots.unmount(active);
    faultPoint("build:worked");
    const target = await snapshots.layerTarget(active);
    const filled = (await finish?.(target.path, fileTime)) ?? nothing;
    dropUnchanged(target, filled.directories);
    const size = settleTimes(target, fileTime, filled);
    const { description, key } = layer;
    const snapshot = beginResult(state, { id, description, fileTime, boot: rooms.bootId });
    isBegun = true;
    faultPoint("build:begun");
    await snapshots.commit(active, snapshot);
    faultPoint("build:committed");
    finishResult(state, id, { key, size });
    return { key, fileTime, layers: [...layer.input.layers, { kind: "result", id }] };
  } catch (error) {
    await snapshots.remove(active);
    if (isBegun) forgetResult(state, id);
    throw error;
  }
}

/** Makes an active snapshot on a root. Another build may give the snapshot below its layer's name meanwhile. */
export async function prepareOn(
  rooms: BuildRooms,
  active: string,
  input: Pick<Root, "layers">,
): Promise<void> {
  const { snapshots } = rooms;
  await bringHere(input);
  for (let attempt = 1; ; attempt += 1) {
    try {
      await snapshots.prepare(active, snapshotOf(rooms, input));
      return;
    } catch (error) {
      if (!(error instanceof NotFound) || attempt === 3) throw error;
    }
  }
}

/** Layers that are elsewhere are fetched and unpacked. */
export async function bringHere({ layers }: Pick<Root, "layers">): Promise<void> {
  const top = layers.at(-1);
  if (top?.kind === "away") await top.layer.here({ layers: layers.slice(0, -1) });
}

/** What a root's topmost snapshot is called now; undefined for an empty one. @throws NotFound */
export function snapshotOf(
  { state }: Pick<BuildRooms, "state">,
  { layers }: Pick<Root, "layers">,
): string | undefined {
  const top = layers.at(-1);
  return top === undefined ? undefined : snapshotOfLayer(state, top);
}

export function snapshotOfLayer(state: BuildRooms["state"], layer: RootLayer): string {
  if (layer.kind === "image") return layer.chainId;
  const id = layer.kind === "away" ? layer.layer.resultId : layer.id;
  const record = id === undefined ? undefined : resultById(state, id);
  if (record === undefined) throw new NotFound(`build result ${id} was removed while it was used`);
  return record.snapshot;
}

/**
 * Gives files that are newer than they may be the newest time.
 * @returns bytes of the files that the step has made or changed.
 */
function settleTimes({ path, whiteouts, lower }: LayerTarget, newest: bigint, filled: Filled): number {
  // Where the tree below is in the directory too, its files are left alone.
  const below = whiteouts === "delete" ? lower?.[0] : undefined;
  const base = below === undefined ? undefined : openDirectory(below);
  let { bytes } = filled;
  const isEntered = (node: { path: string }) => !filled.directories.has(node.path);
  try {
    for (const { path: name, directory, name: last, status } of walkTree(path, { isEntered })) {
      if (base !== undefined && statusBeneath(base, name)?.mtime === status.mtime) continue;
      if ((status.mode & nodeType.mask) === nodeType.file) bytes += status.size;
      if (status.mtime > newest && !isWhiteout(status)) setTimesAt(directory, last, newest, newest);
    }
    return bytes;
  } finally {
    if (base !== undefined) closeFile(base);
  }
}

/**
 * Shows a root at a directory of its own, to be read or scribbled on; what is written is thrown away with it.
 * Dispose of it before the build ends.
 */
export async function mountAside(rooms: BuildRooms, root: Root): Promise<{ path: string } & AsyncDisposable> {
  const key = unpackKey();
  await prepareOn(rooms, key, root);
  try {
    const path = await rooms.snapshots.mount(key, { volatile: true });
    return { path, [Symbol.asyncDispose]: () => rooms.snapshots.remove(key) };
  } catch (error) {
    await rooms.snapshots.remove(key);
    throw error;
  }
}
