/** What an active snapshot changed against the trees below it: as a list and as a layer. */
import type { LayerTarget } from "../../storage/snapshotter.ts";

/** `path` is absolute inside the root. */
export interface TreeChange {
  kind: "added" | "modified" | "deleted";
  path: string;
}

/** What `docker diff` lists, sorted by path; directories above a change are listed as modified. */
export declare function listChanges(target: LayerTarget, options?: { signal?: AbortSignal }): TreeChange[];

/** The changes as a layer tar: `.wh.` files for deletions. */
export declare function diffTar(
  target: LayerTarget,
  options?: { signal?: AbortSignal },
): AsyncGenerator<Uint8Array>;
