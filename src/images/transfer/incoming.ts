/**
 * Brings the layers of images into the local store: fetched side by side, each unpacked while it comes in, committed
 * from the bottom up. What it has committed is leased (leases.ts) until the image is recorded.
 */
import { hasErrno, InvalidParameter } from "../../core/errors.ts";
import type { ChainId, Digest } from "../../core/ids.ts";
import { lock } from "../../state/locks.ts";
import { unpacksAlone } from "../../storage/rebase.ts";
import type { ImageStores } from "../collect.ts";
import type { IngestSession } from "../content.ts";
import type { Image, Layer } from "../image.ts";
import type { IngestedBlob } from "../ingest.ts";
import { chunksOf, isFileRange } from "../layers/byte-source.ts";
import { lease } from "../leases.ts";
import { chainIdsOf, type Descriptor } from "../manifest.ts";
import { type LayerRecord, layerByChain } from "../records.ts";
import { isKnownPair } from "./compressed-layers.ts";
import { digestOfFile, type FetchWatch, fetchBlob, holdWhole, type OpenBlob } from "./fetch-blob.ts";
import { LayerPool, smallLayer } from "./layer-pool.ts";
import { Limit } from "./limit.ts";
import { forgetPartial } from "./partial.ts";
import { Place, type PlaceRooms } from "./place.ts";
import { checkDigest, rehashed } from "./stored-blob.ts";
import type { ComingLayer, LayerEvent, LayerWatch } from "./watch.ts";

export interface IncomingOptions {
  /** Opens a blob from any offset on; without it a layer's own stream is read from its start. */
  fetch?: ((layer: Layer, descriptor: Descriptor) => OpenBlob) | undefined;
  /** Layers that are fetched at the same time; 3 when absent, as in Docker. */
  parallel?: number | undefined;
  watch: LayerWatch;
  signal: AbortSignal;
}

export interface CameIn {
  /** One for each layer, bottom first; of the same session. */
  readonly blobs: readonly IngestedBlob[];
  readonly layers: readonly LayerRecord[];
}

const fetchesAtOnce = 3;
/** The other thread is told of so many new bytes at once. */
const growStep = 1 << 19;
/** How long to wait for another process to put a layer in place that it has fetched. Milliseconds. */
const patience = 3000;

/** All images of one command. To be disposed of, which ends its threads. */
export class Incoming implements Disposable {
  readonly #stores: ImageStores;
  readonly #session: IngestSession;
  readonly #options: IncomingOptions;
  readonly #pool = new LayerPool();
  readonly #limit: Limit;
  /** What this command has put in place itself. */
  readonly committed = new Map<ChainId, LayerRecord>();
  readonly #blobs = new Map<Digest, IngestedBlob>();
  /** Blobs of the store that are not what their name says. */
  readonly #damaged = new Set<Digest>();
  /** Snapshots that a place could not remove. */
  readonly #leftovers: string[] = [];

  constructor(stores: ImageStores, session: IngestSession, options: IncomingOptions) {
    this.#stores = stores;
    this.#session = session;
    this.#options = options;
    this.#limit = new Limit(options.parallel ?? fetchesAtOnce);
  }

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]();
  }

  /** After a failure: removes what could not be removed before, because the disk was full. */
  async removeLeftovers(): Promise<void> {
    for (let key = this.#leftovers.at(-1); key !== undefined; key = this.#leftovers.at(-1)) {
      await this.#stores.snapshots.remove(key);
      this.#leftovers.pop();
    }
  }

  /**
   * Brings in all layers of one image. When it throws, nothing of it works any more, and what it has committed goes
   * with the session.
   * @throws InvalidParameter for layers that are damaged or not what they are said to be; LinuxError ENOSPC; what the
   *   source throws.
   */
  async bringIn(image: Image): Promise<CameIn> {
    const chainIds = chainIdsOf(image.config.value.rootfs.diff_ids);
    await this.#leaseAll(chainIds);
    const stop = new AbortController();
    const signal = AbortSignal.any([this.#options.signal, stop.signal]);
    const coming = await Promise.all(
      chainIds.map((chainId, position) => describe(image.layers[position], chainId, position)),
    );
    const plans = await Promise.all(coming.map((layer) => this.#plan(layer)));
    for (const [at, layer] of coming.entries()) {
      this.#options.watch(layer, { kind: plans[at]?.isComplete === true ? "exists" : "queued" });
    }

    let below: Promise<ChainId | undefined> = Promise.resolve(undefined);
    const works = coming.map((layer, at) => {
      const parent = below;
      const work = this.#layer(layer, plans[at] ?? noPlan, parent, signal).catch((error: unknown) => {
        stop.abort(error);
        throw error;
      });
      below = work.then(() => layer.chainId);
      below.catch(() => undefined);
      return work;
    });
    // All of them come to an end before the first failure is told: nothing is written any more then.
    const results = await Promise.allSettled(works);
    if (results.some(({ status }) => status === "rejected")) {
      this.#options.signal.throwIfAborted();
      const { reason } = stop.signal;
      // Kept downloads are for a second try; where there is no room, that would not have any either.
      if (hasErrno(reason, "ENOSPC", "EDQUOT")) this.#forgetFetched(coming);
      throw reason;
    }
    return {
      blobs: results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : [])),
      layers: await Promise.all(coming.map((layer, at) => this.#recordOf(layer, chainIds[at - 1]))),
    };
  }

  #forgetFetched(coming: readonly ComingLayer[]): void {
    for (const { descriptor } of coming) {
      if (descriptor !== undefined) forgetPartial(this.#stores.content, descriptor.digest);
    }
  }

  /** Before anything is looked for, so that what is found stays (leases.ts, rule 3). */
  async #leaseAll(chainIds: readonly ChainId[]): Promise<void> {
    using _lock = await lock(this.#stores.state.instance, "images", {
      mode: "shared",
      signal: this.#options.signal,
    });
    for (const chainId of chainIds) lease(this.#session, chainId);
  }

  async #plan({ layer, chainId, descriptor }: ComingLayer): Promise<Plan> {
    const blob = layer.ingested ?? (descriptor === undefined ? undefined : this.#hold(descriptor));
    const isInPlace = await this.#stores.snapshots.has(chainId);
    const isKnown =
      descriptor !== undefined && isKnownPair(this.#stores.state, layer.diffId, descriptor.digest);
    return { blob, isInPlace, isComplete: isInPlace && blob !== undefined && isKnown };
  }

  #hold(descriptor: Descriptor): IngestedBlob | undefined {
    const stored = () =>
      this.#damaged.has(descriptor.digest) ? undefined : holdWhole(this.#session, descriptor);
    const known = this.#blobs.get(descriptor.digest) ?? stored();
    if (known !== undefined) this.#blobs.set(descriptor.digest, known);
    return known;
  }

  /** @returns its blob, when the layer is in its place. */
  async #layer(
    coming: ComingLayer,
    plan: Plan,
    parent: Promise<ChainId | undefined>,
    signal: AbortSignal,
  ): Promise<IngestedBlob> {
    const tell = (event: LayerEvent) => this.#options.watch(coming, event);
    if (plan.isComplete && plan.blob !== undefined) {
      await parent;
      return plan.blob;
    }
    if (plan.blob !== undefined) {
      try {
        const { descriptor } = coming;
        const blob = descriptor === undefined ? plan.blob : rehashed(plan.blob, signal);
        // What an archive brings that is here already is only looked at.
        await this.#unpackWhole(coming, blob, parent, signal, plan.isInPlace ? silent : tell);
        if (descriptor !== undefined) await checkDigest(blob, descriptor.digest);
        return plan.blob;
      } catch (error) {
        if (!(await this.#isDamaged(plan.blob, coming, error, signal))) throw error;
      }
    }
    if (this.#limit.isFull) tell({ kind: "waiting" });
    // Outside of the limit: what lies below may still have to wait for its turn.
    const { blob, place } = await this.#limit.run(() => this.#fetch(coming, parent, signal, tell));
    await place.fill(blob.path, { written: blob.size, isWhole: true }, signal);
    await this.#settle(coming, place, blob, signal, tell);
    return blob;
  }

  /** True when the store's own blob was at fault, and it can be fetched again. */
  async #isDamaged(
    blob: IngestedBlob,
    { layer, descriptor }: ComingLayer,
    error: unknown,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (layer.ingested !== undefined || descriptor === undefined || !(error instanceof InvalidParameter)) {
      return false;
    }
    if ((await digestOfFile(blob.path, signal)) === descriptor.digest) return false;
    this.#blobs.delete(descriptor.digest);
    this.#damaged.add(descriptor.digest);
    return true;
  }

  /** A blob from an archive, which may still be arriving, or from the store. */
  async #unpackWhole(
    coming: ComingLayer,
    blob: IngestedBlob,
    parent: Promise<ChainId | undefined>,
    signal: AbortSignal,
    tell: (event: LayerEvent) => void,
  ): Promise<void> {
    tell({ kind: "extracting", current: 0, total: blob.size });
    const place = new Place(this.#rooms, coming, parent);
    blob.arrival?.follow((written, isWhole) => place.grow(written, isWhole));
    await place.fill(blob.path, blob.arrival ?? { written: blob.size, isWhole: true }, signal);
    await this.#settle(coming, place, blob, signal, tell);
  }

  get #rooms(): PlaceRooms {
    return { stores: this.#stores, pool: this.#pool, leftovers: this.#leftovers };
  }

  async #settle(
    coming: ComingLayer,
    place: Place,
    blob: IngestedBlob,
    signal: AbortSignal,
    tell: (event: LayerEvent) => void,
  ): Promise<void> {
    const record = await place.settle(blob.digest, this.#session, signal);
    if (record !== undefined) this.committed.set(coming.chainId, record);
    tell({ kind: "extracting", current: blob.size, total: blob.size });
    tell({ kind: "complete" });
  }

  /**
   * Downloads a blob; unpacks it meanwhile where that can be done without the layers below.
   * @returns the blob, and the place that it goes to: filled, or still to be.
   */
  async #fetch(
    coming: ComingLayer,
    parent: Promise<ChainId | undefined>,
    signal: AbortSignal,
    tell: (event: LayerEvent) => void,
  ): Promise<{ blob: IngestedBlob; place: Place }> {
    signal.throwIfAborted();
    const { layer, chainId } = coming;
    const descriptor = coming.descriptor ?? (await layer.descriptor());
    const { size: total } = descriptor;
    const newPlace = () =>
      new Place(this.#rooms, coming, parent, (bytes) => {
        if (isDownloaded) tell({ kind: "extracting", current: Math.min(bytes, total), total });
      });
    let isDownloaded = false;
    let place = newPlace();
    // An image may hold the same blob twice: then the second finds it here.
    const known = this.#hold(descriptor);
    if (known !== undefined) return { blob: known, place };

    const isStreamed = total >= smallLayer && unpacksAlone(this.#stores.snapshots);
    let filling: Promise<void> | undefined;
    let told = 0;
    const watch: FetchWatch = {
      waiting: () => tell({ kind: "waiting" }),
      started: (path, written) => {
        if (!isStreamed) return;
        const former = filling === undefined ? undefined : place;
        if (former !== undefined) place = newPlace();
        const next = place;
        told = written;
        filling = (async () => {
          await former?.abandon();
          await next.fill(path, { written, isWhole: false }, signal);
        })();
        // Awaited below, if the download comes that far.
        filling.catch(() => undefined);
      },
      grown: (written) => {
        tell({ kind: "downloading", current: written, total });
        if (written - told < growStep) return;
        told = written;
        place.grow(written, false);
      },
      verifying: () => tell({ kind: "verifying" }),
    };
    try {
      const open = this.#options.fetch?.(layer, descriptor) ?? streamOf(layer);
      const stores = { content: this.#stores.content, session: this.#session };
      using fetched = await fetchBlob(stores, descriptor, open, watch, signal);
      isDownloaded = true;
      tell({ kind: "downloaded" });
      if (fetched.wasShared) await this.#awaitOther(chainId, signal);
      place.grow(total, true);
      await filling;
      // Until it is unpacked, others wait for it: they would only do the same work.
      await place.unpacked();
      this.#blobs.set(descriptor.digest, fetched.blob);
      return { blob: fetched.blob, place };
    } catch (error) {
      await place.abandon();
      throw error;
    }
  }

  /** Another process had the blob: it is about to put the layer in place. Does not wait for ever: it may be killed. */
  async #awaitOther(chainId: ChainId, signal: AbortSignal): Promise<void> {
    const end = Date.now() + patience;
    while (!(await this.#stores.snapshots.has(chainId)) && Date.now() < end) {
      signal.throwIfAborted();
      await Bun.sleep(20);
    }
  }

  /** The record of a layer that is in its place; what another process has not recorded yet is measured. */
  async #recordOf({ chainId, layer }: ComingLayer, parent: ChainId | undefined): Promise<LayerRecord> {
    const known = this.committed.get(chainId) ?? layerByChain(this.#stores.state, chainId);
    if (known !== undefined) return known;
    const { bytes } = await this.#stores.snapshots.usage(chainId);
    return { chainId, diffId: layer.diffId, parent, size: bytes };
  }
}

interface Plan {
  /** The blob, where it lies in the session or the store. */
  readonly blob: IngestedBlob | undefined;
  /** The layer has been unpacked before. */
  readonly isInPlace: boolean;
  /** Nothing is to be done. */
  readonly isComplete: boolean;
}

const silent = () => {};

const noPlan: Plan = { blob: undefined, isInPlace: false, isComplete: false };

async function describe(layer: Layer | undefined, chainId: ChainId, position: number): Promise<ComingLayer> {
  if (layer === undefined) throw new InvalidParameter(`no layer ${position}`);
  return {
    layer,
    chainId,
    position,
    descriptor: layer.ingested === undefined ? await layer.descriptor() : undefined,
  };
}

/** A layer's own stream cannot begin in the middle: what is there already is read over. */
function streamOf(layer: Layer): OpenBlob {
  return async function* (offset, signal) {
    let position = 0;
    // Hashed by who fetches it.
    const source = layer.openUnchecked?.() ?? layer.open();
    for await (const chunk of isFileRange(source) ? chunksOf(source, signal) : source) {
      const skipped = Math.min(chunk.byteLength, Math.max(0, offset - position));
      position += chunk.byteLength;
      if (skipped < chunk.byteLength) yield chunk.subarray(skipped);
    }
  };
}
