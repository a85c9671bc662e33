/**
 * Hashes uploads on other threads while they arrive. The threads read the files, whose bytes are still in the page
 * cache: nothing is passed between threads but names and lengths.
 */
import { availableParallelism } from "node:os";
import { messageOf, SystemFailure } from "../../../core/errors.ts";
import { sha256MakerText } from "../../../linux/sha256.ts";
import { type ContentDigest, contentDigest, type DigestAlgorithm } from "../names.ts";

/** Plain text, so that it is part of the one executable. */
const program = `
const beginSha256 = ${sha256MakerText()};
const begin = (algorithm) => {
  if (algorithm === "sha256") return beginSha256();
  const hasher = new Bun.CryptoHasher(algorithm);
  return { update: (bytes) => hasher.update(bytes), hex: () => hasher.digest("hex"), [Symbol.dispose]: () => {} };
};
const { openSync, readSync, closeSync } = require("node:fs");
const states = new Map();
const buffer = new Uint8Array(1 << 17);
function advance(state, path, until) {
  if (state.position >= until) return;
  // Opened for each step: an upload that rests holds no descriptor.
  const fd = openSync(path, "r");
  try {
    while (state.position < until) {
      const wanted = Math.min(buffer.length, until - state.position);
      const got = readSync(fd, buffer, 0, wanted, state.position);
      if (got === 0) throw new Error("the file ended after " + state.position + " of " + until + " bytes");
      state.hash.update(buffer.subarray(0, got));
      state.position += got;
    }
  } finally {
    closeSync(fd);
  }
}
self.onmessage = ({ data: { key, path, algorithm, until, verb } }) => {
  if (verb === "forget") {
    states.get(key)?.hash[Symbol.dispose]();
    states.delete(key);
    return;
  }
  const state = states.get(key) ?? { position: 0, hash: begin(algorithm) };
  states.set(key, state);
  try {
    advance(state, path, until);
    if (verb !== "finish") return;
    states.delete(key);
    postMessage({ key, hex: state.hash.hex() });
  } catch (error) {
    // Told with the next step, which begins anew where this one ended.
    if (verb !== "finish") return;
    state.hash[Symbol.dispose]();
    states.delete(key);
    postMessage({ key, problem: String(error.message) });
  }
};
`;

interface Reply {
  key: number;
  hex?: string;
  problem?: string;
}

interface Thread {
  readonly worker: Worker;
  /** Files that it is at work on. */
  load: number;
  readonly waiters: Map<number, { resolve(hex: string): void; reject(error: Error): void }>;
}

/** The hash of one file that grows at its end. */
export interface GrowingHash {
  /** The first `until` bytes are in the file. */
  advance(until: number): void;
  /** The digest of the first `size` bytes. The hash is over with it. */
  finish(size: number): Promise<ContentDigest>;
  /** Nobody wants it any more. */
  forget(): void;
}

export class HashPool {
  readonly #threads: Thread[] = [];
  readonly #most = Math.min(availableParallelism(), 4);
  #url: string | undefined;
  #lastKey = 0;

  /** Begins to hash the file at `path`, which exists. Threads are started when there is work for them. */
  begin(path: string, algorithm: DigestAlgorithm): GrowingHash {
    const thread = this.#leastBusy();
    this.#lastKey += 1;
    const key = this.#lastKey;
    thread.load += 1;
    let isOver = false;
    const end = () => {
      if (!isOver) thread.load -= 1;
      isOver = true;
    };
    const send = (verb: string, until: number) =>
      thread.worker.postMessage({ key, path, algorithm, until, verb });
    return {
      advance: (until) => send("advance", until),
      finish: async (size) => {
        const { promise, resolve, reject } = Promise.withResolvers<string>();
        thread.waiters.set(key, { resolve, reject });
        send("finish", size);
        try {
          return contentDigest(algorithm, await promise);
        } finally {
          end();
        }
      },
      forget: () => {
        if (!isOver) send("forget", 0);
        end();
      },
    };
  }

  close(): void {
    for (const thread of this.#threads.splice(0)) {
      thread.worker.terminate();
      failAll(thread, "hashing was given up");
    }
    if (this.#url !== undefined) URL.revokeObjectURL(this.#url);
    this.#url = undefined;
  }

  #leastBusy(): Thread {
    const idle = this.#threads.find(({ load }) => load === 0);
    if (idle !== undefined) return idle;
    if (this.#threads.length < this.#most) return this.#start();
    return this.#threads.reduce((best, thread) => (thread.load < best.load ? thread : best));
  }

  #start(): Thread {
    this.#url ??= URL.createObjectURL(new Blob([program], { type: "application/javascript" }));
    const thread: Thread = { worker: new Worker(this.#url), load: 0, waiters: new Map() };
    thread.worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const waiter = thread.waiters.get(data.key);
      thread.waiters.delete(data.key);
      if (data.hex === undefined) waiter?.reject(new SystemFailure(`cannot hash an upload: ${data.problem}`));
      else waiter?.resolve(data.hex);
    };
    thread.worker.onerror = (event) => failAll(thread, messageOf(event.error ?? event.message));
    this.#threads.push(thread);
    return thread;
  }
}

function failAll(thread: Thread, problem: string): void {
  for (const waiter of thread.waiters.values()) waiter.reject(new SystemFailure(problem));
  thread.waiters.clear();
}
