/**
 * A thread that unpacks or compresses layers while others download, hash or unpack theirs. An entry point of its own: the build
 * lists it beside main.ts.
 */
import { processorCount } from "../../linux/machine.ts";
import { unshareFileSystemState } from "../../linux/thread.ts";
import { detectFileCompression } from "../layers/compression.ts";
import { SideHasher } from "../layers/side-hash.ts";
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
/** What a file begins with tells how it is compressed. Bytes. */
const enoughToTell = 512;
/** From this size on a layer is worth a thread that hashes beside this one. Bytes of the compressed file. */
const smallestAside = 8 << 20;

interface Running {
  readonly file?: GrowingFile;
  readonly stop: AbortController;
}

const running = new Map<number, Running>();
const makesExactModes = unshareFileSystemState();
const hasher = new SideHasher();

self.onmessage = ({ data: order }) => {
  if (order.kind === "start") void start(order);
  else if (order.kind === "compress") void compress(order);
  else if (order.kind === "grown") running.get(order.id)?.file?.grow(order.written, order.isWhole);
  else running.get(order.id)?.stop.abort();
};

async function start({ id, job, written, isWhole }: Extract<Order, { kind: "start" }>): Promise<void> {
  const stop = new AbortController();
  const isPlain = written >= enoughToTell && detectFileCompression({ path: job.path }) === "none";
  let told = 0;
  const taken = (bytes: number) => {
    if (bytes - told < reportStep) return;
    told = bytes;
    self.postMessage({ kind: "taken", id, bytes });
  };
  const file = new GrowingFile(job.path, { written, isWhole }, { chunkSize, taken, signal: stop.signal });
  await answer(id, { file, stop }, async () => {
    using _ = file;
    const isAside = job.size >= smallestAside && processorCount() > 1;
    const options = {
      signal: stop.signal,
      makesExactModes,
      hashAside: isAside ? () => hasher.open() : undefined,
    };
    // A plain file that is all there is read without a turn of the event loop between its bytes.
    return {
      kind: "done",
      id,
      layer: await unpack(isPlain && isWhole ? { path: job.path } : file, job, options),
    };
  });
}

async function compress({ id, job }: Extract<Order, { kind: "compress" }>): Promise<void> {
  const stop = new AbortController();
  await answer(id, { stop }, async () => {
    const taken = (bytes: number) => self.postMessage({ kind: "taken", id, bytes });
    return { kind: "compressed", id, blob: await compressLayer(job, { signal: stop.signal, taken }) };
  });
}

/** The leader may end this thread as soon as it has the answer: by then nothing is open any more. */
async function answer(id: number, job: Running, work: () => Promise<Answer>): Promise<void> {
  running.set(id, job);
  let result: Answer;
  try {
    result = await work();
  } catch (error) {
    result = { kind: "failed", id, failure: describeFailure(error, job.stop.signal) };
  }
  running.delete(id);
  self.postMessage(result);
}
