/**
 * A built image into the local store. The snapshots that steps have made become the image's layers under their chain
 * ids: nothing is unpacked again.
 */
import { faultPoint } from "../../core/fault.ts";
import { type ChainId, isDigest } from "../../core/ids.ts";
import type { ImageStores } from "../../images/collect.ts";
import type { IngestSession } from "../../images/content.ts";
import { imageEvent } from "../../images/events.ts";
import { type Image, idOf } from "../../images/image.ts";
import { indexText } from "../../images/index-file.ts";
import { lease } from "../../images/leases.ts";
import { clearPending, markPending } from "../../images/pending.ts";
import { imageById, type LayerRecord, layerByChain, setTag } from "../../images/records.ts";
import { canonicalForm, type Reference } from "../../images/references.ts";
import { recordImages } from "../../images/transfer/record.ts";
import { syncFileSystem } from "../../linux/disks.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import { lock } from "../../state/locks.ts";
import { renameCommitted } from "../../storage/rename.ts";
import { noteLayer, noteSynced, resultById, unsyncedResults } from "../cache/results.ts";
import type { BuildRooms } from "../rooms.ts";
import type { WrittenLayer } from "./layers.ts";

export interface StoreRequest {
  readonly image: Image;
  readonly layers: readonly WrittenLayer[];
  readonly names: readonly Reference[];
  readonly signal: AbortSignal;
}

/** From so many new bytes on, nobody waits for the disk: what was recorded is marked, and synced afterwards. */
const largeImage = 16 << 20;

/**
 * Records the image, with its names.
 * @returns false when it will survive a power cut only after `settleImages`; until then it would be dropped as a whole.
 */
export async function storeImage(
  rooms: BuildRooms,
  session: IngestSession,
  request: StoreRequest,
): Promise<boolean> {
  const { state, content, snapshots } = rooms;
  const { image, layers, names, signal } = request;
  const id = idOf(image);
  for (const { chainId } of layers) lease(session, chainId);
  const records = await Promise.all(layers.map((_, position) => recordOf(rooms, layers, position)));
  const manifest = await image.manifest();
  using _lock = await lock(rooms.instance, "images", { signal });
  const isKnown = imageById(state, id) !== undefined;
  if (!isKnown) {
    for (const bytes of [image.config.bytes, manifest.bytes]) {
      const document = session.add(bytes);
      session.adopt(document, await document.digest);
    }
    for (const { blob } of layers) session.adopt(blob, await blob.digest);
  }
  const newBytes = layers.reduce(
    (sum, { blob, resultId }) => sum + (resultId === undefined ? 0 : blob.size),
    0,
  );
  const isLazy = !isKnown && newBytes >= largeImage;
  if (!isKnown && !isLazy) {
    await snapshots.sync();
    syncFileSystem(content.path);
  }
  faultPoint("build:synced");
  state.transaction(() => {
    if (!isKnown) nameSnapshots(rooms, layers, isLazy);
    const named = { image, names, parent: undefined };
    if (isKnown) for (const name of names) setTag(state, canonicalForm(name), id, Date.now());
    else {
      const blobs = layers.map(({ blob }) => blob);
      const unsafe = records.filter(({ chainId }) => layerByChain(state, chainId) === undefined);
      recordImages(state, [{ named, manifest, layers: records, blobs }], false);
      if (isLazy) {
        markPending(
          state,
          unsafe.map(({ chainId }) => chainId),
          rooms.bootId,
        );
      } else
        clearPending(
          state,
          layers.map(({ chainId }) => chainId),
        );
    }
    for (const name of names) {
      appendEvent(state, imageEvent("tag", id, image.config.value.config, canonicalForm(name)));
    }
    content.writeIndex(indexText(state, content));
  });
  ringBell(state.instance);
  if (!isKnown && !isLazy) state.makeDurable();
  return !isLazy;
}

/** Makes all safe that was recorded before it was: for a process of its own, after the build. */
export async function settleImages(
  { state, content, snapshots }: ImageStores,
  bootId: string,
): Promise<void> {
  const pending = pendingLayers(state, bootId);
  const results = unsyncedResults(state, bootId);
  if (pending.length + results.length === 0) return;
  await snapshots.sync();
  syncFileSystem(content.path);
  state.transaction(() => {
    clearPending(state, pending);
    noteSynced(state, results);
  });
  state.makeDurable();
}

function pendingLayers({ db }: ImageStores["state"], bootId: string): ChainId[] {
  return db
    .query<{ chain_id: ChainId }, [string]>("SELECT chain_id FROM pending_layers WHERE boot = ?1")
    .all(bootId)
    .map(({ chain_id }) => chain_id);
}

/** Part of a transaction. A layer that another image has already keeps that one's snapshot. */
function nameSnapshots(
  { state, snapshots }: BuildRooms,
  layers: readonly WrittenLayer[],
  isLazy: boolean,
): void {
  const synced: string[] = [];
  for (const { resultId, chainId, diffId } of layers) {
    const result = resultId === undefined ? undefined : resultById(state, resultId);
    if (result === undefined) continue;
    const isNamed = isDigest(result.snapshot);
    const snapshot =
      !isNamed && renameCommitted(state, snapshots.driver, result.snapshot, chainId)
        ? chainId
        : result.snapshot;
    noteLayer(state, result.id, { diffId, snapshot });
    synced.push(result.id);
  }
  if (!isLazy) noteSynced(state, synced);
}

async function recordOf(
  { state, snapshots }: BuildRooms,
  layers: readonly WrittenLayer[],
  position: number,
): Promise<LayerRecord> {
  const layer = layers[position];
  if (layer === undefined) throw new RangeError(`no layer ${position}`);
  const { chainId, diffId, resultId } = layer;
  const known = layerByChain(state, chainId);
  if (known !== undefined) return known;
  const parent = layers[position - 1]?.chainId;
  const result = resultId === undefined ? undefined : resultById(state, resultId);
  const { bytes } = await snapshots.usage(result?.snapshot ?? chainId);
  return { chainId, diffId, parent, size: bytes };
}
