/** Images of the local store as values; their layers are the blobs of the content store. */
import { NotFound } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import type { DescriptorObject } from "../../core/objects.ts";
import type { ContentStore } from "../content.ts";
import { checkLayerCount, configDocument, type Image, type Layer, manifestDocument } from "../image.ts";
import { type Descriptor, parseIndex, parseManifest } from "../manifest.ts";
import type { ImageRecord } from "../records.ts";

/**
 * @param manifest another manifest of the same image, as an index has it.
 * @throws NotFound or SystemFailure for a document that is missing or damaged. A missing layer is found out when it
 *   is opened.
 */
export function storedImage(
  { content }: { content: ContentStore },
  record: Pick<ImageRecord, "id" | "manifest">,
  manifest: Digest = record.manifest,
): Image {
  const document = manifestDocument(content.read(manifest));
  const config = configDocument(content.read(record.id));
  checkLayerCount(config.value, document.value.layers.length);
  const layers = document.value.layers.flatMap((descriptor, position): Layer[] => {
    const diffId = config.value.rootfs.diff_ids[position];
    return diffId === undefined ? [] : [{ diffId, ...storedLayer(content, descriptor) }];
  });
  return { config, layers, manifest: async () => document };
}

/** The descriptor of a manifest or index that the store holds. @throws NotFound */
export function storedDescriptor(
  content: ContentStore,
  digest: Digest,
  kind: "index" | "manifest",
): Descriptor {
  const bytes = content.read(digest);
  const { mediaType } = kind === "index" ? parseIndex(bytes) : parseManifest(bytes);
  return { mediaType, digest, size: bytes.byteLength };
}

/** As the Engine API shows a descriptor. */
export function descriptorObject({ mediaType, digest, size, platform }: Descriptor): DescriptorObject {
  return { mediaType, digest, size, ...(platform === undefined ? {} : { platform }) };
}

function storedLayer(content: ContentStore, descriptor: Descriptor): Omit<Layer, "diffId"> {
  return {
    descriptor: async () => descriptor,
    open: () => {
      if (!content.has(descriptor.digest)) {
        throw new NotFound(`content digest ${descriptor.digest}: not found`);
      }
      return { path: content.blobPath(descriptor.digest) };
    },
    ingested: undefined,
  };
}
