/** File systems that operations have made. */
import type { DiffId } from "../../core/ids.ts";
import type { Layer } from "../../images/image.ts";
import type { IngestedBlob } from "../../images/ingest.ts";
import type { LocalLayer } from "../graph/operations.ts";

/** A step's layer in a cache elsewhere. It is fetched when somebody needs its files. */
export interface AwayLayer {
  readonly diffId: DiffId;
  /** In build_results, once it is here. */
  readonly resultId: string | undefined;
  /** As it lies there, to be sent on without being unpacked here. */
  readonly layer: Layer;
  /** Its tar as a file of the session. */
  tar(): Promise<IngestedBlob>;
  /** Unpacks it on what it stands on, once. @returns its id in build_results */
  here(below: Pick<Root, "layers">): Promise<string>;
}

export type RootLayer =
  | ({ readonly kind: "image" } & LocalLayer)
  /** Made by a step: id in build_results. */
  | { readonly kind: "result"; readonly id: string }
  | { readonly kind: "away"; readonly layer: AwayLayer };

/** A file system as a stack of layers. */
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
