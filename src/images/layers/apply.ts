/** Unpacks a layer. */
import { type Digest, parseDigest } from "../../core/ids.ts";
import type { LayerTarget } from "../../storage/snapshotter.ts";
import { hashInBackground } from "./background-hash.ts";
import { chunkSize, isFileRange, RangeReader } from "./byte-source.ts";
import { decompress, detectFileCompression } from "./compression.ts";
import { LayerRoot } from "./layer-root.ts";
import type { ByteSource, FileRange } from "./tar-entry.ts";
import { TarParser } from "./tar-parser.ts";
import { type LayerLimits, Unpacker } from "./unpacker.ts";

export type { LayerLimits } from "./unpacker.ts";

/**
 * A million entries: the largest layers in public use hold a third of that; more is a mistake or an attack on the
 * file system's inodes. 16 TiB: what ext4 lets one file have; only holes come near it, as real bytes are limited by
 * the free space.
 */
export const defaultLayerLimits: LayerLimits = { entries: 1_000_000, bytes: 2 ** 44 };

export interface ApplyOptions {
  /** Also hash the uncompressed stream. */
  hash?: boolean;
  limits?: LayerLimits;
  signal?: AbortSignal;
}

export interface AppliedLayer {
  /** sha256 of the uncompressed tar when `hash` was asked for. */
  diffId: Digest | undefined;
  /** Sum of the sizes of the files, as Docker counts a layer's size. */
  size: number;
  entries: number;
  /** Bytes of the uncompressed tar. */
  tarSize: number;
}

/**
 * Unpacks a layer (plain, gzip or zstd: by its first bytes) into `target`. Not durable by itself: the caller
 * syncs. When it throws, `target` holds a part of the layer and is to be thrown away.
 * @throws InvalidParameter naming the entry, for archives that are damaged or reach outside; for too many entries.
 * @throws LinuxError ENOSPC before the file system is full.
 */
export async function applyLayer(
  source: ByteSource,
  target: LayerTarget,
  options: ApplyOptions = {},
): Promise<AppliedLayer> {
  using root = new LayerRoot(target);
  const unpacker = new Unpacker(root, options.limits ?? defaultLayerLimits);
  const parser = new TarParser(unpacker);
  using hash = options.hash === true ? openHash(source) : undefined;
  const take = (chunk: Uint8Array) => {
    hash?.update(chunk);
    parser.push(chunk);
  };
  try {
    if (isPlainFile(source)) await readPlain(source, take, options.signal);
    else {
      const { stream } = await decompress(source, options);
      for await (const chunk of stream) {
        options.signal?.throwIfAborted();
        take(chunk);
      }
    }
    parser.finish();
    root.finish();
  } finally {
    unpacker.abandon();
  }
  return {
    diffId: await hash?.digest(),
    size: unpacker.size,
    entries: unpacker.entries,
    tarSize: parser.position,
  };
}

function isPlainFile(source: ByteSource): source is FileRange {
  return isFileRange(source) && detectFileCompression(source) === "none";
}

interface StreamHash extends Disposable {
  update(chunk: Uint8Array): void;
  digest(): Promise<Digest>;
}

/** From this size on a thread of its own is worth its start. */
const smallestBackground = 16 << 20;

function openHash(source: ByteSource): StreamHash {
  if (isPlainFile(source)) {
    using reader = new RangeReader(source);
    const range = { path: source.path, offset: reader.position, length: reader.end - reader.position };
    if (range.length >= smallestBackground) {
      const background = hashInBackground(range);
      return {
        update: () => {},
        digest: () => background.digest,
        [Symbol.dispose]: () => background[Symbol.dispose](),
      };
    }
  }
  const hasher = new Bun.CryptoHasher("sha256");
  return {
    update: (chunk) => {
      hasher.update(chunk);
    },
    digest: async () => parseDigest(`sha256:${hasher.digest("hex")}`),
    [Symbol.dispose]: () => {},
  };
}

/** Other work of this process gets a turn after so many chunks. */
const chunksBetweenTurns = 16;

async function readPlain(
  source: FileRange,
  take: (chunk: Uint8Array) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  using reader = new RangeReader(source);
  const buffer = new Uint8Array(chunkSize);
  for (let count = 1; ; count += 1) {
    const chunk = reader.read(buffer);
    if (chunk.length === 0) return;
    take(chunk);
    if (count % chunksBetweenTurns === 0) {
      await Bun.sleep(0);
      signal?.throwIfAborted();
    }
  }
}
