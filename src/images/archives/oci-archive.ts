/** An OCI image layout in a tar: index.json leads to manifests, perhaps through further indexes. */
import { InvalidParameter } from "../../core/errors.ts";
import { type Document, type ImageSource, manifestDocument, type NamedImage } from "../image.ts";
import { type Descriptor, digestOf, isManifestType, type Manifest, parseIndex } from "../manifest.ts";
import type { Reference } from "../references.ts";
import { nameOfDescriptor } from "../transports/layout-names.ts";
import { imagesAt, type Place, type PlatformChoice } from "../transports/place.ts";
import type { Archive } from "./archive.ts";
import { layerOfDescriptor } from "./layer.ts";

/**
 * The images of the layout with the names that it gives them.
 * @param choice of an index: each platform that the archive holds, or the best match for each of these.
 * @param isWanted which of the entries of index.json.
 */
export function ociArchive(
  archive: Archive,
  choice: PlatformChoice,
  isWanted: (root: Descriptor) => boolean = () => true,
): ImageSource {
  return {
    async *images() {
      const roots = rootsOf(archive).filter(({ descriptor }) => isWanted(descriptor));
      if (roots.length === 0) throw new InvalidParameter("invalid archive: its index.json names no image");
      for (const { descriptor, names } of roots) {
        for await (const found of imagesAt(archivePlace(archive), descriptor, choice)) {
          yield { ...found, names, parent: undefined } satisfies NamedImage;
        }
      }
    },
  };
}

/** An archive as a place: blobs by their digests. */
function archivePlace(archive: Archive): Place {
  return {
    document: async ({ digest }) =>
      archive.findBlob(digest) === undefined ? undefined : archive.readBlob(digest),
    layer: (descriptor) => {
      const file = archive.findBlob(descriptor.digest);
      return file === undefined ? undefined : layerOfDescriptor(descriptor, file);
    },
  };
}

/** What index.json lists: each document once, with all names that it has there. */
export function rootsOf(archive: Archive): { descriptor: Descriptor; names: Reference[] }[] {
  const roots = new Map<string, { descriptor: Descriptor; names: Reference[] }>();
  for (const descriptor of parseIndex(archive.read("index.json")).manifests) {
    const root = roots.get(descriptor.digest) ?? { descriptor, names: [] };
    const name = nameOfDescriptor(descriptor);
    if (name !== undefined) root.names.push(name);
    roots.set(descriptor.digest, root);
  }
  return [...roots.values()];
}

/** All manifests that the layout's index.json lists itself and that are there. */
export function manifestsOf(archive: Archive): Document<Manifest>[] {
  return rootsOf(archive).flatMap(({ descriptor: { digest, mediaType } }) => {
    if (!isManifestType(mediaType) || archive.findBlob(digest) === undefined) return [];
    const bytes = archive.readBlob(digest);
    if (digestOf(bytes) !== digest) {
      throw new InvalidParameter(`invalid archive: blob ${digest} has the content of ${digestOf(bytes)}`);
    }
    return [manifestDocument(bytes, `manifest ${digest}`)];
  });
}
