/**
 * The local store as a sink of images. `put` brings an image's layers in, unpacked and checked (transfer/incoming.ts);
 * `commit` makes all of it durable with one sync and records it in one transaction, under the "images" lock. A failure
 * or a kill before that transaction leaves only what the next command collects.
 */
import { InvalidParameter } from "../core/errors.ts";
import { faultPoint } from "../core/fault.ts";
import { type ChainId, type Digest, shortId } from "../core/ids.ts";
import { currentBootId } from "../linux/boot.ts";
import { syncFileSystem } from "../linux/disks.ts";
import { appendEvent, type NewEvent, ringBell } from "../state/events.ts";
import { lock } from "../state/locks.ts";
import { isKeepable, subjectOf } from "./attestations.ts";
import { collect, type ImageStores } from "./collect.ts";
import type { IngestSession } from "./content.ts";
import { type ImageAction, imageEvent } from "./events.ts";
import { type Image, type ImageSink, idOf, type NamedImage } from "./image.ts";
import { indexText } from "./index-file.ts";
import type { IngestedBlob } from "./ingest.ts";
import { type Descriptor, parseManifest } from "./manifest.ts";
import { clearPending, markPending } from "./pending.ts";
import type { Report } from "./progress.ts";
import { imageById } from "./records.ts";
import { bringInAttestation } from "./transfer/attestation.ts";
import { type CameIn, Incoming, type IncomingOptions } from "./transfer/incoming.ts";
import { forgetPartial } from "./transfer/partial.ts";
import { pairsOf, recordImages } from "./transfer/record.ts";
import type { ComingLayer, LayerEvent, LayerWatch } from "./transfer/watch.ts";

export interface StoredImage {
  readonly named: NamedImage;
  /** For each name: the image that had it before, if another had. */
  readonly renamed: ReadonlyMap<string, string>;
}

export interface LocalStoreOptions extends Pick<IncomingOptions, "fetch" | "parallel"> {
  /** The event that tells of each image. */
  action: ImageAction;
  /** Another event in its place; undefined for none. */
  eventOf?: (named: NamedImage) => NewEvent | undefined;
  /** Messages of `load`; unless `watch` is given. */
  report: Report;
  watch?: LayerWatch;
  /** An image that is here already takes the manifest that comes now: a registry's own, which a push gives back. */
  takesManifest?: boolean;
  /** Record first and sync later: `settle` makes what was recorded safe. */
  isLazy?: boolean;
  signal: AbortSignal;
}

export interface LocalStoreSink extends ImageSink<StoredImage[]>, Disposable {
  discard(): Promise<void>;
  /** After `commit` with `isLazy`: makes what was recorded survive a power cut. */
  settle(): Promise<void>;
}

interface Pending extends CameIn {
  readonly named: NamedImage;
}

interface PendingAttestation {
  readonly subject: Digest;
  readonly blobs: ReadonlyMap<Digest, IngestedBlob>;
}

/** Writes to the store through `session`, which outlives the sink. Threads end with `commit`, `discard` or disposal. */
export function localStoreSink(
  stores: ImageStores,
  session: IngestSession,
  options: LocalStoreOptions,
): LocalStoreSink {
  const { state, content, snapshots } = stores;
  const pending: Pending[] = [];
  const attestations: PendingAttestation[] = [];
  const incoming = new Incoming(stores, session, {
    fetch: options.fetch,
    parallel: options.parallel,
    watch: options.watch ?? loadMessages(options.report),
    signal: options.signal,
  });
  let isCommitted = false;
  const sync = async (chainIds: readonly ChainId[]) => {
    if (chainIds.length > 0) await snapshots.sync();
    syncFileSystem(content.path);
  };
  const freshLayers = () => [...incoming.committed.keys()];
  return {
    put: async (named) => {
      const subject = named.index === undefined ? undefined : subjectOf(named.index.descriptor);
      if (subject !== undefined) {
        const isKept = isKeepable((await named.image.manifest()).value);
        if (!isKept) return;
        attestations.push({
          subject,
          blobs: await bringInAttestation(session, named.image, options.signal),
        });
        return;
      }
      checkPlatform(named.image);
      pending.push({ named, ...(await incoming.bringIn(named.image)) });
    },
    commit: async () => {
      incoming[Symbol.dispose]();
      using _lock = await lock(state.instance, "images", { signal: options.signal });
      const chainIds = pending.flatMap(({ layers }) => layers.map(({ chainId }) => chainId));
      const ready = await Promise.all(
        pending.map(async (item) => ({
          ...item,
          manifest: await manifestOf(stores, item.named, options),
        })),
      );
      const fetched: Digest[] = [];
      for (const item of ready) fetched.push(...(await adopt(session, item)));
      const subjects = new Set(pending.map(({ named }) => named.index?.descriptor.digest));
      for (const { subject, blobs } of attestations) {
        if (!subjects.has(subject)) continue;
        for (const [digest, blob] of blobs) session.adopt(blob, digest);
      }
      const notePairs = await pairsOf(ready);
      faultPoint("load:unpacked");
      if (options.isLazy !== true) await sync(freshLayers());
      faultPoint("load:synced");
      const stored = state.transaction(() => {
        const result = recordImages(state, ready, options.takesManifest === true);
        notePairs(state);
        for (const { named } of result) {
          const { image } = named;
          const event =
            options.eventOf === undefined
              ? imageEvent(options.action, idOf(image), image.config.value.config)
              : options.eventOf(named);
          if (event !== undefined) appendEvent(state, event);
        }
        if (options.isLazy === true) markPending(state, freshLayers(), currentBootId());
        else clearPending(state, chainIds);
        content.writeIndex(indexText(state, content));
        return result;
      });
      isCommitted = true;
      ringBell(state.instance);
      if (options.isLazy !== true) state.makeDurable();
      faultPoint("load:recorded");
      for (const digest of fetched) forgetPartial(content, digest);
      return stored;
    },
    settle: async () => {
      const chainIds = freshLayers();
      await sync(chainIds);
      clearPending(state, chainIds);
      state.makeDurable();
    },
    discard: async () => {
      incoming[Symbol.dispose]();
      if (!isCommitted) await undo(stores, session, incoming);
    },
    [Symbol.dispose]: () => incoming[Symbol.dispose](),
  };
}

/** Removes what a failed command unpacked and adopted. */
async function undo(stores: ImageStores, session: IngestSession, incoming: Incoming): Promise<void> {
  // First the blobs: where the disk is full, the database has no room for the removals before.
  session.clear();
  for (const pause of undoPauses) {
    // A thread that was told to end may still fill the disk for a moment.
    await Bun.sleep(pause);
    try {
      await incoming.removeLeftovers();
      using _lock = await lock(stores.state.instance, "images");
      await collect(stores);
      return;
    } catch {
      // Tried once more; after the last time the next command does it.
    }
  }
  // What made the command fail hinders this too, and is what the user must hear of: the next command collects.
  session.abandon();
}

/** Before each attempt to undo, in milliseconds. */
const undoPauses = [0, 5, 20, 80, 320];

interface ManifestToRecord {
  readonly digest: Digest;
  /** Undefined where the store has it. */
  readonly bytes: Uint8Array | undefined;
  /** The layers that it names. */
  readonly needs: ReadonlySet<Digest>;
}

async function manifestOf(
  { state, content }: ImageStores,
  { image, index }: NamedImage,
  { takesManifest }: LocalStoreOptions,
): Promise<ManifestToRecord> {
  const layersOf = (layers: readonly Descriptor[]) => new Set(layers.map(({ digest }) => digest));
  // An index may name another manifest of an image that is here: then both are kept.
  const isNew = takesManifest === true || index !== undefined;
  const known = isNew ? undefined : imageById(state, idOf(image));
  const bytes = known === undefined ? undefined : content.tryRead(known.manifest);
  if (known !== undefined && bytes !== undefined) {
    return { digest: known.manifest, bytes: undefined, needs: layersOf(parseManifest(bytes).layers) };
  }
  const manifest = await image.manifest();
  return { digest: manifest.digest, bytes: manifest.bytes, needs: layersOf(manifest.value.layers) };
}

/**
 * Makes an image's blobs part of the store.
 * @returns digests of its layers.
 */
async function adopt(
  session: IngestSession,
  { named, blobs, manifest }: Pending & { manifest: ManifestToRecord },
): Promise<Digest[]> {
  const documents = [
    named.image.config.bytes,
    manifest.bytes,
    ...(named.index?.path ?? []).map(({ bytes }) => bytes),
  ];
  for (const bytes of documents) {
    if (bytes === undefined) continue;
    const document = session.add(bytes);
    session.adopt(document, await document.digest);
  }
  const digests: Digest[] = [];
  for (const blob of blobs) {
    const digest = await blob.digest;
    // An image that is kept under the manifest it had needs the blobs that this one names, and no others.
    if (manifest.bytes !== undefined || manifest.needs.has(digest)) session.adopt(blob, digest);
    digests.push(digest);
  }
  return digests;
}

function checkPlatform({ config, isArtifact }: Image): void {
  if (isArtifact === true) throw new InvalidParameter("this is an artifact, no image: it cannot be loaded");
  const os = config.value.os || "linux";
  if (os !== "linux") throw new InvalidParameter(`cannot load ${os} image on linux`);
}

/** What `load` tells of layers: when each begins and ends. */
function loadMessages(report: Report): LayerWatch {
  return ({ chainId }: ComingLayer, event: LayerEvent) => {
    if (event.kind !== "extracting") return;
    const { current, total } = event;
    const id = shortId(chainId);
    report({ status: "Loading layer", id, progressDetail: { current, total } });
  };
}
