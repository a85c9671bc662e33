/** Tells how a stream is compressed, by its first bytes, and undoes it. */
import { InvalidParameter } from "../../core/errors.ts";
import { chunksOf, isFileRange, RangeReader } from "./byte-source.ts";
import { inflate } from "./inflate.ts";
import type { ByteSource } from "./tar-entry.ts";
import { unexpectedEnd } from "./unexpected-end.ts";

export type Compression = "none" | "gzip" | "zstd" | "bzip2" | "xz";

// Loaded when something is compressed: these take 3 ms.
const zlib = (): typeof import("node:zlib") => require("node:zlib");
const streams = (): typeof import("node:stream") => require("node:stream");

const magics: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];
const longestMagic = 6;

/** By magic number; 6 bytes are enough. Anything unknown is "none". */
export function detectCompression(start: Uint8Array): Compression {
  for (const [compression, magic] of magics) {
    if (start.length >= magic.length && magic.every((byte, index) => start[index] === byte))
      return compression;
  }
  return "none";
}

/** Compression of a local file (or a range of it). */
export function detectFileCompression(source: { path: string; offset?: number }): Compression {
  using reader = new RangeReader(source);
  return detectCompression(reader.read(new Uint8Array(longestMagic)));
}

export interface DecompressedStream {
  compression: Compression;
  /**
   * Uncompressed bytes; a chunk is good until the next is asked for.
   * @throws InvalidParameter when the compressed data is damaged or ends early.
   */
  stream: AsyncIterable<Uint8Array>;
}

/**
 * Detects and decompresses. Members of gzip and frames of zstd that follow each other are one stream.
 * @param options.searchPath PATH, where programs for bzip2 and xz are looked for; without it they are not read.
 * @throws InvalidParameter for a compression that is not read; Unavailable for a program that is not here.
 */
export async function decompress(
  source: ByteSource,
  options: { signal?: AbortSignal; searchPath?: string } = {},
): Promise<DecompressedStream> {
  const { start, chunks } = await peek(source, options.signal);
  const compression = detectCompression(start);
  switch (compression) {
    case "none":
      return { compression, stream: chunks };
    case "gzip":
      return { compression, stream: inflate(chunks, "gzip") };
    case "zstd":
      return { compression, stream: unzstd(chunks) };
    default:
      if (options.searchPath !== undefined) {
        const { searchPath, signal } = options;
        const { decompressWithProgram } = await import("./programs.ts");
        // A file is read by the program itself.
        if (isFileRange(source)) await chunks.return(undefined);
        const from = isFileRange(source) ? source : chunks;
        const how = { searchPath, ...(signal === undefined ? {} : { signal }) };
        return { compression, stream: decompressWithProgram(compression, from, how) };
      }
      await chunks.return(undefined);
      throw new InvalidParameter(
        `${compression} compression is not supported: decompress the archive first (${compression} -d), ` +
          "or compress it with gzip or zstd",
      );
  }
}

const outputChunk = 1 << 18;

/** The first bytes, and the whole stream with them. */
async function peek(
  source: ByteSource,
  signal: AbortSignal | undefined,
): Promise<{ start: Uint8Array; chunks: AsyncGenerator<Uint8Array> }> {
  if (isFileRange(source)) {
    using reader = new RangeReader(source);
    return { start: reader.read(new Uint8Array(longestMagic)), chunks: chunksOf(source, signal) };
  }
  const chunks = chunksOf(source, signal);
  // A copy: what `source` gives may be good until the next chunk only.
  let start = Buffer.alloc(0);
  while (start.length < longestMagic) {
    const { done, value } = await chunks.next();
    if (done === true) break;
    start = Buffer.concat([start, value]);
  }
  return { start, chunks: resume(start, chunks) };
}

async function* resume(start: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (start.length > 0) yield start;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

/**
 * The decoder does not tell when its input ends in the middle of a frame. So a last frame of our own is sent after
 * it: if that does not come out at the end, the one before it was not complete.
 */
async function* unzstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const seal = crypto.getRandomValues(Buffer.alloc(32));
  const sealed = (async function* () {
    yield* source;
    yield zlib().zstdCompressSync(seal);
  })();
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of inflate(sealed, "zstd")) {
    const joined = chunk.length < seal.length ? Buffer.concat([held, chunk]) : chunk;
    if (joined === chunk && held.length > 0) yield held;
    const ready = Math.max(0, joined.length - seal.length);
    if (ready > 0) yield joined.subarray(0, ready);
    held = Buffer.from(joined.subarray(ready));
  }
  if (!held.equals(seal)) throw unexpectedEnd();
}

/** Compresses a stream. `level` as gzip (default 6) or zstd (default 3) have it. The same bytes for the same input. */
export async function* compress(
  source: AsyncIterable<Uint8Array>,
  compression: "gzip" | "zstd",
  options: { level?: number } = {},
): AsyncGenerator<Uint8Array> {
  const { constants, createGzip, createZstdCompress } = zlib();
  const codec =
    compression === "gzip"
      ? createGzip({ level: options.level ?? 6, chunkSize: outputChunk })
      : createZstdCompress({
          params: { [constants.ZSTD_c_compressionLevel]: options.level ?? 3 },
          chunkSize: outputChunk,
        });
  const { pipeline, Readable } = streams();
  // A failure reaches the reader of `codec`, which pipeline destroys with it.
  pipeline(Readable.from(source), codec, () => {});
  try {
    for await (const chunk of codec) yield chunk;
  } finally {
    codec.destroy();
  }
}
