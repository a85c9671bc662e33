/** Unpacks a layer. */
import type { Digest } from "../../core/ids.ts";
import type { LayerTarget } from "../../storage/snapshotter.ts";
import type { ByteSource } from "./tar-entry.ts";

/** What one layer may cost, beyond the free space of the file system (which is never used up to the last). */
export interface LayerLimits {
  entries: number;
  /** Bytes of all files together as `ls` shows them, holes included. */
  bytes: number;
}

export declare const defaultLayerLimits: LayerLimits;

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
export declare function applyLayer(
  source: ByteSource,
  target: LayerTarget,
  options?: ApplyOptions,
): Promise<AppliedLayer>;
