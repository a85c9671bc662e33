/** Hashes a file on another thread, while this one does something else with it. */

import { SystemFailure } from "../../core/errors.ts";
import { type Digest, parseDigest } from "../../core/ids.ts";
import type { FileRange } from "./tar-entry.ts";

/** Plain text, so that it is part of the one executable; it reads the file itself: nothing is passed but its name. */
const program = `
const { openSync, readSync, closeSync } = require("node:fs");
self.onmessage = ({ data: { path, offset, length } }) => {
  try {
    const hasher = new Bun.CryptoHasher("sha256");
    const buffer = new Uint8Array(1 << 20);
    const fd = openSync(path, "r");
    for (let left = length; left > 0; ) {
      const got = readSync(fd, buffer, 0, Math.min(buffer.length, left), offset);
      if (got === 0) break;
      hasher.update(buffer.subarray(0, got));
      offset += got;
      left -= got;
    }
    closeSync(fd);
    postMessage({ digest: "sha256:" + hasher.digest("hex") });
  } catch (error) {
    postMessage({ message: String(error.message) });
  }
};
`;

export interface BackgroundHash {
  readonly digest: Promise<Digest>;
  /** Ends the thread, whether or not it is done. */
  [Symbol.dispose](): void;
}

/** Begins at once. About 7 ms to start: for files of some megabytes. */
export function hashInBackground(file: Required<FileRange>): BackgroundHash {
  const url = URL.createObjectURL(new Blob([program], { type: "application/javascript" }));
  const worker = new Worker(url);
  const digest = new Promise<Digest>((settle, reject) => {
    worker.onmessage = ({ data }: MessageEvent<{ digest?: string; message?: string }>) => {
      if (data.digest !== undefined) settle(parseDigest(data.digest));
      else reject(new SystemFailure(`cannot hash ${file.path}: ${data.message}`));
    };
    worker.onerror = (event) => reject(new SystemFailure(`cannot hash ${file.path}: ${event.message}`));
  });
  // Whoever gives up on the file does not ask for its digest any more.
  digest.catch(() => {});
  worker.postMessage(file);
  return {
    digest,
    [Symbol.dispose]: () => {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}
