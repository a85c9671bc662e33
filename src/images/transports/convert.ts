/**
 * Manifests from Docker's schema 2 to OCI and back. Both say the same in other media types; blobs stay as they are, a
 * manifest's digest changes with its bytes.
 */
import { InvalidParameter } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import {
  type Document,
  type Image,
  type IndexMember,
  indexDocument,
  manifestDocument,
  type NamedImage,
} from "../image.ts";
import { parseJson } from "../json.ts";
import {
  type Descriptor,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  mediaTypes,
} from "../manifest.ts";

export type ManifestFormat = "oci" | "docker";

const pairs: readonly (readonly [oci: string, docker: string])[] = [
  [mediaTypes.manifest, mediaTypes.dockerManifest],
  [mediaTypes.index, mediaTypes.dockerIndex],
  [mediaTypes.config, mediaTypes.dockerConfig],
  [mediaTypes.layer, mediaTypes.dockerLayer],
  [mediaTypes.layerGzip, mediaTypes.dockerLayerGzip],
  [mediaTypes.layerZstd, mediaTypes.dockerLayerZstd],
];

/** True for images whose manifest, or an index above them, is of the other format. */
export async function isInFormat({ image, index }: NamedImage, format: ManifestFormat): Promise<boolean> {
  const documents = [await image.manifest(), ...(index?.path ?? [])];
  return documents.every(({ value }) => convertType(value.mediaType, format) === value.mediaType);
}

/**
 * The same images in one format; those that are in it already are left alone. Of an index all entries are renamed that
 * travel, and the index follows.
 * @throws InvalidParameter for what the format has no words for.
 */
export async function inFormat(images: readonly NamedImage[], format: ManifestFormat): Promise<NamedImage[]> {
  const converted = new Map<Digest, Descriptor>();
  const manifests: { named: NamedImage; image: Image }[] = [];
  for (const named of images) {
    const image = await convertImage(named.image, format);
    const before = await named.image.manifest();
    const after = await image.manifest();
    converted.set(before.digest, describe(after));
    manifests.push({ named, image });
  }
  return manifests.map(({ named, image }) =>
    named.index === undefined
      ? { ...named, image }
      : { ...named, image, index: convertMember(named.index, converted, format) },
  );
}

async function convertImage(image: Image, format: ManifestFormat): Promise<Image> {
  const { value: manifest } = await image.manifest();
  if (convertType(manifest.mediaType, format) === manifest.mediaType) return image;
  if (image.isArtifact) throw new InvalidParameter(`what is no image cannot be converted to ${format}`);
  const layers = image.layers.map((layer) => ({
    ...layer,
    descriptor: async () => convertDescriptor(await layer.descriptor(), format),
  }));
  const value: Manifest = {
    schemaVersion: 2,
    mediaType: convertType(manifest.mediaType, format),
    config: convertDescriptor(manifest.config, format),
    layers: manifest.layers.map((layer) => convertDescriptor(layer, format)),
    ...(format === "oci" && manifest.annotations !== undefined ? { annotations: manifest.annotations } : {}),
  };
  const document = manifestDocument(Buffer.from(JSON.stringify(value)));
  return { ...image, layers, manifest: async () => document };
}

function convertMember(
  { path, descriptor }: IndexMember,
  converted: Map<Digest, Descriptor>,
  format: ManifestFormat,
): IndexMember {
  // From the innermost out: an index can only be written when those below it are.
  const done: Document<Index>[] = [];
  for (const document of path.toReversed()) {
    const after = convertIndex(document, converted, format);
    converted.set(document.digest, describe(after));
    done.unshift(after);
  }
  const [first = path[0], ...rest] = done;
  return { path: [first, ...rest], descriptor: replace(descriptor, converted) };
}

/** What the index says beside its manifests stays. */
function convertIndex(
  index: Document<Index>,
  converted: ReadonlyMap<Digest, Descriptor>,
  format: ManifestFormat,
): Document<Index> {
  const isSame = ({ digest }: Descriptor) => (converted.get(digest)?.digest ?? digest) === digest;
  if (
    convertType(index.value.mediaType, format) === index.value.mediaType &&
    index.value.manifests.every(isSame)
  ) {
    return index;
  }
  const kept = parseJson(index.bytes, "index")
    .entries()
    .filter(([key]) => !["schemaVersion", "mediaType", "manifests"].includes(key))
    .map(([key, value]): [string, unknown] => [key, value.raw()]);
  return indexDocument(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: convertType(index.value.mediaType, format),
        manifests: index.value.manifests.map((entry) => replace(entry, converted)),
        ...Object.fromEntries(kept),
      }),
    ),
  );
}

function replace(descriptor: Descriptor, converted: ReadonlyMap<Digest, Descriptor>): Descriptor {
  const after = converted.get(descriptor.digest);
  return after === undefined ? descriptor : { ...descriptor, ...after };
}

function convertDescriptor(descriptor: Descriptor, format: ManifestFormat): Descriptor {
  const { annotations, ...rest } = descriptor;
  const mediaType = convertType(descriptor.mediaType, format);
  return format === "oci" && annotations !== undefined
    ? { ...rest, annotations, mediaType }
    : { ...rest, mediaType };
}

function convertType(mediaType: string, format: ManifestFormat): string {
  const pair = pairs.find(([oci, docker]) => mediaType === oci || mediaType === docker);
  if (pair !== undefined) return format === "oci" ? pair[0] : pair[1];
  if (isManifestType(mediaType) || isIndexType(mediaType)) return mediaType;
  throw new InvalidParameter(`${mediaType || "a blob without media type"} cannot be converted to ${format}`);
}

function describe(document: Document<{ mediaType: string }>): Descriptor {
  return {
    mediaType: document.value.mediaType,
    digest: document.digest,
    size: document.bytes.byteLength,
  };
}
