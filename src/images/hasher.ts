/**
 * Hashes files on a second thread, while this one writes and unpacks them: without SHA instructions, hashing a layer
 * takes as long as unpacking it. The bytes come from the page cache, so none travel between the threads.
 */
import { messageOf, SystemFailure } from "../core/errors.ts";
import { type Digest, parseDigest } from "../core/ids.ts";

/** The first `written` bytes of the file are there; with `isWhole` there will be no more. */
interface HashRequest {
  path: string;
  written: number;
  isWhole: boolean;
}

interface HashReply {
  path: string;
  hex?: string;
  error?: string;
}

interface WorkerScope {
  onmessage: ((event: { data: HashRequest }) => void) | null;
  postMessage(reply: HashReply): void;
}

/** Runs in the worker as text of its own: it must use globals only. */
function serveHashes(scope: WorkerScope): void {
  const files = new Map<string, { hasher: Bun.CryptoHasher; position: number }>();
  let queue = Promise.resolve();
  const hash = async ({ path, written, isWhole }: HashRequest) => {
    try {
      const file = files.get(path) ?? { hasher: new Bun.CryptoHasher("sha256"), position: 0 };
      files.set(path, file);
      for await (const chunk of Bun.file(path).slice(file.position, written).stream()) {
        file.hasher.update(chunk);
        file.position += chunk.byteLength;
      }
      if (file.position !== written) throw new Error(`it ended after ${file.position} of ${written} bytes`);
      if (!isWhole) return;
      files.delete(path);
      scope.postMessage({ path, hex: file.hasher.digest("hex") });
    } catch (error) {
      scope.postMessage({ path, error: String(error) });
    }
  };
  scope.onmessage = ({ data }) => {
    queue = queue.then(() => hash(data));
  };
}

interface Waiter {
  resolve(digest: Digest): void;
  reject(error: Error): void;
}

/** Starts its thread with the first file. */
export class Hasher {
  private worker: Worker | undefined;
  private url = "";
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
    const source = `(${serveHashes.toString()})(self)`;
    this.url = URL.createObjectURL(new Blob([source], { type: "application/javascript" }));
    const worker = new Worker(this.url);
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
