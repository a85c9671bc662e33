/** One layer of a cache elsewhere, on its way into the local one. */
import { hasErrno, InvalidParameter, LinuxError } from "../../../core/errors.ts";
import { faultPoint } from "../../../core/fault.ts";
import { type DiffId, randomId } from "../../../core/ids.ts";
import type { IngestSession } from "../../../images/content.ts";
import type { Layer } from "../../../images/image.ts";
import type { IngestedBlob } from "../../../images/ingest.ts";
import { applyLayer } from "../../../images/layers/apply.ts";
import { decompress } from "../../../images/layers/compression.ts";
import { unpackKey } from "../../../images/leases.ts";
import type { Descriptor } from "../../../images/manifest.ts";
import type { Limit } from "../../../images/transfer/limit.ts";
import { verified } from "../../../images/transports/verified.ts";
import type { BuildRooms } from "../../rooms.ts";
import { bringHere, prepareOn, snapshotOf } from "../../steps/layer.ts";
import type { AwayLayer, Root } from "../../steps/root.ts";
import {
  addAlias,
  beginResult,
  finishResult,
  forgetResult,
  noteLayer,
  standsOn,
  useResult,
} from "../results.ts";
import { lockStep } from "../step-lock.ts";
import { CacheBroken } from "./broken.ts";
import type { CacheRecord } from "./document.ts";

/** What layers of one cache are fetched with. */
export interface FetchContext {
  /** As the user has named it. */
  readonly source: string;
  readonly rooms: BuildRooms;
  readonly session: IngestSession;
  readonly limit: Limit;
  readonly signal: AbortSignal;
  /** Tells that a layer is fetched. @returns tells that it is here */
  readonly tell: (descriptor: Descriptor) => () => void;
  /** Tells that the cache is broken. */
  readonly failed: (error: CacheBroken) => void;
}

export interface RemoteBlob {
  readonly descriptor: Descriptor;
  /** The repository that it lies in. */
  readonly origin: Layer["origin"];
  open(): AsyncIterable<Uint8Array>;
}

/** Failures that say nothing about the layer that was unpacked. */
const errnosOfMachine = ["ENOSPC", "EDQUOT", "EIO", "ENOMEM", "EMFILE", "ENFILE", "EROFS"];

export class RemoteLayer implements AwayLayer {
  readonly record: CacheRecord;
  readonly below: RemoteLayer | undefined;
  readonly #blob: RemoteBlob;
  readonly #context: FetchContext;
  #fetching: Promise<IngestedBlob> | undefined;
  #bringing: Promise<string> | undefined;
  #resultId: string | undefined;

  constructor(record: CacheRecord, below: RemoteLayer | undefined, blob: RemoteBlob, context: FetchContext) {
    this.record = record;
    this.below = below;
    this.#blob = blob;
    this.#context = context;
  }

  get diffId(): DiffId {
    return this.record.diffId;
  }

  get resultId(): string | undefined {
    return this.#resultId;
  }

  /** As it lies in the cache. Whoever opens it gets what its descriptor says, or CacheBroken. */
  get layer(): Layer {
    const { origin } = this.#blob;
    return {
      ...(origin === undefined ? {} : { origin }),
      diffId: this.diffId,
      descriptor: async () => this.#blob.descriptor,
      open: () => this.#content(),
      ingested: undefined,
    };
  }

  /** Its tar as a file of the session. @throws CacheBroken */
  tar(): Promise<IngestedBlob> {
    if (this.#fetching === undefined) {
      this.#fetching = this.#context.limit.run(() => this.#fetch());
      this.#fetching.catch(() => undefined);
    }
    return this.#fetching;
  }

  here(below: Pick<Root, "layers">): Promise<string> {
    if (this.#bringing === undefined) {
      this.#bringing = this.#bring(below);
      this.#bringing.catch(() => undefined);
    }
    return this.#bringing;
  }

  async #fetch(): Promise<IngestedBlob> {
    const { session, signal } = this.#context;
    const { size, diffId } = this.record;
    signal.throwIfAborted();
    const done = this.#context.tell(this.#blob.descriptor);
    const writer = session.create();
    try {
      let received = 0;
      const { stream } = await decompress(this.#content(), { signal });
      for await (const chunk of stream) {
        received += chunk.byteLength;
        if (received > size) throw new InvalidParameter(`layer ${diffId} is larger than its ${size} bytes`);
        writer.write(chunk);
      }
    } catch (error) {
      writer.close();
      throw this.#broken(error);
    }
    const blob = writer.finish();
    const digest = await blob.digest;
    if (digest !== diffId) {
      throw this.#broken(new InvalidParameter(`layer ${diffId} has the content of ${digest}`));
    }
    done();
    return blob;
  }

  /** Whatever keeps its bytes from coming, it is the cache that does not give them. */
  async *#content(): AsyncGenerator<Uint8Array> {
    try {
      yield* verified(this.#blob.open(), this.#blob.descriptor);
    } catch (error) {
      throw this.#context.signal.aborted || error instanceof CacheBroken ? error : this.#breaks(error);
    }
  }

  /** Of what has come: what is wrong with this machine is not the cache's fault. */
  #broken(error: unknown): unknown {
    const isOfLayer =
      error instanceof InvalidParameter ||
      (error instanceof LinuxError && !hasErrno(error, ...errnosOfMachine));
    return isOfLayer ? this.#breaks(error) : error;
  }

  #breaks(cause: unknown): CacheBroken {
    const broken = new CacheBroken(this.#context.source, cause);
    this.#context.failed(broken);
    return broken;
  }

  async #bring(below: Pick<Root, "layers">): Promise<string> {
    const { rooms, signal } = this.#context;
    const { key } = this.record;
    // Fetched while those below are fetched and unpacked.
    const tar = this.tar();
    await bringHere(below);
    using _alone = key === undefined ? undefined : await lockStep(rooms.instance, key, signal);
    // Another build may just have brought it.
    const known = key === undefined ? undefined : useResult(rooms.state, key, rooms.bootId);
    const isSame = known?.diffId === this.diffId && standsOn(rooms.state, known.id, snapshotOf(rooms, below));
    this.#resultId = known !== undefined && isSame ? known.id : await this.#unpack(await tar, below);
    return this.#resultId;
  }

  async #unpack(tar: IngestedBlob, below: Pick<Root, "layers">): Promise<string> {
    const { rooms, signal } = this.#context;
    const { state, snapshots } = rooms;
    const { key, aliases, description, fileTime, diffId } = this.record;
    const active = unpackKey();
    await prepareOn(rooms, active, below);
    const id = randomId().slice(0, 20);
    let isBegun = false;
    try {
      const applied = await applyLayer({ path: tar.path }, await snapshots.layerTarget(active), { signal });
      faultPoint("cache:unpacked");
      const snapshot = beginResult(state, { id, description, fileTime, boot: rooms.bootId });
      isBegun = true;
      await snapshots.commit(active, snapshot);
      state.transaction(() => {
        if (key === undefined) finishWithoutKey(rooms, id, applied.size);
        else finishResult(state, id, { key, size: applied.size });
        noteLayer(state, id, { diffId, snapshot });
        for (const alias of aliases) addAlias(state, alias, id);
      });
      return id;
    } catch (error) {
      await snapshots.remove(active);
      if (isBegun) forgetResult(state, id);
      throw this.#broken(error);
    }
  }
}

/** Of a layer that nothing leads to: others stand on it, and it goes when they go. */
function finishWithoutKey({ state }: BuildRooms, id: string, size: number): void {
  state.db.query("UPDATE build_results SET size = ?2, maker = NULL WHERE id = ?1").run(id, size);
}
