/**
 * A blob on its way from the upstream: written to an upload's file at the upstream's pace, and read from there by any
 * number of clients, each at its own. The last byte is held back until the digest is known to be right.
 */
import { closeSync, openSync, read } from "node:fs";
import { messageOf } from "../../core/errors.ts";
import { failure } from "./failures.ts";
import type { ContentDigest, RepositoryName } from "./names.ts";
import type { Storage } from "./storage/open.ts";
import type { ByteFeed } from "./storage/receive.ts";

const pieceSize = 256 * 1024;

export interface BlobFetch {
  /** Bytes of the whole. */
  readonly size: number;
  /** Resolves when the blob is stored. */
  readonly done: Promise<void>;
  /** The bytes from `start` to `end` (exclusive), as they come. */
  stream(start: number, end: number): ReadableStream<Uint8Array>;
  abort(): void;
}

export interface FetchOptions {
  name: RepositoryName;
  digest: ContentDigest;
  size: number;
  bytes: (signal: AbortSignal) => AsyncIterable<Uint8Array>;
}

export function startFetch(storage: Storage, { name, digest, size, bytes }: FetchOptions): BlobFetch {
  const { uploads, files } = storage;
  const upload = uploads.begin(name);
  const path = files.uploadPath(upload.id);
  const aborting = new AbortController();
  // Opened (and made) at once: its name changes when it becomes a blob.
  closeSync(openSync(path, "a", 0o600));
  let state: "running" | "stored" | "failed" = "running";
  let problem: unknown;
  let wake = Promise.withResolvers<void>();
  const notify = () => {
    wake.resolve();
    wake = Promise.withResolvers<void>();
  };
  const chunks = bytes(aborting.signal)[Symbol.asyncIterator]();
  const feed: ByteFeed = {
    next: async () => {
      const { done, value } = await chunks.next();
      return done === true ? { done: true, value: undefined } : { done: false, value };
    },
    cancel: () => aborting.abort(),
  };

  const run = async () => {
    try {
      await uploads.exclusively(upload, async () => {
        await uploads.append(upload, feed, undefined, notify);
        if (upload.offset !== size) throw new Error(`the upstream sent ${upload.offset} of ${size} bytes`);
        await uploads.finish(upload, digest);
      });
      state = "stored";
    } catch (error) {
      state = "failed";
      problem = error;
      if (!upload.isOver) uploads.cancel(upload);
      throw error;
    } finally {
      notify();
    }
  };
  const done = run();
  // Clients see it in their streams.
  done.catch(() => {});

  return {
    size,
    done,
    abort: () => aborting.abort(),
    stream(start, end) {
      const fd = openSync(path, "r");
      let position = start;
      let isOpen = true;
      const close = () => {
        if (isOpen) closeSync(fd);
        isOpen = false;
      };
      /** How far clients may read now. */
      const available = () => (state === "stored" ? size : Math.min(upload.offset, size - 1));
      return new ReadableStream<Uint8Array>({
        async pull(controller) {
          while (state === "running" && position < end && position >= available()) await wake.promise;
          if (!isOpen) return;
          if (state === "failed") {
            close();
            controller.error(failure("UNAVAILABLE", messageOf(problem)));
            return;
          }
          if (position < end) {
            const piece = await readAt(
              fd,
              Math.min(pieceSize, end - position, available() - position),
              position,
            );
            position += piece.length;
            controller.enqueue(piece);
          }
          if (position >= end) {
            close();
            controller.close();
          }
        },
        cancel: close,
      });
    },
  };
}

function readAt(fd: number, length: number, position: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    read(fd, new Uint8Array(length), 0, length, position, (error, got, buffer) =>
      error === null ? resolve(buffer.subarray(0, got)) : reject(error),
    );
  });
}
