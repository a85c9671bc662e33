/** The content store's index.json: what it holds, for other tools that read OCI layouts. */
import type { State } from "../state/state.ts";
import type { ContentStore } from "./content.ts";
import { type Descriptor, mediaTypes, parseManifest } from "./manifest.ts";
import { allImages } from "./records.ts";
import { parseReference } from "./references.ts";

/** One descriptor for each name of an image; one without annotations for an image without names. */
export function indexText(state: State, content: ContentStore): string {
  const manifests = allImages(state).flatMap(({ manifest, tags }): Descriptor[] => {
    const bytes = content.tryRead(manifest);
    if (bytes === undefined) return [];
    const { mediaType } = parseManifest(bytes);
    const descriptor = { mediaType, digest: manifest, size: bytes.byteLength };
    return tags.length === 0
      ? [descriptor]
      : tags.map((name) => ({ ...descriptor, annotations: nameAnnotations(name) }));
  });
  return JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests });
}

/** Names a manifest in an index, for containerd and for tools that go by the specification alone. */
export function nameAnnotations(canonical: string): Record<string, string> {
  return {
    "io.containerd.image.name": canonical,
    "org.opencontainers.image.ref.name": parseReference(canonical).tag ?? "latest",
  };
}
