/** The platforms of a name, for the tree view of `images`: those that are here, and those that its index lists. */
import type { Digest } from "../core/ids.ts";
import type { ImageManifestSummary } from "../core/objects.ts";
import type { State } from "../state/state.ts";
import type { ContentStore } from "./content.ts";
import { type Descriptor, parseConfig, parseIndex, parseManifest } from "./manifest.ts";
import { type ImageRecord, imageById, imagesOfIndex } from "./records.ts";
import { descriptorObject, storedDescriptor } from "./transports/stored-image.ts";
import { platformOfConfig } from "./variants.ts";

interface Stores {
  readonly state: State;
  readonly content: ContentStore;
}

/** @param users ids of the containers of an image. */
export type UsersOf = (imageId: string) => string[];

/** Of an index all that it lists, in its order; without one the image's own manifest. */
export function manifestSummaries(
  stores: Stores,
  record: ImageRecord,
  index: Digest | undefined,
  users: UsersOf,
): ImageManifestSummary[] {
  const { content, state } = stores;
  const indexBytes = index === undefined ? undefined : content.tryRead(index);
  if (index === undefined || indexBytes === undefined) {
    if (content.tryRead(record.manifest) === undefined) return [];
    return [summaryOf(stores, storedDescriptor(content, record.manifest, "manifest"), record, users)];
  }
  const here = new Map(
    imagesOfIndex(state, index).map(({ manifest, imageId }) => [manifest, imageById(state, imageId)]),
  );
  return parseIndex(indexBytes).manifests.map((descriptor) =>
    summaryOf(stores, descriptor, here.get(descriptor.digest), users),
  );
}

function summaryOf(
  { content }: Stores,
  descriptor: Descriptor,
  record: ImageRecord | undefined,
  users: UsersOf,
): ImageManifestSummary {
  const bytes = contentSize(content, descriptor);
  const unpacked = record?.size ?? 0;
  const summary: ImageManifestSummary = {
    ID: descriptor.digest,
    Descriptor: descriptorObject(descriptor),
    Available: record !== undefined,
    Kind: kindOf(descriptor, record),
    Size: { Content: bytes, Total: bytes + unpacked },
  };
  if (summary.Kind !== "image") return summary;
  const config = record === undefined ? undefined : content.tryRead(record.id);
  const platform =
    descriptor.platform ?? (config === undefined ? undefined : platformOfConfig(parseConfig(config)));
  if (platform === undefined) return summary;
  summary.ImageData = {
    Platform: platform,
    Containers: record === undefined ? [] : users(record.id),
    Size: { Unpacked: unpacked },
  };
  return summary;
}

/** BuildKit's attestations say in the index what they are about. */
function kindOf(
  { annotations, platform }: Descriptor,
  record: ImageRecord | undefined,
): ImageManifestSummary["Kind"] {
  if (record !== undefined) return "image";
  if (annotations?.["vnd.docker.reference.type"] === "attestation-manifest") return "attestation";
  return platform === undefined || platform.os === "unknown" ? "unknown" : "image";
}

/** Bytes of what is here of a manifest: itself, its config and its layers' blobs. */
function contentSize(content: ContentStore, { digest, size }: Descriptor): number {
  const bytes = content.tryRead(digest);
  if (bytes === undefined) return 0;
  const { config, layers } = parseManifest(bytes);
  const blobs = new Map([config, ...layers].map((blob) => [blob.digest, blob.size]));
  return [...blobs].reduce((sum, [blob, length]) => sum + (content.has(blob) ? length : 0), size);
}
