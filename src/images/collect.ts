/**
 * Collects what no image needs: layers, snapshots and blobs. It compares the records with what is there, so it also
 * repairs what a killed load or removal left behind, and running it twice does no harm.
 *
 * Whoever calls it holds the "images" lock exclusively. Others may be unpacking layers meanwhile, or be between that
 * and recording them: what they lease (leases.ts) is left alone.
 */

import { Conflict } from "../core/errors.ts";
import { type ChainId, type Digest, isDigest } from "../core/ids.ts";
import { currentBootId } from "../linux/boot.ts";
import { rmSync } from "../linux/files.ts";
import { lock, lockIfFree } from "../state/locks.ts";
import type { State } from "../state/state.ts";
import { asidePrefix, type SnapshotInfo, type Snapshotter } from "../storage/snapshotter.ts";
import { blobsOf, heldAttestations } from "./attestations.ts";
import type { ContentStore } from "./content.ts";
import { indexTree } from "./index-tree.ts";
import { uppermostFirst } from "./layer-order.ts";
import { isUnpacking, liveLeases, unpackPrefix } from "./leases.ts";
import { parseManifest } from "./manifest.ts";
import { dropStalePending, hasStalePending, settlePending } from "./pending.ts";
import { referencedDocuments } from "./records.ts";
import { expirePartials } from "./transfer/partial.ts";

/** Where images live: records, blobs and unpacked layers. */
export interface ImageStores {
  readonly state: State;
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
}

/**
 * Repairs after a crash, if there was one, and forgets what pulls that were cut off long ago had fetched. Two readdirs
 * and one query otherwise. Waits only after a power cut: else whoever holds the lock collects.
 */
export async function repairImages(stores: ImageStores): Promise<void> {
  const { state, content } = stores;
  expirePartials(content);
  if (hasStalePending(state, currentBootId)) {
    using _lock = await lock(state.instance, "images");
    await dropStalePending(stores, currentBootId());
    await collect(stores);
    return;
  }
  if (content.deadSessions().length === 0) return;
  using held = lockIfFree(state.instance, "images");
  if (held === undefined) return;
  await settlePending(stores, currentBootId());
  await collect(stores);
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
  const { state, content, snapshots } = stores;
  // First what is there, then who is at work on it (leases.ts).
  const present = await snapshots.list();
  const leased = liveLeases(content);
  // Before the first file goes, the records that say so must be safe: else a power cut brings the records back.
  const unused = unusedLayers(state).filter((chainId) => !leased.has(chainId));
  const blobs = unusedBlobs(state, content);
  if (unused.length > 0 || blobs.length > 0) state.makeDurable();

  const removed = await removeLayers(stores, unused);
  await removeStraySnapshots(stores, present, leased);
  for (const digest of blobs) content.remove(digest);
  for (const directory of content.deadSessions()) rmSync(directory, { recursive: true, force: true });
  return removed;
}

function unusedLayers(state: State): ChainId[] {
  return state.db
    .query<{ chain_id: ChainId }, []>(
      `SELECT chain_id FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM image_layers)
         AND chain_id NOT IN (SELECT snapshot FROM build_results)`,
    )
    .all()
    .map((row) => row.chain_id);
}

function unusedBlobs(state: State, content: ContentStore): Digest[] {
  const used = neededBlobs(state, content);
  // What an image with a damaged manifest stands on is not known: then nothing is thrown away.
  return used === undefined ? [] : content.list().filter((digest) => !used.has(digest));
}

/**
 * All blobs that the records lead to; undefined while an index or manifest is damaged, so that nobody knows what it
 * names.
 */
export function neededBlobs(state: State, content: ContentStore): Set<Digest> | undefined {
  const { indexes, manifests, configs } = referencedDocuments(state);
  const needed = new Set([...manifests, ...configs]);
  for (const outermost of indexes) {
    const { documents, isComplete } = indexTree(content, outermost);
    if (!isComplete) return undefined;
    for (const [digest, index] of documents) {
      needed.add(digest);
      const held = heldAttestations(content, index, (subject) => manifests.has(subject));
      for (const blob of held.flatMap(blobsOf)) needed.add(blob);
    }
  }
  for (const manifest of manifests) {
    const bytes = content.tryRead(manifest);
    if (bytes === undefined) return undefined;
    for (const { digest } of parseManifest(bytes).layers) needed.add(digest);
  }
  return needed;
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

/**
 * Snapshots of unpacking that was cut short, before it or its image was recorded, of removals that were, and those set
 * aside that nothing stands on any more.
 */
async function removeStraySnapshots(
  { state, content, snapshots }: ImageStores,
  present: readonly SnapshotInfo[],
  leased: ReadonlySet<string>,
): Promise<void> {
  await snapshots.sweep(({ key }) => !key.startsWith(unpackPrefix) || isUnpacking(key, content));
  const stray = strayKeys(state, present, leased);
  for (const key of await uppermostFirst(snapshots, stray)) await removeUnlessNeeded(snapshots, key);
}

/**
 * Committed snapshots that no record needs, nothing stands on and nobody is at work on. Whoever calls holds the
 * "images" lock exclusively.
 */
export async function strayLayers({ state, content, snapshots }: ImageStores): Promise<string[]> {
  const present = await snapshots.list();
  const leased = liveLeases(content);
  const parents = new Set(present.map(({ parent }) => parent));
  return strayKeys(state, present, leased).filter((key) => !parents.has(key));
}

function strayKeys(state: State, present: readonly SnapshotInfo[], leased: ReadonlySet<string>): string[] {
  return present
    .filter(({ key, state: kind }) => kind === "committed" && isStray(state, key) && !leased.has(key))
    .map(({ key }) => key);
}

function isStray(state: State, key: string): boolean {
  return key.startsWith(asidePrefix) || (isDigest(key) && !isRecorded(state, key));
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
