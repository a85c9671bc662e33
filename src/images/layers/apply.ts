/** Unpacks a layer. */
import type { Digest } from "../../core/ids.ts";
import type { LayerTarget } from "../../storage/snapshotter.ts";
import { hashInBackground } from "./background-hash.ts";
import { isFileRange, RangeReader } from "./byte-source.ts";
import { type Compression, decompress, detectFileCompression } from "./compression.ts";
import { LayerRoot } from "./layer-root.ts";
import { hashHere, type StreamHash } from "./side-hash.ts";
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
  /** Also hash the uncompressed stream: always, or only of a compressed layer (a plain one's blob is hashed anyway). */
  hash?: boolean | "compressed";
  /** Where a compressed layer's bytes are hashed; on this thread when absent. */
  hashAside?: (() => StreamHash) | undefined;
  limits?: LayerLimits;
  signal?: AbortSignal;
  /** The layers below are not here yet; `implied` tells what is to be taken over from them (`settleImplied`). */
  isAlone?: boolean;
  /** The umask of this thread is 0: modes need not be set again. */
  makesExactModes?: boolean;
  /** PATH: bzip2 and xz are read too, by the machine's own programs. Not for layers, which have no such form. */
  searchPath?: string;
  /** Everything belongs to this one, whatever the archive says. */
  owner?: { readonly uid: number; readonly gid: number };
}

export interface AppliedLayer {
  /** sha256 of the uncompressed tar when `hash` was asked for. */
  diffId: Digest | undefined;
  /** Sum of the sizes of the files, as Docker counts a layer's size. */
  size: number;
  entries: number;
  /** The newest time that the archive gives anything; nanoseconds since 1970. */
  newest: bigint;
  /** Bytes of the uncompressed tar. */
  tarSize: number;
  compression: Compression;
  /** With `isAlone`: directories that still lack the attributes that the layers below have for them. */
  implied: readonly string[];
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
  using root = new LayerRoot(target, options);
  const unpacker = new Unpacker(root, options.limits ?? defaultLayerLimits, options.owner);
  const parser = new TarParser(unpacker);
  const isPlain = isPlainFile(source);
  const decompressed = isPlain ? undefined : await decompress(source, options);
  const compression = decompressed?.compression ?? "none";
  using hash =
    options.hash === true || (options.hash === "compressed" && compression !== "none")
      ? openHash(source, options.hashAside)
      : undefined;
  const take = (chunk: Uint8Array) => {
    const room = hash?.update(chunk);
    parser.push(chunk);
    return room;
  };
  try {
    if (isPlain) await readPlain(source, take, options.signal);
    else if (decompressed !== undefined) {
      for await (const chunk of decompressed.stream) {
        options.signal?.throwIfAborted();
        const room = take(chunk);
        if (room !== undefined) await room;
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
    newest: unpacker.newest,
    tarSize: parser.position,
    compression,
    implied: root.implied,
  };
}

function isPlainFile(source: ByteSource): source is FileRange {
  return isFileRange(source) && detectFileCompression(source) === "none";
}

/** From this size on a thread of its own is worth its start. */
const smallestBackground = 16 << 20;

function openHash(source: ByteSource, hashAside: () => StreamHash = hashHere): StreamHash {
  if (isPlainFile(source)) {
    using reader = new RangeReader(source);
    const range = { path: source.path, offset: reader.position, length: reader.end - reader.position };
    if (range.length >= smallestBackground) {
      const background = hashInBackground(range);
      return {
        update: () => undefined,
        digest: () => background.digest,
        [Symbol.dispose]: () => background[Symbol.dispose](),
      };
    }
  }
  return hashAside();
}

/** Other work of this process gets a turn after so many chunks. */
const chunksBetweenTurns = 32;
/** What is read stays in the processor's cache until it is written. */
const readSize = 1 << 18;

async function readPlain(
  source: FileRange,
  take: (chunk: Uint8Array) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  using reader = new RangeReader(source);
  const buffer = new Uint8Array(readSize);
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
