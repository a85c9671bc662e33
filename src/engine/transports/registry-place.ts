/** A repository of a registry as a place of manifests and blobs. */
import { NotFound } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import { isIndexType, isManifestType } from "../../images/manifest.ts";
import type { Place } from "../../images/transports/place.ts";
import { verified } from "../../images/transports/verified.ts";
import type { RemoteDocument, Repository } from "../../registry/client/repository.ts";

/** @param known a document that was fetched already. */
export function registryPlace(
  repository: Repository,
  known: RemoteDocument | undefined,
  signal?: AbortSignal,
): Place {
  const documents = new Map<Digest, Uint8Array>(known === undefined ? [] : [[known.digest, known.bytes]]);
  return {
    document: async (descriptor) => {
      const { digest, mediaType } = descriptor;
      const bytes = documents.get(digest);
      if (bytes !== undefined) return bytes;
      const isManifest = isManifestType(mediaType) || isIndexType(mediaType);
      try {
        return isManifest
          ? (await repository.manifest(digest, signal)).bytes
          : await repository.document(descriptor, signal);
      } catch (error) {
        if (error instanceof NotFound) return undefined;
        throw error;
      }
    },
    layer: (descriptor) => {
      const openUnchecked = () => repository.blob(descriptor, signal === undefined ? {} : { signal });
      return {
        descriptor: async () => descriptor,
        open: () => verified(openUnchecked(), descriptor),
        openUnchecked,
        ingested: undefined,
      };
    },
  };
}
