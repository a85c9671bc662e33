/** What a tar archive says about one file, in the units of the kernel. */

export type TarEntryType =
  | "file"
  | "hard-link"
  | "symlink"
  | "character-device"
  | "block-device"
  | "directory"
  | "fifo";

/** A run of data inside a sparse file; everything between the runs is a hole. */
export interface SparseRun {
  offset: number;
  length: number;
}

export interface TarEntry {
  /**
   * As it stands in the archive, not cleaned: may be absolute or hold `..`. Bytes that are not UTF-8 are kept as
   * lone surrogates U+DC80…U+DCFF (`pathBytes` in linux/paths.ts turns them back).
   */
  name: string;
  type: TarEntryType;
  /** Permission bits with setuid, setgid and sticky: 0…07777. */
  mode: number;
  uid: number;
  gid: number;
  userName: string;
  groupName: string;
  /** Bytes of the file once unpacked, holes included; 0 for all but files. */
  size: number;
  /** Nanoseconds since 1970. */
  mtime: bigint;
  atime: bigint | undefined;
  /** Target of a symlink or hard link; empty otherwise. */
  linkName: string;
  deviceMajor: number;
  deviceMinor: number;
  /** Extended attributes by full name (`security.capability`). */
  xattrs: ReadonlyMap<string, Uint8Array>;
  /** Only for sparse files: the runs that the archive holds, in order. */
  sparse: readonly SparseRun[] | undefined;
}

/** A file or a part of one. */
export interface FileRange {
  path: string;
  /** Bytes from the start; 0 when absent. */
  offset?: number;
  /** Bytes; to the end of the file when absent. */
  length?: number;
}

/** Where an archive comes from: a local file (fast: no event loop between its bytes) or any stream. */
export type ByteSource = FileRange | AsyncIterable<Uint8Array>;
