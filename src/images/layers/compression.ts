/** Tells how a stream is compressed, by its first bytes, and undoes it. */
import type { ByteSource } from "./tar-entry.ts";

export type Compression = "none" | "gzip" | "zstd" | "bzip2" | "xz";

/** By magic number; 6 bytes are enough. Anything unknown is "none". */
export declare function detectCompression(start: Uint8Array): Compression;

/** Compression of a local file (or a range of it). */
export declare function detectFileCompression(source: { path: string; offset?: number }): Compression;

export interface DecompressedStream {
  compression: Compression;
  /** Uncompressed bytes. @throws InvalidParameter when the compressed data is damaged or ends early. */
  stream: AsyncIterable<Uint8Array>;
}

/**
 * Detects and decompresses. Members of gzip and frames of zstd that follow each other are one stream.
 * @throws InvalidParameter for bzip2 and xz, which davit does not read.
 */
export declare function decompress(source: ByteSource, options?: { signal?: AbortSignal }): Promise<DecompressedStream>;

/** Compresses a stream. `level` as gzip (default 6) or zstd (default 3) have it. */
export declare function compress(
  source: AsyncIterable<Uint8Array>,
  compression: "gzip" | "zstd",
  options?: { level?: number },
): AsyncIterable<Uint8Array>;
