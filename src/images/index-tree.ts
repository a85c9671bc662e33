/** Indexes that stand in indexes: the records know the outermost only. */
import type { Digest } from "../core/ids.ts";
import type { ContentStore } from "./content.ts";
import { isIndexType, parseIndex } from "./manifest.ts";

export interface IndexTree {
  /** The outermost and those inside of it, to any depth, as far as they are here. */
  readonly all: ReadonlySet<Digest>;
  /** False when one of them is damaged or the outermost is missing: nobody knows what that names. */
  readonly isComplete: boolean;
}

export function indexTree(content: Pick<ContentStore, "has" | "tryRead">, outermost: Digest): IndexTree {
  const all = new Set([outermost]);
  let isComplete = true;
  for (const digest of all) {
    const bytes = content.tryRead(digest);
    if (bytes === undefined) {
      isComplete = false;
      continue;
    }
    // What is added to a set while it is walked through is walked through too.
    for (const { digest: inner, mediaType } of parseIndex(bytes).manifests) {
      if (isIndexType(mediaType) && content.has(inner)) all.add(inner);
    }
  }
  return { all, isComplete };
}
