/**
 * Hashes on a second thread what this one decompresses and unpacks: of a large layer's work that is a third. The
 * bytes are copied into memory that both threads have; what hashes behind makes the other wait.
 */
import { messageOf, SystemFailure } from "../../core/errors.ts";
import { type Digest, parseDigest } from "../../core/ids.ts";
import { type Sha256, sha256MakerText } from "../../linux/sha256.ts";

/** A digest of bytes that come one after the other. */
export interface StreamHash extends Disposable {
  /** @returns a promise where the next bytes have to wait for it. */
  update(chunk: Uint8Array): Promise<void> | undefined;
  /** Of all bytes. */
  digest(): Promise<Digest>;
}

/** On the thread that calls. */
export function hashHere(): StreamHash {
  const hasher = new Bun.CryptoHasher("sha256");
  return {
    update: (chunk) => {
      hasher.update(chunk);
      return undefined;
    },
    digest: async () => parseDigest(`sha256:${hasher.digest("hex")}`),
    [Symbol.dispose]: () => {},
  };
}

/** The bytes of stream `id` that stand in a slot; without them the stream is over, and `isDropped` nobody asks. */
type Order = { id: number; slot: number; length: number } | { id: number; isDropped: boolean };
type Answer = { kind: "freed" } | { kind: "digest"; id: number; hex: string };

/** Bytes. */
const slotSize = 1 << 18;
const slots = 8;

interface WorkerScope {
  onmessage: ((event: { data: Order | SharedArrayBuffer }) => void) | null;
  postMessage(answer: Answer): void;
}

/** Runs in the other thread as text of its own: it must use globals only. */
function serveStreams(scope: WorkerScope, sizeOfSlot: number, begin: () => Sha256): void {
  const hashes = new Map<number, Sha256>();
  let memory = new SharedArrayBuffer(0);
  const take = (order: Order) => {
    const hash = hashes.get(order.id) ?? begin();
    if ("slot" in order) {
      hashes.set(order.id, hash);
      hash.update(new Uint8Array(memory, order.slot * sizeOfSlot, order.length));
      scope.postMessage({ kind: "freed" });
      return;
    }
    hashes.delete(order.id);
    if (order.isDropped) hash[Symbol.dispose]();
    else scope.postMessage({ kind: "digest", id: order.id, hex: hash.hex() });
  };
  scope.onmessage = ({ data }) => {
    if (data instanceof SharedArrayBuffer) memory = data;
    else take(data);
  };
}

const program = `
(${serveStreams.toString()})(self, ${slotSize}, ${sha256MakerText()});
`;

/** The other thread, which starts with the first stream and serves all of them. */
export class SideHasher {
  readonly #memory = new SharedArrayBuffer(slots * slotSize);
  readonly #digests = new Map<number, PromiseWithResolvers<Digest>>();
  #worker: Worker | undefined;
  #streams = 0;
  /** Chunks that were sent, and that were hashed. */
  #sent = 0;
  #hashed = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #failure: Error | undefined;

  open(): StreamHash {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const id = ++this.#streams;
    let isOver = false;
    const end = (isDropped: boolean) => {
      if (!isOver) worker.postMessage({ id, isDropped } satisfies Order);
      isOver = true;
    };
    return {
      update: (chunk) => this.#send(worker, id, chunk),
      digest: () => {
        const failure = isOver ? new SystemFailure("hashing was given up") : this.#failure;
        if (failure !== undefined) return Promise.reject(failure);
        const waiter = Promise.withResolvers<Digest>();
        this.#digests.set(id, waiter);
        end(false);
        return waiter.promise;
      },
      [Symbol.dispose]: () => end(true),
    };
  }

  #send(worker: Worker, id: number, chunk: Uint8Array): Promise<void> | undefined {
    const slot = this.#sent - this.#hashed < slots ? this.#sent % slots : undefined;
    // Another stream has taken the last slot, or the chunk is larger than one.
    if (slot === undefined || chunk.length > slotSize) return this.#sendSlowly(worker, id, chunk);
    new Uint8Array(this.#memory, slot * slotSize).set(chunk);
    this.#sent += 1;
    worker.postMessage({ id, slot, length: chunk.length } satisfies Order);
    return this.#sent - this.#hashed < slots ? undefined : this.#whenFreed();
  }

  async #sendSlowly(worker: Worker, id: number, chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; at += slotSize) {
      while (this.#sent - this.#hashed >= slots) await this.#whenFreed();
      await this.#send(worker, id, chunk.subarray(at, at + slotSize));
    }
  }

  #whenFreed(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  #start(): Worker {
    const url = URL.createObjectURL(new Blob([program], { type: "application/javascript" }));
    const worker = new Worker(url, { smol: true });
    worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => this.#receive(data));
    worker.addEventListener("error", (event) => {
      this.#fail(new SystemFailure(`hashing failed: ${messageOf(event.error ?? event.message)}`));
    });
    worker.postMessage(this.#memory);
    return worker;
  }

  #receive(answer: Answer): void {
    if (answer.kind === "freed") {
      this.#hashed += 1;
      this.#room?.resolve();
      this.#room = undefined;
      return;
    }
    this.#digests.get(answer.id)?.resolve(parseDigest(`sha256:${answer.hex}`));
    this.#digests.delete(answer.id);
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#room?.reject(error);
    for (const { reject } of this.#digests.values()) reject(error);
    this.#digests.clear();
  }
}
