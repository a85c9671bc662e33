/**
 * Blobs on their way into a directory: several at a time, each hashed once, on other threads, while it comes. What
 * is inside them is nobody's business here.
 */
import { chmodSync, closeSync, fsync, openSync } from "node:fs";
import { InvalidParameter } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import { Hasher } from "../hasher.ts";
import type { Layer } from "../image.ts";
import { BlobWriter, type IngestedBlob } from "../ingest.ts";
import { isFileRange, RangeReader } from "../layers/byte-source.ts";
import { SpaceWatch } from "../layers/space.ts";
import type { ByteSource } from "../layers/tar-entry.ts";
import type { Descriptor } from "../manifest.ts";
import { Limit } from "../transfer/limit.ts";

/** As many as Docker and skopeo take at a time, within one. */
const blobsAtOnce = 4;
const mode = 0o644;

/**
 * Writes the layers' blobs, each under the name that `nameOf` gives it, and makes them durable.
 * @throws InvalidParameter when a blob is not what its descriptor says; LinuxError ENOSPC; what the layers throw. Then
 *   nothing is written any more; what was written is left.
 */
export async function writeLayers(
  directory: string,
  layers: ReadonlyMap<Digest, Layer>,
  nameOf: (digest: Digest) => string,
  signal?: AbortSignal,
): Promise<void> {
  if (layers.size === 0) return;
  const directoryFd = openSync(directory, "r");
  // Two: hashing takes longer than all else that is to be done with a blob. Each starts its thread when it is used.
  const [even, odd] = [new Hasher(), new Hasher()];
  const stop = new AbortController();
  const anySignal = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const space = new SpaceWatch(directoryFd);
  const limit = new Limit(blobsAtOnce);
  try {
    const works = [...layers].map(([digest, layer], at) =>
      limit.run(async () => {
        anySignal.throwIfAborted();
        try {
          const path = join(directory, nameOf(digest));
          await writeOne(new BlobWriter(path, at % 2 === 0 ? even : odd, space), layer, anySignal);
          chmodSync(path, mode);
          await syncFile(path);
        } catch (error) {
          stop.abort(error);
          throw error;
        }
      }),
    );
    const results = await Promise.allSettled(works);
    signal?.throwIfAborted();
    if (results.some(({ status }) => status === "rejected")) throw stop.signal.reason;
  } finally {
    even.close();
    odd.close();
    closeSync(directoryFd);
  }
}

async function writeOne(writer: BlobWriter, layer: Layer, signal: AbortSignal): Promise<void> {
  const descriptor = await layer.descriptor();
  let blob: IngestedBlob;
  try {
    await writeAll(writer, layer.openUnchecked?.() ?? layer.open(), descriptor, signal);
    blob = writer.finish();
  } finally {
    writer.close();
  }
  if (blob.size !== descriptor.size) {
    throw new InvalidParameter(
      `blob ${descriptor.digest} has ${blob.size} bytes, its descriptor says ${descriptor.size}`,
    );
  }
  const actual = await blob.digest;
  if (actual !== descriptor.digest) {
    throw new InvalidParameter(`blob ${descriptor.digest} has the content of ${actual}`);
  }
}

async function writeAll(
  writer: BlobWriter,
  source: ByteSource,
  { digest, size }: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  if (isFileRange(source)) {
    using reader = new RangeReader(source);
    await writer.copy(reader, signal);
    return;
  }
  let received = 0;
  for await (const chunk of source) {
    signal.throwIfAborted();
    received += chunk.byteLength;
    if (received > size)
      throw new InvalidParameter(`blob ${digest} has more than the ${size} bytes of its descriptor`);
    writer.write(chunk);
  }
}

/** Off this thread: others are still on their way. */
export async function syncFile(path: string): Promise<void> {
  const fd = openSync(path, "r");
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  fsync(fd, (error) => (error === null ? resolve() : reject(error)));
  try {
    await promise;
  } finally {
    closeSync(fd);
  }
}
