/** File systems that operations have made. */
import type { LocalLayer } from "../graph/operations.ts";

export type RootLayer =
  | ({ readonly kind: "image" } & LocalLayer)
  /** Made by a step: id in build_results. */
  | { readonly kind: "result"; readonly id: string };

/** A file system as a stack of layers, all of which are here. */
export interface Root {
  /** Stands for what it is made from, in the cache keys of what is made from it; hex. */
  readonly key: string;
  /** The newest time of what went into it, in nanoseconds since 1970: what is made on it is given this time. */
  readonly fileTime: bigint;
  /** Bottom first. */
  readonly layers: readonly RootLayer[];
}

/** The later of two times. */
export function laterTime(left: bigint, right: bigint): bigint {
  if (left < right) return right;
  return left;
}
