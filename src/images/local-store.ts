/**
 * The local store as a sink of images. Blobs come in while images are put; `commit` then checks and unpacks them
 * under the "images" lock, makes all of it durable with one sync, and records it in one transaction. A failure or a
 * kill before that transaction leaves only what the next command collects.
 */
import { InvalidParameter } from "../core/errors.ts";
import { faultPoint } from "../core/fault.ts";
import { type ChainId, type Digest, randomId } from "../core/ids.ts";
import { syncFileSystem } from "../linux/disks.ts";
import { appendEvent, ringBell } from "../state/events.ts";
import { lock } from "../state/locks.ts";
import type { State } from "../state/state.ts";
import { collect, type ImageStores, unpackPrefix } from "./collect.ts";
import type { IngestSession } from "./content.ts";
import { type ImageAction, imageEvent } from "./events.ts";
import { type Image, type ImageSink, idOf, type Layer, type NamedImage } from "./image.ts";
import { indexText } from "./index-file.ts";
import type { IngestedBlob } from "./ingest.ts";
import { diffIdOf, isPlain } from "./layer-digest.ts";
import { applyLayer } from "./layers/apply.ts";
import { chainIdsOf } from "./manifest.ts";
import type { Report } from "./progress.ts";
import { imageById, insertImage, type LayerRecord, layerByChain, setTag } from "./records.ts";
import { canonicalForm, familiarForm } from "./references.ts";

export interface StoredImage {
  readonly named: NamedImage;
  /** For each name: the image that had it before, if another had. */
  readonly renamed: ReadonlyMap<string, string>;
}

interface Options {
  /** The event that tells of each image. */
  action: ImageAction;
  report: Report;
  signal: AbortSignal;
}

interface Pending {
  named: NamedImage;
  blobs: IngestedBlob[];
}

/** Writes to the store through `session`, which outlives the sink. */
export function localStoreSink(
  stores: ImageStores,
  session: IngestSession,
  options: Options,
): ImageSink<StoredImage[]> {
  const pending: Pending[] = [];
  return {
    put: async (named) => {
      checkPlatform(named.image);
      const blobs: IngestedBlob[] = [];
      for (const layer of named.image.layers) blobs.push(layer.ingested ?? (await ingest(session, layer)));
      pending.push({ named, blobs });
    },
    commit: async () => {
      using _lock = await lock(stores.state.instance, "images", { signal: options.signal });
      await collect(stores);
      try {
        return await store(stores, session, pending, options);
      } catch (error) {
        await undo(stores, session);
        throw error;
      }
    },
  };
}

/** Removes what a failed commit unpacked and adopted. */
async function undo(stores: ImageStores, session: IngestSession): Promise<void> {
  // First the blobs: where the disk is full, the database has no room for the removals before.
  session.clear();
  try {
    await collect(stores);
  } catch {
    // What made the commit fail may hinder this too, and is what the user must hear of: the next command collects.
    session.abandon();
  }
}

async function store(
  stores: ImageStores,
  session: IngestSession,
  pending: readonly Pending[],
  options: Options,
): Promise<StoredImage[]> {
  const { state, content, snapshots } = stores;
  const layers: LayerRecord[][] = [];
  const unpacked = new Map<ChainId, LayerRecord>();
  for (const { named, blobs } of pending) {
    layers.push(await unpack(stores, named.image, blobs, unpacked, options));
  }
  const manifests = await Promise.all(pending.map(({ named }) => manifestOf(state, named.image)));
  for (const [at, { named, blobs }] of pending.entries()) {
    const manifest = manifests[at];
    if (manifest?.bytes !== undefined) await adopt(session, named.image.config, manifest.bytes, blobs);
  }
  faultPoint("load:unpacked");
  if (unpacked.size > 0) await snapshots.sync();
  syncFileSystem(content.path);
  faultPoint("load:synced");

  const now = Date.now();
  const stored = state.transaction(() => {
    const result = pending.map(({ named }, at) => {
      const { image, names, parent } = named;
      const manifest = manifests[at]?.digest;
      if (manifest === undefined) throw new InvalidParameter("an image has no manifest");
      const record = { id: idOf(image), manifest, parent: knownParent(parent), createdAt: now };
      insertImage(state, record, layers[at] ?? []);
      const renamed = new Map<string, string>();
      for (const name of names) {
        const before = setTag(state, canonicalForm(name), record.id, now);
        if (before !== undefined) renamed.set(familiarForm(name), before);
      }
      appendEvent(state, imageEvent(options.action, record.id, image.config.value.config));
      return { named, renamed };
    });
    content.writeIndex(indexText(state, content));
    return result;
  });
  ringBell(state.instance);
  state.makeDurable();
  faultPoint("load:recorded");
  return stored;

  /** A parent counts only while it is here. */
  function knownParent(parent: NamedImage["parent"]): NamedImage["parent"] {
    const isPending = pending.some(({ named }) => idOf(named.image) === parent);
    return parent !== undefined && (isPending || imageById(state, parent) !== undefined) ? parent : undefined;
  }
}

/** Unpacks the layers that are not here yet; checks all of them against their diff ids. */
async function unpack(
  stores: ImageStores,
  image: Image,
  blobs: readonly IngestedBlob[],
  unpacked: Map<ChainId, LayerRecord>,
  options: Options,
): Promise<LayerRecord[]> {
  const records: LayerRecord[] = [];
  const checks: Promise<void>[] = [];
  let parent: ChainId | undefined;
  for (const [position, chainId] of chainIdsOf(image.config.value.rootfs.diff_ids).entries()) {
    const layer = image.layers[position];
    const blob = blobs[position];
    if (layer === undefined || blob === undefined) throw new InvalidParameter(`no layer ${position}`);
    const known = layerByChain(stores.state, chainId) ?? unpacked.get(chainId);
    const record = known ?? (await unpackLayer(stores, blob, layer, { chainId, parent, position }, options));
    // A plain tar's diff id is its digest, which the other thread is still computing: checked when all are unpacked.
    if (known !== undefined || isPlain(blob)) {
      checks.push(diffIdOf(blob).then((actual) => checkDiffId(position, layer, actual)));
    }
    unpacked.set(chainId, record);
    records.push(record);
    parent = chainId;
  }
  await Promise.all(checks);
  return records;
}

async function unpackLayer(
  { snapshots }: ImageStores,
  blob: IngestedBlob,
  layer: Layer,
  place: { chainId: ChainId; parent: ChainId | undefined; position: number },
  { report, signal }: Options,
): Promise<LayerRecord> {
  const key = unpackPrefix + randomId();
  const id = place.chainId.slice("sha256:".length, "sha256:".length + 12);
  const progress = (current: number) =>
    report({ status: "Loading layer", id, progressDetail: { current, total: blob.size } });
  progress(0);
  await snapshots.prepare(key, place.parent);
  try {
    const target = await snapshots.layerTarget(key);
    const applied = await applyLayer({ path: blob.path }, target, { hash: !isPlain(blob), signal });
    if (applied.diffId !== undefined) checkDiffId(place.position, layer, applied.diffId);
    faultPoint("load:applied");
    await snapshots.commit(key, place.chainId);
    progress(blob.size);
    return { chainId: place.chainId, diffId: layer.diffId, parent: place.parent, size: applied.size };
  } catch (error) {
    await snapshots.remove(key);
    throw error;
  }
}

/** The manifest to record; its bytes only for an image that is not here yet. */
async function manifestOf(state: State, image: Image): Promise<{ digest: Digest; bytes?: Uint8Array }> {
  const known = imageById(state, idOf(image));
  return known === undefined ? await image.manifest() : { digest: known.manifest };
}

/** Makes an image's blobs part of the store. */
async function adopt(
  session: IngestSession,
  config: Image["config"],
  manifest: Uint8Array,
  layers: readonly IngestedBlob[],
): Promise<void> {
  for (const blob of [...layers, session.add(config.bytes), session.add(manifest)]) {
    await blob.flushed;
    session.adopt(blob, await blob.digest);
  }
}

async function ingest(session: IngestSession, layer: Layer): Promise<IngestedBlob> {
  const { digest } = await layer.descriptor();
  const held = session.hold(digest);
  if (held !== undefined) return held;
  const source = layer.open();
  const writer = session.create();
  try {
    const stream = Symbol.asyncIterator in source ? source : Bun.file(source.path).stream();
    for await (const chunk of stream) writer.write(chunk);
    return writer.finish();
  } catch (error) {
    writer.close();
    throw error;
  }
}

function checkDiffId(position: number, layer: Layer, actual: Digest): void {
  if (actual !== layer.diffId) {
    throw new InvalidParameter(
      `invalid diffID for layer ${position}: expected "${layer.diffId}", got "${actual}"`,
    );
  }
}

function checkPlatform({ config }: Image): void {
  const os = config.value.os || "linux";
  if (os !== "linux") throw new InvalidParameter(`cannot load ${os} image on linux`);
}
