/** Indexes that stand in indexes: the records know the outermost only. */
import { InvalidParameter } from "../core/errors.ts";
import type { Digest } from "../core/ids.ts";
import type { ContentStore } from "./content.ts";
import { type Index, isIndexType, parseIndex } from "./manifest.ts";

export interface IndexTree {
  /** The outermost and those inside of it, to any depth, as far as they are here. */
  readonly all: ReadonlySet<Digest>;
  /** What those of them say that are not damaged. */
  readonly documents: ReadonlyMap<Digest, Index>;
  /** False when one of them is damaged or the outermost is missing: nobody knows what that names. */
  readonly isComplete: boolean;
}

export function indexTree(content: Pick<ContentStore, "has" | "tryRead">, outermost: Digest): IndexTree {
  const all = new Set([outermost]);
  const documents = new Map<Digest, Index>();
  let isComplete = true;
  for (const digest of all) {
    const bytes = content.tryRead(digest);
    if (bytes === undefined) {
      isComplete = false;
      continue;
    }
    const index = indexOf(bytes);
    if (index === undefined) {
      // Something else that is here, which the one above calls an index.
      all.delete(digest);
      continue;
    }
    documents.set(digest, index);
    // What is added to a set while it is walked through is walked through too.
    for (const { digest: inner, mediaType } of index.manifests) {
      if (isIndexType(mediaType) && content.has(inner)) all.add(inner);
    }
  }
  return { all, documents, isComplete };
}

function indexOf(bytes: Uint8Array): Index | undefined {
  try {
    return parseIndex(bytes);
  } catch (error) {
    if (error instanceof InvalidParameter) return undefined;
    throw error;
  }
}
