/** Where an OCI image layout keeps its parts, in a directory or an archive. OCI image-spec, image-layout.md */
import type { Digest } from "../core/ids.ts";

/** A blob's path, below the layout's root. */
export function blobName(digest: Digest): string {
  return `blobs/sha256/${digest.slice("sha256:".length)}`;
}
