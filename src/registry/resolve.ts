/** From a tag or digest to the one manifest that fits a platform, through image indexes. */
import { InvalidParameter, NotFound } from "../core/errors.ts";
import type { Digest } from "../core/ids.ts";
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  type Platform,
  parseIndex,
} from "../images/manifest.ts";
import { familiarPlatform, formatPlatform, matchPlatform } from "../images/platform.ts";
import type { RemoteDocument, Repository } from "./client/repository.ts";
import { refuseMediaType } from "./media-types.ts";

export interface ResolvedImage {
  /** Of what the name leads to: the index where there is one, else the manifest. */
  readonly descriptor: Descriptor;
  /** The outermost index, where the name leads to one. */
  readonly index: RemoteDocument | undefined;
  /** The manifest of the platform. Its bytes have the digest by which the index names it. */
  readonly manifest: RemoteDocument;
  /** As the index gives it; undefined where the name leads to a manifest, or the index does not say. */
  readonly platform: Platform | undefined;
}

/** Indexes inside indexes. */
const deepestIndex = 4;

/**
 * Finds the manifest of `platform`, which is asked for where there is a choice only. An index may hold others, at most 4 deep; among the fitting entries of an index
 * the best variant wins, then the first.
 * @throws NotFound `no matching manifest for linux/s390x in the manifest list entries`; InvalidParameter for schema 1
 *   and media types that are no image, circular and too deep indexes; what `Repository.manifest` throws.
 */
export async function resolveImage(
  repository: Pick<Repository, "manifest">,
  tagOrDigest: string,
  platform: () => Platform,
  signal?: AbortSignal,
): Promise<ResolvedImage> {
  const first = await repository.manifest(tagOrDigest, signal);
  const seen = new Set<Digest>([first.digest]);
  let document = first;
  let found: Platform | undefined;
  for (let depth = 1; isIndexType(document.mediaType); depth += 1) {
    if (depth > deepestIndex)
      throw new InvalidParameter(`index ${first.digest}: indexes are nested too deeply`);
    const chosen = choose(parseIndex(document.bytes, `index ${document.digest}`).manifests, platform());
    if (seen.has(chosen.digest)) throw new InvalidParameter(`index ${first.digest} contains itself`);
    seen.add(chosen.digest);
    document = await nested(repository, chosen, signal);
    found = chosen.platform;
  }
  if (!isManifestType(document.mediaType)) refuseMediaType(document.mediaType);
  return {
    descriptor: { mediaType: first.mediaType, digest: first.digest, size: first.bytes.byteLength },
    index: document === first ? undefined : first,
    manifest: document,
    platform: found,
  };
}

function choose(manifests: readonly Descriptor[], wanted: Platform): Descriptor {
  // Without a platform: an entry that was made without one fits any, but only where none says that it fits.
  const candidates = manifests.filter(
    ({ mediaType, platform }) =>
      (isManifestType(mediaType) || isIndexType(mediaType)) && platform?.os !== "unknown",
  );
  const stated = candidates.flatMap((descriptor) =>
    descriptor.platform === undefined ? [] : [{ descriptor, platform: descriptor.platform }],
  );
  const best = matchPlatform(
    stated.map(({ platform }) => platform),
    wanted,
  );
  const chosen =
    (best === undefined ? undefined : stated[best]?.descriptor) ??
    candidates.find(({ platform }) => platform === undefined);
  if (chosen !== undefined) return chosen;
  const shown = formatPlatform(familiarPlatform(wanted));
  throw new NotFound(`no matching manifest for ${shown} in the manifest list entries`);
}

/** What an index leads to has the size that the index says, or the index was made up. */
async function nested(
  repository: Pick<Repository, "manifest">,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): Promise<RemoteDocument> {
  const document = await repository.manifest(descriptor.digest, signal);
  if (document.bytes.byteLength !== descriptor.size) {
    throw new InvalidParameter(
      `manifest ${descriptor.digest} has ${document.bytes.byteLength} bytes, its index says ${descriptor.size}`,
    );
  }
  return document;
}
