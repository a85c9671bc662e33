/**
 * A built image into the local store. The snapshots that steps have made become the image's layers under their chain
 * ids: nothing is unpacked again.
 */
import { faultPoint } from "../../core/fault.ts";
import { type ChainId, isDigest } from "../../core/ids.ts";
import { collect, type ImageStores } from "../../images/collect.ts";
import type { IngestSession } from "../../images/content.ts";
import { imageEvent } from "../../images/events.ts";
import { type Document, idOf } from "../../images/image.ts";
import { indexText } from "../../images/index-file.ts";
import { lease } from "../../images/leases.ts";
import type { Manifest } from "../../images/manifest.ts";
import { clearPending, markPending } from "../../images/pending.ts";
import { imageById, type LayerRecord, layerByChain, setTag } from "../../images/records.ts";
import { canonicalForm, type Reference } from "../../images/references.ts";
import { type ReadyImage, recordImages } from "../../images/transfer/record.ts";
import { syncFileSystem } from "../../linux/disks.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import { lock } from "../../state/locks.ts";
import type { State } from "../../state/state.ts";
import { renameCommitted } from "../../storage/rename.ts";
import { noteLayer, noteSynced, resultById, unsyncedResults } from "../cache/results.ts";
import type { BuildRooms } from "../rooms.ts";
import { type BuildImage, type Composed, namedMembers } from "./image-index.ts";
import type { WrittenLayer } from "./layers.ts";

export interface StoreRequest extends Composed {
  readonly names: readonly Reference[];
  /** Images that are here already take the manifests that come now. */
  readonly takesManifest?: boolean;
  readonly signal: AbortSignal;
}

/** From so many new bytes on, nobody waits for the disk: what was recorded is marked, and synced afterwards. */
const largeImage = 16 << 20;

/**
 * Records the images of one build, with their names.
 * @returns false when they will survive a power cut only after `settleImages`; until then they would be dropped as a
 *   whole.
 */
export async function storeImages(
  rooms: BuildRooms,
  session: IngestSession,
  wanted: StoreRequest,
): Promise<boolean> {
  const { state, content, snapshots } = rooms;
  // Only a name leads to an index: without one each image stands for itself.
  const request = wanted.names.length > 0 ? wanted : { ...wanted, index: undefined, attestations: [] };
  const { images, index, names, signal, takesManifest = false } = request;
  const layers = images.flatMap((image) => image.layers);
  for (const { chainId } of layers) lease(session, chainId);
  const ready = await readyImages(rooms, request);
  using _lock = await lock(rooms.instance, "images", { signal });
  const areKnown = images.every(({ image }) => imageById(state, idOf(image)) !== undefined);
  // What is here already has its documents and layers, unless it is to get others.
  const isNew = !areKnown || index !== undefined || takesManifest;
  if (isNew) {
    await adoptDocuments(session, ready, request);
    for (const { blob } of layers) if (blob !== undefined) session.adopt(blob, await blob.digest);
  }
  const newBytes = layers.reduce(
    (sum, { blob, resultId }) => sum + (resultId === undefined ? 0 : (blob?.size ?? 0)),
    0,
  );
  const isLazy = !areKnown && newBytes >= largeImage;
  if (isNew && !isLazy) {
    await snapshots.sync();
    syncFileSystem(content.path);
  }
  faultPoint("build:synced");
  let isIndexChanged = true;
  state.transaction(() => {
    if (isNew) {
      nameSnapshots(rooms, layers, isLazy);
      const records = ready.flatMap((image) => image.layers);
      const unsafe = records.filter(({ chainId }) => layerByChain(state, chainId) === undefined);
      recordImages(state, ready, takesManifest);
      const chainIds = (isLazy ? unsafe : layers).map(({ chainId }) => chainId);
      if (isLazy) markPending(state, chainIds, rooms.bootId);
      else clearPending(state, chainIds);
    } else {
      isIndexChanged = !haveNames(state, images, names);
      setTags(state, images, names);
    }
    for (const { image } of images.slice(0, 1)) {
      const { config } = image.config.value;
      for (const name of names) {
        appendEvent(state, imageEvent("tag", idOf(image), config, canonicalForm(name)));
      }
    }
    if (isIndexChanged) content.writeIndex(indexText(state, content));
  });
  ringBell(state.instance);
  if (isNew && !isLazy) state.makeDurable();
  // The blobs of the forms that images here had before.
  if (takesManifest && areKnown) await collect(rooms);
  return !isLazy;
}

/** Images with their layers' records. What steps have made is measured before anything is locked. */
async function readyImages(rooms: BuildRooms, request: StoreRequest): Promise<ReadyBuild[]> {
  const { names } = request;
  const members = await namedMembers(request, names);
  return Promise.all(
    request.images.map(async ({ image, layers }, at) => ({
      named: members[at] ?? { image, names, parent: undefined },
      manifest: await image.manifest(),
      layers: await Promise.all(layers.map((_, position) => recordOf(rooms, layers, position))),
      blobs: layers.flatMap(({ blob }) => blob ?? []),
    })),
  );
}

type ReadyBuild = ReadyImage & { readonly manifest: Document<Manifest> };

async function adoptDocuments(
  session: IngestSession,
  ready: readonly ReadyBuild[],
  { attestations, index }: Composed,
): Promise<void> {
  const documents = [
    ...ready.flatMap(({ named, manifest }) => [named.image.config.bytes, manifest.bytes]),
    ...(index === undefined ? [] : [index.bytes]),
  ];
  for (const { image } of attestations) {
    documents.push(image.config.bytes, (await image.manifest()).bytes);
    for (const { ingested } of image.layers) {
      if (ingested !== undefined) session.adopt(ingested, await ingested.digest);
    }
  }
  for (const bytes of documents) {
    const document = session.add(bytes);
    session.adopt(document, await document.digest);
  }
}

/** True where each name leads to the image already. */
function haveNames(state: State, images: readonly BuildImage[], names: readonly Reference[]): boolean {
  return images.every(({ image }) => {
    const tags = imageById(state, idOf(image))?.tags ?? [];
    return names.every((name) => tags.includes(canonicalForm(name)));
  });
}

/** Part of a transaction: an image that is here already takes the names. */
function setTags(state: State, images: readonly BuildImage[], names: readonly Reference[]): void {
  for (const { image } of images) {
    for (const name of names) setTag(state, canonicalForm(name), idOf(image), Date.now());
  }
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
