/** The platforms of a name, for the tree view of `images`: those that are here, and those that its index lists. */
import type { Digest } from "../core/ids.ts";
import type { ImageManifestSummary } from "../core/objects.ts";
import { allContainers } from "../state/containers.ts";
import type { State } from "../state/state.ts";
import { heldAttestations, subjectOf } from "./attestations.ts";
import type { ContentStore } from "./content.ts";
import { imagesOfIndex } from "./index-records.ts";
import { type Descriptor, manifestIn, mediaTypes, parseConfig, parseIndex } from "./manifest.ts";
import { type ImageRecord, imageById } from "./records.ts";
import { descriptorObject, storedDescriptor } from "./transports/stored-image.ts";
import { platformOfConfig } from "./variants.ts";

interface Stores {
  readonly state: State;
  readonly content: ContentStore;
}

/** @returns ids of the containers of an image. */
export type UsersOf = (imageId: string) => string[];

/** As the records are now. */
export function usersOf(state: State): UsersOf {
  const containers = new Map<string, string[]>();
  for (const { id, imageId } of allContainers(state)) {
    containers.set(imageId, [...(containers.get(imageId) ?? []), id]);
  }
  return (imageId) => containers.get(imageId) ?? [];
}

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
  const subject = record === undefined ? subjectOf(descriptor) : undefined;
  if (subject !== undefined) {
    const index = { schemaVersion: 2 as const, mediaType: mediaTypes.index, manifests: [descriptor] };
    return {
      ID: descriptor.digest,
      Descriptor: descriptorObject(descriptor),
      Available: heldAttestations(content, index, () => true).length > 0,
      Kind: "attestation",
      Size: { Content: bytes, Total: bytes },
      AttestationData: { For: subject },
    };
  }
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

function kindOf({ platform }: Descriptor, record: ImageRecord | undefined): ImageManifestSummary["Kind"] {
  if (record !== undefined) return "image";
  return platform === undefined || platform.os === "unknown" ? "unknown" : "image";
}

/** Bytes of what is here of a manifest: itself, its config and its layers' blobs. */
function contentSize(content: ContentStore, { digest, size }: Descriptor): number {
  const bytes = content.tryRead(digest);
  const manifest = bytes === undefined ? undefined : manifestIn(bytes);
  if (manifest === undefined) return 0;
  const { config, layers } = manifest;
  const blobs = new Map([config, ...layers].map((blob) => [blob.digest, blob.size]));
  return [...blobs].reduce((sum, [blob, length]) => sum + (content.has(blob) ? length : 0), size);
}
