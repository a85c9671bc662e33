/**
 * Collects what no image needs: layers, snapshots and blobs. It compares the records with what is there, so it also
 * repairs what a killed load or removal left behind, and running it twice does no harm.
 *
 * Whoever calls it holds the "images" lock exclusively: nobody is between unpacking a layer and recording it.
 */
import { rmSync } from "node:fs";
import { Conflict } from "../core/errors.ts";
import { type ChainId, type Digest, isDigest } from "../core/ids.ts";
import { lockIfFree } from "../state/locks.ts";
import type { State } from "../state/state.ts";
import type { Snapshotter } from "../storage/snapshotter.ts";
import type { ContentStore } from "./content.ts";
import { parseManifest } from "./manifest.ts";

/** Where images live: records, blobs and unpacked layers. */
export interface ImageStores {
  readonly state: State;
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
}

/** Keys of the active snapshots that layers are unpacked into. They live only while the lock is held. */
export const unpackPrefix = "unpack-";

/** Repairs after a crash, if there was one. One readdir otherwise. Never waits: whoever holds the lock collects. */
export async function repairImages(stores: ImageStores): Promise<void> {
  if (stores.content.deadSessions().length === 0) return;
  using held = lockIfFree(stores.state.instance, "images");
  if (held !== undefined) await collect(stores);
}

/**
 * For after the removal of a container: frees the layers that only it still stood on, its image being gone by force.
 * One query when there are none.
 */
export async function collectForgottenLayers(stores: ImageStores): Promise<void> {
  if (unusedLayers(stores.state).length === 0) return;
  using held = lockIfFree(stores.state.instance, "images");
  if (held !== undefined) await collect(stores);
}

/** @returns chain ids of the layers that were removed, the uppermost first. */
export async function collect(stores: ImageStores): Promise<ChainId[]> {
  const { state, content } = stores;
  // Before the first file goes, the records that say so must be safe: else a power cut brings the records back.
  const unused = unusedLayers(state);
  const blobs = unusedBlobs(state, content);
  if (unused.length > 0 || blobs.length > 0) state.makeDurable();

  const removed = await removeLayers(stores, unused);
  await removeStraySnapshots(stores);
  for (const digest of blobs) content.remove(digest);
  for (const directory of content.deadSessions()) rmSync(directory, { recursive: true, force: true });
  return removed;
}

function unusedLayers(state: State): ChainId[] {
  return state.db
    .query<{ chain_id: string }, []>(
      "SELECT chain_id FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM image_layers)",
    )
    .all()
    .map((row) => row.chain_id as ChainId);
}

function unusedBlobs(state: State, content: ContentStore): Digest[] {
  const used = new Set<string>();
  const images = state.db
    .query<{ id: string; manifest: string }, []>("SELECT id, manifest FROM images")
    .all();
  for (const { id, manifest } of images) {
    used.add(id).add(manifest);
    const bytes = isDigest(manifest) ? content.tryRead(manifest) : undefined;
    // What an image with a damaged manifest stands on is not known: then nothing is thrown away.
    if (bytes === undefined) return [];
    for (const { digest } of parseManifest(bytes).layers) used.add(digest);
  }
  return content.list().filter((digest) => !used.has(digest));
}

/** Layers that a container still stands on stay; they go with the first collection after it. */
async function removeLayers(stores: ImageStores, layers: readonly ChainId[]): Promise<ChainId[]> {
  const removed: ChainId[] = [];
  for (const chainId of await uppermostFirst(stores.snapshots, layers)) {
    if (!(await removeUnlessNeeded(stores.snapshots, chainId))) continue;
    stores.state.db.query("DELETE FROM layers WHERE chain_id = ?1").run(chainId);
    removed.push(chainId);
  }
  return removed;
}

/** Snapshots of unpacking that was cut short, before it or its image was recorded, and of removals that were. */
async function removeStraySnapshots({ state, snapshots }: ImageStores): Promise<void> {
  await snapshots.sweep(({ key }) => !key.startsWith(unpackPrefix));
  const stray = (await snapshots.list())
    .filter(({ key, state: kind }) => kind === "committed" && isDigest(key) && !isRecorded(state, key))
    .map(({ key }) => key);
  for (const key of await uppermostFirst(snapshots, stray)) await removeUnlessNeeded(snapshots, key);
}

function isRecorded(state: State, chainId: string): boolean {
  return state.db.query("SELECT 1 FROM layers WHERE chain_id = ?1").get(chainId) !== null;
}

async function removeUnlessNeeded(snapshots: Snapshotter, key: string): Promise<boolean> {
  try {
    await snapshots.remove(key);
    return true;
  } catch (error) {
    if (error instanceof Conflict) return false;
    throw error;
  }
}

/** Children before parents, as removal wants them. */
async function uppermostFirst<Key extends string>(
  snapshots: Snapshotter,
  keys: readonly Key[],
): Promise<Key[]> {
  if (keys.length < 2) return [...keys];
  const parents = new Map((await snapshots.list()).map(({ key, parent }) => [key, parent]));
  const depthOf = (key: string) => {
    let depth = 0;
    for (let at = parents.get(key); at !== undefined; at = parents.get(at)) depth += 1;
    return depth;
  };
  return keys
    .map((key) => ({ key, depth: depthOf(key) }))
    .sort((a, b) => b.depth - a.depth)
    .map(({ key }) => key);
}
