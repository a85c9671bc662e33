/**
 * A thread that unpacks or compresses layers while others download, hash or unpack theirs. An entry point of its own: the build
 * lists it beside main.ts.
 */
import { unshareFileSystemState } from "../../linux/thread.ts";
import { compressLayer } from "./compress.ts";
import { GrowingFile } from "./growing-file.ts";
import type { Answer, Order } from "./messages.ts";
import { describeFailure, unpack } from "./unpack.ts";

declare const self: {
  onmessage: ((event: { data: Order }) => void) | null;
  postMessage(answer: Answer): void;
};

/** Bytes of a layer that are read at once: they stay in the processor's cache until they are used. */
const chunkSize = 1 << 18;
/** Progress is told after so many bytes, and for small layers after a hundredth of them. */
const reportStep = 1 << 19;
const reportsBetweenCollections = 16;

interface Running {
  readonly file?: GrowingFile;
  readonly stop: AbortController;
}

const running = new Map<number, Running>();
const makesExactModes = unshareFileSystemState();

self.onmessage = ({ data: order }) => {
  if (order.kind === "start") void start(order);
  else if (order.kind === "compress") void compress(order);
  else if (order.kind === "grown") running.get(order.id)?.file?.grow(order.written, order.isWhole);
  else running.get(order.id)?.stop.abort();
};

async function start({ id, job, written, isWhole }: Extract<Order, { kind: "start" }>): Promise<void> {
  const stop = new AbortController();
  let told = 0;
  const taken = (bytes: number) => {
    if (bytes - told < reportStep) return;
    told = bytes;
    // Chunks that were unpacked are garbage of which the runtime counts the handles and not the bytes.
    if (Math.floor(bytes / reportStep) % reportsBetweenCollections === 0) Bun.gc(true);
    self.postMessage({ kind: "taken", id, bytes });
  };
  const file = new GrowingFile(job.path, { written, isWhole }, { chunkSize, taken, signal: stop.signal });
  running.set(id, { file, stop });
  try {
    // A file that is all there is read without a turn of the event loop between its bytes.
    const layer = await unpack(isWhole ? { path: job.path } : file, job, {
      signal: stop.signal,
      makesExactModes,
    });
    self.postMessage({ kind: "done", id, layer });
  } catch (error) {
    self.postMessage({ kind: "failed", id, failure: describeFailure(error, stop.signal) });
  } finally {
    running.delete(id);
  }
}

async function compress({ id, job }: Extract<Order, { kind: "compress" }>): Promise<void> {
  const stop = new AbortController();
  running.set(id, { stop });
  try {
    const taken = (bytes: number) => self.postMessage({ kind: "taken", id, bytes });
    const blob = await compressLayer(job, { signal: stop.signal, taken });
    self.postMessage({ kind: "compressed", id, blob });
  } catch (error) {
    self.postMessage({ kind: "failed", id, failure: describeFailure(error, stop.signal) });
  } finally {
    running.delete(id);
  }
}
