/** The content store's index.json: what it holds, for other tools that read OCI layouts. */
import type { State } from "../state/state.ts";
import type { ContentStore } from "./content.ts";
import { variantsOf } from "./index-records.ts";
import { type Descriptor, mediaTypes, parseIndex, parseManifest } from "./manifest.ts";
import { allImages, isNameless } from "./records.ts";
import { nameAnnotations } from "./transports/layout-names.ts";

/**
 * One descriptor for each tag: of the index that it leads to, where it does; one without annotations for an image that
 * no tag leads to.
 */
export function indexText(state: State, content: ContentStore): string {
  const manifests = allImages(state).flatMap((record): Descriptor[] => {
    const bytes = content.tryRead(record.manifest);
    if (bytes === undefined) return [];
    const { mediaType } = parseManifest(bytes);
    const descriptor = { mediaType, digest: record.manifest, size: bytes.byteLength };
    if (record.tags.length === 0 && (isNameless(record) || record.repoDigests.length > 0))
      return [descriptor];
    return record.tags.map((name) => ({
      ...(indexOf(state, content, name) ?? descriptor),
      annotations: nameAnnotations(name),
    }));
  });
  return JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests });
}

function indexOf(state: State, content: ContentStore, name: string): Descriptor | undefined {
  const digest = variantsOf(state, name)?.index;
  const bytes = digest === undefined ? undefined : content.tryRead(digest);
  if (digest === undefined || bytes === undefined) return undefined;
  return { mediaType: parseIndex(bytes).mediaType, digest, size: bytes.byteLength };
}
