/** What the threads that unpack and compress layers and the one that leads them say to each other. */
import type { LayerTarget } from "../../storage/snapshotter.ts";
import type { Compression } from "../layers/compression.ts";

/** A layer to unpack, out of a file that may still grow. */
export interface UnpackJob {
  readonly path: string;
  /** Undefined to learn the digest of the uncompressed tar only. */
  readonly target: LayerTarget | undefined;
  /** The layers below are not here yet (`ApplyOptions.isAlone`). */
  readonly isAlone: boolean;
  /** Bytes of the file when it is whole. */
  readonly size: number;
}

/** A plain layer, or a part of one, to compress into a new file. */
export interface CompressJob {
  readonly path: string;
  /** The whole file where absent; bytes. */
  readonly part?: { readonly offset: number; readonly length: number };
  readonly output: string;
  readonly compression: "gzip" | "zstd";
  /** Undefined for the fastest. */
  readonly level: number | undefined;
}

/** All jobs and answers name the job by a number that the leader chose. */
export type Order =
  | { kind: "compress"; id: number; job: CompressJob }
  | { kind: "start"; id: number; job: UnpackJob; written: number; isWhole: boolean }
  /** So many bytes are in the file now. */
  | { kind: "grown"; id: number; written: number; isWhole: boolean }
  | { kind: "cancel"; id: number };

export type Answer =
  /** Bytes taken of what the job reads. */
  | { kind: "taken"; id: number; bytes: number }
  | { kind: "done"; id: number; layer: UnpackedLayer }
  | { kind: "compressed"; id: number; blob: CompressedBlob }
  | { kind: "failed"; id: number; failure: Failure };

export interface UnpackedLayer {
  /** sha256 of the uncompressed tar; undefined for a plain one, whose blob's digest it is. */
  readonly diffId: string | undefined;
  /** Sum of the sizes of its files. */
  readonly size: number;
  readonly compression: Compression;
  /** Directories that `settleImplied` has to see to. */
  readonly implied: readonly string[];
}

export interface CompressedBlob {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

/** An error on its way between threads, where classes get lost. */
export type Failure =
  | { kind: "invalid"; message: string }
  | { kind: "linux"; syscall: string; errno: number; path: string | undefined }
  | { kind: "cancelled" }
  | { kind: "other"; message: string };
