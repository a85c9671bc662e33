/**
 * Hashes files on a second thread, while this one writes and unpacks them: without SHA instructions, hashing a layer
 * takes as long as unpacking it. The bytes come from the page cache, so none travel between the threads.
 */
import { messageOf, SystemFailure } from "../core/errors.ts";
import { type Digest, parseDigest } from "../core/ids.ts";
import { type Sha256, sha256MakerText } from "../linux/sha256.ts";

/** The first `written` bytes of the file are there; with `isWhole` there will be no more. */
interface HashRequest {
  path: string;
  written: number;
  isWhole: boolean;
}

/** Shared by both threads: what stands at a place is 0 or 1. */
const flag = { stop: 0, hasFile: 1 } as const;

interface HashReply {
  path: string;
  hex?: string;
  error?: string;
}

interface WorkerScope {
  onmessage: ((event: { data: HashRequest | Int32Array }) => void) | null;
  postMessage(reply: HashReply): void;
}

/** Runs in the worker as text of its own: it must use its arguments and globals only. */
function serveHashes(scope: WorkerScope, begin: () => Sha256): void {
  const { openSync, readSync, closeSync } = process.getBuiltinModule("node:fs");
  const files = new Map<string, { hash: Sha256; position: number }>();
  let flags: Int32Array = new Int32Array(2);
  // Small enough to stay in the processor's cache between the read and the hash.
  const buffer = new Uint8Array(262144);
  const advance = ({ path, written, isWhole }: HashRequest) => {
    const file = files.get(path) ?? { hash: begin(), position: 0 };
    files.set(path, file);
    // A thread that is ended does not close what it has open: so it says when it has nothing, and stops when it is told.
    Atomics.store(flags, 1, 1);
    let fd = -1;
    try {
      if (Atomics.load(flags, 0) === 0) fd = openSync(path, "r");
      while (file.position < written) {
        if (Atomics.load(flags, 0) === 1) throw new Error("hashing was given up");
        const wanted = Math.min(buffer.length, written - file.position);
        const got = readSync(fd, buffer, 0, wanted, file.position);
        if (got === 0) throw new Error(`it ended after ${file.position} of ${written} bytes`);
        file.hash.update(got === buffer.length ? buffer : buffer.subarray(0, got));
        file.position += got;
      }
    } finally {
      if (fd >= 0) closeSync(fd);
      Atomics.store(flags, 1, 0);
      Atomics.notify(flags, 1);
    }
    if (!isWhole) return;
    files.delete(path);
    scope.postMessage({ path, hex: file.hash.hex() });
  };
  scope.onmessage = ({ data }) => {
    if (data instanceof Int32Array) {
      flags = data;
      return;
    }
    try {
      advance(data);
    } catch (error) {
      scope.postMessage({ path: data.path, error: String(error) });
    }
  };
}

interface Waiter {
  resolve(digest: Digest): void;
  reject(error: Error): void;
}

/** For the thread to let go of a file: it looks up after a quarter of a megabyte. Milliseconds. */
const longestWait = 1000;

/** Starts its thread with the first file. */
export class Hasher {
  private worker: Worker | undefined;
  private url = "";
  private readonly flags = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  private readonly waiters = new Map<string, Waiter>();

  /** Hashes what is written of a file so far, while the rest is still to come. */
  advance(path: string, written: number): void {
    this.send({ path, written, isWhole: false });
  }

  /** sha256 of a file that is `size` bytes long and will not be written to any more. */
  finish(path: string, size: number): Promise<Digest> {
    const { promise, resolve, reject } = Promise.withResolvers<Digest>();
    this.waiters.set(path, { resolve, reject });
    this.send({ path, written: size, isWhole: true });
    return promise;
  }

  /** Ends the thread; what is not hashed yet is rejected. */
  close(): void {
    if (this.worker === undefined) return;
    Atomics.store(this.flags, flag.stop, 1);
    Atomics.wait(this.flags, flag.hasFile, 1, longestWait);
    this.worker.terminate();
    URL.revokeObjectURL(this.url);
    this.worker = undefined;
    this.failAll(new SystemFailure("hashing was given up"));
  }

  private send(request: HashRequest): void {
    this.worker ??= this.start();
    this.worker.postMessage(request);
  }

  private start(): Worker {
    const source = `(${serveHashes.toString()})(self, ${sha256MakerText()})`;
    this.url = URL.createObjectURL(new Blob([source], { type: "application/javascript" }));
    const worker = new Worker(this.url);
    worker.postMessage(this.flags);
    worker.addEventListener("message", (event: MessageEvent<HashReply>) => this.receive(event.data));
    worker.addEventListener("error", (event) => {
      this.failAll(new SystemFailure(`hashing failed: ${messageOf(event.error ?? event.message)}`));
    });
    return worker;
  }

  private receive(reply: HashReply): void {
    const waiter = this.waiters.get(reply.path);
    this.waiters.delete(reply.path);
    if (reply.hex === undefined) {
      waiter?.reject(new SystemFailure(`hashing ${reply.path}: ${reply.error ?? "no answer"}`));
    } else waiter?.resolve(parseDigest(`sha256:${reply.hex}`));
  }

  private failAll(error: Error): void {
    for (const waiter of this.waiters.values()) waiter.reject(error);
    this.waiters.clear();
  }
}
