/**
 * Threads that unpack and compress layers. Each starts with the first layer that finds no idle one; bytes never travel between
 * threads: they lie in the file that is downloaded or copied, in the page cache.
 */

import { messageOf, SystemFailure } from "../../core/errors.ts";
import { processorCount } from "../../linux/machine.ts";
import type { Answer, CompressedBlob, CompressJob, Order, UnpackedLayer, UnpackJob } from "./messages.ts";
import { failureOf, unpack } from "./unpack.ts";

/**
 * The leader hashes what it downloads, and each thread has another one beside it that hashes what it unpacks: on two
 * cores one is enough, and each costs some 20 MB.
 */
const mostThreads = 2;
/** A layer smaller than this is unpacked before a thread would have started. Bytes. */
export const smallLayer = 1 << 21;

export interface RunningUnpack {
  /** @throws InvalidParameter, LinuxError; SystemFailure when it was cancelled. */
  readonly layer: Promise<UnpackedLayer>;
  /** The file holds so many bytes now. */
  grow(written: number, isWhole: boolean): void;
  /** Ends it soon; `layer` settles when nothing is written any more. */
  cancel(): void;
}

interface Seat {
  readonly worker: Worker;
  readonly jobs: Map<number, Job>;
}

interface Job {
  readonly answered: (answer: Answer) => void;
  readonly failed: (error: Error) => void;
}

export class LayerPool implements Disposable {
  readonly #seats: Seat[] = [];
  readonly #limit: number;
  #jobs = 0;

  /** Threads at most. */
  get threads(): number {
    return this.#limit;
  }

  /** @param threads at most; by default as many as are worth while beside a leader that works itself. */
  constructor(threads = Math.min(processorCount() - 1, mostThreads)) {
    this.#limit = Math.max(1, threads);
  }

  /**
   * Begins to unpack a file of which `written` bytes are there.
   * @param taken is told of the bytes that were read.
   */
  start(
    job: UnpackJob,
    extent: { written: number; isWhole: boolean },
    taken: (bytes: number) => void = () => {},
  ): RunningUnpack {
    if (extent.isWhole && extent.written < smallLayer) return unpackHere(job);
    const seat = this.#seat();
    const id = ++this.#jobs;
    const done = Promise.withResolvers<UnpackedLayer>();
    // Awaited later, perhaps after another layer has failed.
    done.promise.catch(() => undefined);
    seat.jobs.set(id, {
      answered: (answer) => {
        if (answer.kind === "taken") taken(answer.bytes);
        else if (answer.kind === "done") done.resolve(answer.layer);
      },
      failed: done.reject,
    });
    const send = (order: Order) => seat.worker.postMessage(order);
    send({ kind: "start", id, job, ...extent });
    return {
      layer: done.promise,
      grow: (written, isWhole) => send({ kind: "grown", id, written, isWhole }),
      cancel: () => send({ kind: "cancel", id }),
    };
  }

  /** Compresses a plain layer. @throws LinuxError; SystemFailure when it was cancelled. */
  compress(job: CompressJob, signal: AbortSignal, taken: (bytes: number) => void): Promise<CompressedBlob> {
    const seat = this.#seat();
    const id = ++this.#jobs;
    const done = Promise.withResolvers<CompressedBlob>();
    seat.jobs.set(id, {
      answered: (answer) => {
        if (answer.kind === "taken") taken(answer.bytes);
        else if (answer.kind === "compressed") done.resolve(answer.blob);
      },
      failed: done.reject,
    });
    const send = (order: Order) => seat.worker.postMessage(order);
    send({ kind: "compress", id, job });
    signal.addEventListener("abort", () => send({ kind: "cancel", id }), { once: true });
    return done.promise;
  }

  /** Ends the threads; what still runs is rejected. */
  [Symbol.dispose](): void {
    for (const { worker, jobs } of this.#seats.splice(0)) {
      worker.terminate();
      failAll(jobs, new SystemFailure("unpacking was given up"));
    }
  }

  #seat(): Seat {
    const [idlest] = this.#seats.toSorted((a, b) => a.jobs.size - b.jobs.size);
    if (idlest !== undefined && (idlest.jobs.size === 0 || this.#seats.length >= this.#limit)) return idlest;
    const seat: Seat = { worker: startWorker(), jobs: new Map() };
    seat.worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => receive(seat, data));
    seat.worker.addEventListener("error", (event) => {
      failAll(seat.jobs, new SystemFailure(`unpacking failed: ${messageOf(event.error ?? event.message)}`));
    });
    this.#seats.push(seat);
    return seat;
  }
}

function startWorker(): Worker {
  // In the executable, entry points are named by where they lie below src.
  const isBuilt = Bun.main.startsWith("/$bunfs/");
  const entry = isBuilt
    ? "./images/transfer/layer-worker.ts"
    : new URL("./layer-worker.ts", import.meta.url).href;
  return new Worker(entry, { smol: true });
}

function receive(seat: Seat, answer: Answer): void {
  const job = seat.jobs.get(answer.id);
  if (job === undefined) return;
  if (answer.kind !== "taken") seat.jobs.delete(answer.id);
  if (answer.kind === "failed") job.failed(failureOf(answer.failure));
  else job.answered(answer);
}

function failAll(jobs: Map<number, Job>, error: Error): void {
  for (const { failed } of jobs.values()) failed(error);
  jobs.clear();
}

function unpackHere(job: UnpackJob): RunningUnpack {
  const stop = new AbortController();
  const layer = unpack({ path: job.path }, job, { signal: stop.signal, makesExactModes: false });
  layer.catch(() => undefined);
  return { layer, grow: () => {}, cancel: () => stop.abort() };
}
