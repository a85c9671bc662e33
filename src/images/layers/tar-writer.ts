/** Writes tar archives: ustar, and PAX records where ustar has no room. The same input gives the same bytes. */
import type { TarEntry } from "./tar-entry.ts";

/** What must be said of an entry; the rest has defaults (0, empty, root, 0644 / 0755 for directories). */
export type TarEntryInput = Pick<TarEntry, "name" | "type"> & Partial<TarEntry>;

export interface TarWriterMember {
  entry: TarEntryInput;
  /** Exactly `entry.size` bytes; for a sparse entry the runs alone, one after the other. */
  content?: Uint8Array | AsyncIterable<Uint8Array>;
}

/** The header blocks of one entry (PAX header first where needed). */
export declare function encodeHeader(entry: TarEntryInput): Uint8Array;

/** Zeros to the next multiple of 512. */
export declare function padding(size: number): Uint8Array;

/** The two zero blocks that end an archive. */
export declare const endOfArchive: Uint8Array;

/** A whole archive with its end mark. @throws SystemFailure when content is longer or shorter than `entry.size`. */
export declare function writeTar(
  members: AsyncIterable<TarWriterMember> | Iterable<TarWriterMember>,
): AsyncGenerator<Uint8Array>;
