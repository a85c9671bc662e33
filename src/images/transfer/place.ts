/**
 * Where a layer goes while it comes in: unpacked into an active snapshot, checked against its diff id, and committed on
 * the one below it.
 */
import { Conflict, InvalidParameter } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import type { ChainId, Digest } from "../../core/ids.ts";
import { rebase, unpacksAlone } from "../../storage/rebase.ts";
import type { ImageStores } from "../collect.ts";
import type { IngestSession } from "../content.ts";
import { settleImplied } from "../layers/implied.ts";
import { lease, unpackKey } from "../leases.ts";
import type { LayerRecord } from "../records.ts";
import type { LayerPool, RunningUnpack } from "./layer-pool.ts";
import type { UnpackedLayer } from "./messages.ts";
import type { ComingLayer } from "./watch.ts";

export interface PlaceRooms {
  readonly stores: ImageStores;
  readonly pool: LayerPool;
  /** Gets the keys of snapshots that cannot be removed now. */
  readonly leftovers: string[];
}

/** Where one layer goes: an active snapshot until it is settled, or only its digest, if it is in its place already. */
export class Place {
  readonly #stores: ImageStores;
  readonly #pool: LayerPool;
  readonly #leftovers: string[];
  readonly #coming: ComingLayer;
  readonly #parent: Promise<ChainId | undefined>;
  readonly #taken: (bytes: number) => void;
  #key: string | undefined;
  #isAlone = false;
  #filling: Promise<void> | undefined;
  #running: RunningUnpack | undefined;
  #extent = { written: 0, isWhole: false };
  #isAbandoned = false;

  /** @param taken is told how many bytes of the file have been unpacked. */
  constructor(
    { stores, pool, leftovers }: PlaceRooms,
    coming: ComingLayer,
    parent: Promise<ChainId | undefined>,
    taken: (bytes: number) => void = () => {},
  ) {
    this.#stores = stores;
    this.#pool = pool;
    this.#leftovers = leftovers;
    this.#coming = coming;
    this.#parent = parent;
    this.#taken = taken;
  }

  /**
   * Begins to unpack a file, unless that was begun before; resolves when it has begun, which may have to wait for the
   * layer below.
   */
  fill(path: string, extent: { written: number; isWhole: boolean }, signal: AbortSignal): Promise<void> {
    if (extent.written >= this.#extent.written) this.grow(extent.written, extent.isWhole);
    this.#filling ??= this.#begin(path, signal);
    return this.#filling;
  }

  async #begin(path: string, signal: AbortSignal): Promise<void> {
    const isInPlace = await this.#stores.snapshots.has(this.#coming.chainId);
    const target = isInPlace ? undefined : await this.#prepare();
    signal.throwIfAborted();
    if (this.#isAbandoned) return;
    const size = this.#coming.descriptor?.size ?? this.#extent.written;
    const job = { path, target, isAlone: this.#isAlone, size };
    const running = this.#pool.start(job, this.#extent, this.#taken);
    this.#running = running;
    signal.addEventListener("abort", () => running.cancel(), { once: true });
  }

  grow(written: number, isWhole: boolean): void {
    this.#extent = { written, isWhole };
    this.#running?.grow(written, isWhole);
  }

  /** Resolves when nothing is unpacked any more. @throws InvalidParameter, LinuxError */
  async unpacked(): Promise<UnpackedLayer | undefined> {
    return this.#running?.layer;
  }

  /**
   * Checks what was unpacked and puts it in its place.
   * @returns its record; undefined for a layer that was in its place before.
   */
  async settle(
    blobDigest: Promise<Digest>,
    session: IngestSession,
    signal: AbortSignal,
  ): Promise<LayerRecord | undefined> {
    const { chainId, layer } = this.#coming;
    try {
      const unpacked = await this.unpacked();
      if (unpacked === undefined) return undefined;
      checkDiffId(this.#coming, (unpacked.diffId ?? (await blobDigest)) as Digest);
      const parent = await this.#parent;
      signal.throwIfAborted();
      const key = this.#key;
      if (key === undefined) return undefined;
      await this.#standOn(key, parent, unpacked.implied);
      faultPoint("load:applied");
      lease(session, chainId);
      await this.#commit(key, chainId);
      return { chainId, diffId: layer.diffId, parent, size: unpacked.size };
    } catch (error) {
      await this.abandon();
      throw error;
    }
  }

  /** Ends the work and removes what it made. */
  async abandon(): Promise<void> {
    this.#isAbandoned = true;
    await this.#filling?.catch(() => undefined);
    this.#running?.cancel();
    await this.#running?.layer.catch(() => undefined);
    await this.#remove();
  }

  async #remove(): Promise<void> {
    const key = this.#key;
    this.#key = undefined;
    if (key === undefined) return;
    try {
      await this.#stores.snapshots.remove(key);
    } catch {
      // On a full disk there is no room to record a removal before the blobs have gone: then it is done once more.
      this.#leftovers.push(key);
    }
  }

  async #prepare() {
    const { snapshots } = this.#stores;
    const key = unpackKey();
    const { position } = this.#coming;
    const early = position === 0 ? undefined : await settled(this.#parent);
    this.#isAlone = position > 0 && early === undefined && unpacksAlone(snapshots);
    const parent = this.#isAlone ? undefined : await this.#parent;
    await snapshots.prepare(key, parent);
    this.#key = key;
    return snapshots.layerTarget(key);
  }

  async #standOn(key: string, parent: ChainId | undefined, implied: readonly string[]): Promise<void> {
    if (!this.#isAlone || parent === undefined) return;
    const { state, snapshots } = this.#stores;
    rebase(state, snapshots.driver, key, parent);
    settleImplied(await snapshots.layerTarget(key), implied);
  }

  async #commit(key: string, chainId: ChainId): Promise<void> {
    try {
      await this.#stores.snapshots.commit(key, chainId);
      this.#key = undefined;
    } catch (error) {
      // Another process was quicker: its layer is the same.
      if (!(error instanceof Conflict) || !(await this.#stores.snapshots.has(chainId))) throw error;
      await this.abandon();
    }
  }
}

/** What a promise has resolved to by now; undefined while it is pending. */
async function settled<Value>(promise: Promise<Value>): Promise<Value | undefined> {
  return Promise.race([promise, Promise.resolve().then(() => undefined)]);
}

function checkDiffId({ position, layer }: ComingLayer, actual: Digest): void {
  if (actual !== layer.diffId) {
    throw new InvalidParameter(
      `invalid diffID for layer ${position}: expected "${layer.diffId}", got "${actual}"`,
    );
  }
}
