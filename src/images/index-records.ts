/** What the database says about indexes: which names lead to one, and which of its platforms are here. */
import type { Digest, ImageId } from "../core/ids.ts";
import type { State } from "../state/state.ts";
import { parseJson } from "./json.ts";
import { type Platform, parsePlatformObject } from "./manifest.ts";
import { detectHostPlatform, matchPlatform } from "./platform.ts";
import { dropUnnamed, standFor } from "./records.ts";

/** One platform of an index that is here. */
export interface IndexedImage {
  /** Digest of its manifest, as the index has it. */
  readonly manifest: Digest;
  /** As the index has it; from the config where the index says nothing. */
  readonly platform: Platform;
  readonly imageId: ImageId;
}

export interface Variants {
  /** Digest of the index. */
  readonly index: Digest;
  /** In the order in which their manifests were recorded. */
  readonly images: readonly IndexedImage[];
}

/**
 * Part of a transaction, after `setTag` or `setRepoDigest` of the same name, and after `insertImage` of each image:
 * the name leads to this index. Images of the same index that were recorded before stay. By itself the name stands
 * for this machine's platform where that is here, else for the image that it was given to.
 * The bytes of the index and of the manifests are in the content store by then.
 * @param reference canonical: `docker.io/library/busybox:latest` or `docker.io/library/busybox@sha256:…`.
 */
export function recordIndex(
  state: State,
  reference: string,
  index: { digest: Digest; images: readonly IndexedImage[] },
): void {
  state.db
    .query("INSERT INTO indexes VALUES (?1, ?2) ON CONFLICT (reference) DO UPDATE SET digest = ?2")
    .run(reference, index.digest);
  for (const { manifest, platform, imageId } of index.images) {
    state.db
      .query(
        `INSERT INTO variants VALUES (?1, ?2, ?3, ?4)
           ON CONFLICT (index_digest, manifest) DO UPDATE SET platform = ?3, image_id = ?4`,
      )
      .run(index.digest, manifest, JSON.stringify(platform), imageId);
  }
  dropUnnamed(state);
  const images = imagesOfIndex(state, index.digest);
  const own = matchPlatform(
    images.map(({ platform }) => platform),
    detectHostPlatform(),
  );
  const preferred = own === undefined ? undefined : images[own]?.imageId;
  if (preferred !== undefined) standFor(state, reference, preferred);
}

/** The platforms that are here of a name (canonical); undefined for a name that leads to no index. */
export function variantsOf(state: State, reference: string): Variants | undefined {
  const row = state.db
    .query<{ digest: Digest }, [string]>("SELECT digest FROM indexes WHERE reference = ?1")
    .get(reference);
  if (row === null) return undefined;
  return { index: row.digest, images: imagesOfIndex(state, row.digest) };
}

/** The platforms of an index that are here. */
export function imagesOfIndex(state: State, index: Digest): IndexedImage[] {
  return state.db
    .query<{ manifest: Digest; platform: string; image_id: ImageId }, [string]>(
      "SELECT manifest, platform, image_id FROM variants WHERE index_digest = ?1 ORDER BY rowid",
    )
    .all(index)
    .map((row) => ({
      manifest: row.manifest,
      platform: parsePlatformObject(parseJson(row.platform, "platform")),
      imageId: row.image_id,
    }));
}

/** Names (canonical) that lead to an index. */
export function namesOfIndex(state: State, index: Digest): string[] {
  return state.db
    .query<{ reference: string }, [string]>("SELECT reference FROM indexes WHERE digest = ?1")
    .all(index)
    .map(({ reference }) => reference);
}

/** Part of a transaction: one platform of an index is here no longer. */
export function removeVariant(state: State, index: Digest, manifest: Digest): void {
  state.db.query("DELETE FROM variants WHERE index_digest = ?1 AND manifest = ?2").run(index, manifest);
}
