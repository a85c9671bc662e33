/**
 * What is attested of images: manifests beside the ones that they are about, in the same index, as BuildKit writes
 * them (its docs/attestations/attestation-storage.md). The local store keeps those of the platforms that are here; no
 * record is needed, as the index says which they are.
 */
import { type Digest, isDigest } from "../core/ids.ts";
import type { ContentStore } from "./content.ts";
import type { NamedImage } from "./image.ts";
import { type Descriptor, type Index, isManifestType, type Manifest, manifestIn } from "./manifest.ts";

export const attestationAnnotations = {
  type: "vnd.docker.reference.type",
  digest: "vnd.docker.reference.digest",
} as const;

export const attestationType = "attestation-manifest";
export const attestationPlatform = { architecture: "unknown", os: "unknown" } as const;

/** Of one image more are not kept: BuildKit writes one, with all statements in it. */
const mostOfOne = 16;
/** Bytes of one statement; a large bill of materials has some tens of megabytes. */
const largestStatement = 256 << 20;

/** The manifest that an entry of an index makes statements about; undefined for what is no attestation. */
export function subjectOf({ annotations, mediaType }: Descriptor): Digest | undefined {
  if (!isManifestType(mediaType) || annotations?.[attestationAnnotations.type] !== attestationType) {
    return undefined;
  }
  const digest = annotations[attestationAnnotations.digest] ?? "";
  return isDigest(digest) ? digest : undefined;
}

export function isAttestation({ index }: Pick<NamedImage, "index">): boolean {
  return index !== undefined && subjectOf(index.descriptor) !== undefined;
}

/** What an index lists as attestations of these manifests, not more of each than are kept. */
export function attestationsOf(index: Index, isSubject: (digest: Digest) => boolean): Descriptor[] {
  const counts = new Map<Digest, number>();
  return index.manifests.filter((descriptor) => {
    const subject = subjectOf(descriptor);
    if (subject === undefined || !isSubject(subject)) return false;
    const count = (counts.get(subject) ?? 0) + 1;
    counts.set(subject, count);
    return count <= mostOfOne;
  });
}

/** True for what the store takes: larger statements are left where they are. */
export function isKeepable({ layers }: Pick<Manifest, "layers">): boolean {
  return layers.every(({ size }) => size <= largestStatement);
}

export interface HeldAttestation {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
}

/**
 * Those of an index that are here with all that belongs to them. One that is damaged counts as not here, and so does
 * one that is something else: an index may call anything that is here an attestation.
 */
export function heldAttestations(
  content: Pick<ContentStore, "has" | "tryRead">,
  index: Index,
  isSubject: (digest: Digest) => boolean,
): HeldAttestation[] {
  return attestationsOf(index, isSubject).flatMap((descriptor) => {
    const bytes = content.has(descriptor.digest) ? content.tryRead(descriptor.digest) : undefined;
    const manifest = bytes === undefined ? undefined : manifestIn(bytes);
    if (manifest === undefined) return [];
    const blobs = [manifest.config, ...manifest.layers];
    return blobs.every(({ digest }) => content.has(digest)) ? [{ descriptor, manifest }] : [];
  });
}

/** All that an attestation is made of. */
export function blobsOf({ descriptor, manifest }: HeldAttestation): Digest[] {
  return [descriptor, manifest.config, ...manifest.layers].map(({ digest }) => digest);
}
