/** Reads tar archives from streams and files. */
import type { ByteSource, FileRange, TarEntry } from "./tar-entry.ts";

/** One entry and its bytes. */
export interface TarMember {
  entry: TarEntry;
  /** Where the entry's data starts in the (uncompressed) archive, and how many bytes it holds there. */
  offset: number;
  storedSize: number;
  /**
   * The file's bytes, with holes filled in. May be read once, before the next member is asked for; what is left
   * unread is skipped. A chunk is valid until the next is asked for.
   */
  content: AsyncIterable<Uint8Array>;
}

/**
 * Members of an uncompressed tar, in order. Reads to the end of the source, past the archive's own end mark.
 * @throws InvalidParameter `unexpected EOF` when it ends in the middle of an entry; when a header is damaged.
 */
export declare function readTar(
  source: ByteSource,
  options?: { signal?: AbortSignal },
): AsyncGenerator<TarMember>;

export interface IndexedEntry {
  entry: TarEntry;
  offset: number;
  storedSize: number;
}

/**
 * Finds the entries of an uncompressed tar in a local file without reading their data: `offset` and `storedSize`
 * make a FileRange. At most `limit` entries (default 100,000). Synchronous.
 * @throws InvalidParameter as readTar does, also when data is missing at the end of the file.
 */
export declare function indexTar(file: FileRange, options?: { limit?: number }): IndexedEntry[];
