/** The transaction that makes images visible. */
import type { Digest } from "../../core/ids.ts";
import type { State } from "../../state/state.ts";
import { idOf, type NamedImage } from "../image.ts";
import { recordIndex } from "../index-records.ts";
import type { IngestedBlob } from "../ingest.ts";
import { mediaTypes, type Platform } from "../manifest.ts";
import { detectHostPlatform, matchPlatform } from "../platform.ts";
import { imageById, insertImage, type LayerRecord, setRepoDigest, setTag } from "../records.ts";
import { canonicalForm, familiarForm, type Reference } from "../references.ts";
import { noteCompressed } from "./compressed-layers.ts";

export interface ReadyImage {
  readonly named: NamedImage;
  readonly manifest: { readonly digest: Digest };
  readonly layers: readonly LayerRecord[];
  readonly blobs: readonly IngestedBlob[];
}

export interface RecordedImage {
  readonly named: NamedImage;
  /** For each name: the image that had it before, if another had. */
  readonly renamed: ReadonlyMap<string, string>;
}

/**
 * Part of a transaction: writes images, their layers and names. Of the members of one index, the names stand for the
 * one that this machine runs best, else the first.
 */
export function recordImages(
  state: State,
  images: readonly ReadyImage[],
  takesManifest: boolean,
): RecordedImage[] {
  const now = Date.now();
  for (const { named, manifest, layers } of images) {
    const id = idOf(named.image);
    insertImage(state, { id, manifest: manifest.digest, parent: knownParent(named), createdAt: now }, layers);
    if (takesManifest) {
      state.db.query("UPDATE images SET manifest = ?2 WHERE id = ?1").run(id, manifest.digest);
    }
  }
  const chosen = chosenMembers(images);
  return images.map((item) => {
    const { named } = item;
    const renamed = new Map<string, string>();
    // Of an index's members one has its names.
    if (named.index !== undefined && chosen.get(indexOf(named)) !== item) {
      return { named: { ...named, names: [] }, renamed };
    }
    for (const name of named.names) {
      const before = setName(state, name, item, now);
      if (before !== undefined) renamed.set(familiarForm(name), before);
    }
    recordMembers(state, images, named);
    return { named, renamed };
  });

  /** A parent counts only while it is here. */
  function knownParent({ parent }: NamedImage): NamedImage["parent"] {
    const isComing = images.some(({ named }) => idOf(named.image) === parent);
    return parent !== undefined && (isComing || imageById(state, parent) !== undefined) ? parent : undefined;
  }
}

function setName(state: State, name: Reference, { named }: ReadyImage, now: number): string | undefined {
  const id = idOf(named.image);
  if (name.digest === undefined) return setTag(state, canonicalForm(name), id, now);
  setRepoDigest(state, canonicalForm({ ...name, tag: undefined }), id);
  return undefined;
}

function indexOf({ index }: NamedImage): Digest | undefined {
  return index?.path[0].digest;
}

/** For each index: the member that its names stand for. */
function chosenMembers(images: readonly ReadyImage[]): Map<Digest | undefined, ReadyImage> {
  const members = Map.groupBy(
    images.filter(({ named }) => named.index !== undefined),
    ({ named }) => indexOf(named),
  );
  const host = detectHostPlatform();
  return new Map(
    [...members].flatMap(([index, items]) => {
      const best = matchPlatform(items.map(platformOf), host) ?? 0;
      const item = items[best];
      return item === undefined ? [] : [[index, item] as const];
    }),
  );
}

function recordMembers(state: State, images: readonly ReadyImage[], { index, names }: NamedImage): void {
  const digest = index?.path[0].digest;
  if (index === undefined || digest === undefined) return;
  const members = images
    .filter(({ named }) => indexOf(named) === digest)
    .map((item) => ({
      manifest: item.named.index?.descriptor.digest ?? item.manifest.digest,
      platform: platformOf(item),
      imageId: idOf(item.named.image),
    }));
  for (const name of names) {
    const reference = canonicalForm(name.digest === undefined ? name : { ...name, tag: undefined });
    recordIndex(state, reference, { digest, images: members });
  }
}

/** As the index has it, else as the config says. */
function platformOf({ named }: ReadyImage): Platform {
  const stated = named.index?.descriptor.platform;
  if (stated !== undefined) return stated;
  const { os, architecture, variant } = named.image.config.value;
  return { os: os || "linux", architecture, ...(variant === undefined ? {} : { variant }) };
}

/** Part of a transaction: notes which blobs hold which layers, all of which have been checked. */
export async function pairsOf(images: readonly ReadyImage[]): Promise<(state: State) => void> {
  const pairs = await Promise.all(
    images.flatMap(({ named, layers, blobs }) =>
      layers.map(async ({ diffId }, at) => {
        const [layer, blob] = [named.image.layers[at], blobs[at]];
        if (layer === undefined || blob === undefined) return undefined;
        const digest = await blob.digest;
        if (digest === (diffId as Digest)) return undefined;
        const { mediaType } = await layer.descriptor();
        return {
          diffId,
          descriptor: { digest, size: blob.size, mediaType: mediaType || mediaTypes.layerGzip },
        };
      }),
    ),
  );
  return (state) => {
    for (const pair of pairs) {
      if (pair !== undefined) noteCompressed(state, pair.diffId, pair.descriptor);
    }
  };
}
