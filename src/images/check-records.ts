/** What the records lead to: which images need which blobs and layers, and where records contradict each other. */
import { DavitError } from "../core/errors.ts";
import { type ChainId, type DiffId, type Digest, type ImageId, shortId } from "../core/ids.ts";
import type { State } from "../state/state.ts";
import { blobsOf, heldAttestations } from "./attestations.ts";
import type { ImageStores } from "./collect.ts";
import { imagesOfIndex } from "./index-records.ts";
import { indexTree } from "./index-tree.ts";
import { chainIdsOf, parseConfig, parseManifest } from "./manifest.ts";
import { allImages, type ImageRecord, referencedDocuments } from "./records.ts";
import { familiarOfCanonical } from "./references.ts";

export interface InventoryLayer {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly parent: ChainId | undefined;
  /** A blob that it can be unpacked from; undefined where none is intact. */
  readonly blob: Digest | undefined;
}

export interface RecordFault {
  readonly id: string;
  readonly problem: string;
  readonly images: readonly ImageId[];
}

export interface ImageInventory {
  /** Indexes, manifests and configs. */
  readonly documents: ReadonlySet<Digest>;
  /** Of those, what registries keep as manifests. */
  readonly manifests: ReadonlySet<Digest>;
  /** Blobs of layers, and their bytes as manifests have them. */
  readonly layerBlobs: ReadonlyMap<Digest, number>;
  /** Parents first. */
  readonly layers: readonly InventoryLayer[];
  readonly faults: readonly RecordFault[];
  usersOf(digest: Digest): ImageId[];
  imagesOn(chainId: ChainId): ImageId[];
  /** Canonical names of repositories that may have a blob, the likeliest first; one for each repository. */
  namesFor(digest: Digest): string[];
  /** Familiar names, or short ids. */
  describe(images: readonly ImageId[]): string[];
}

/** @param lost blobs whose content is not to be trusted. */
export function takeInventory(stores: ImageStores, lost: ReadonlySet<Digest>): ImageInventory {
  const { state, content } = stores;
  const images = new Map(allImages(state).map((record) => [record.id, record]));
  const { indexes, manifests, configs } = referencedDocuments(state);
  const users = new Map<Digest, Set<ImageId>>();
  const use = (digest: Digest, id: ImageId) => {
    const known = users.get(digest);
    if (known === undefined) users.set(digest, new Set([id]));
    else known.add(id);
  };
  const layerBlobs = new Map<Digest, number>();
  const sources = new Map<ChainId, Digest>();
  const faults: RecordFault[] = [];
  const read = (digest: Digest) => (lost.has(digest) ? undefined : content.tryRead(digest));
  const attestations = new Set<Digest>();

  const allIndexes = new Set(indexes);
  for (const outermost of indexes) {
    const { all, documents } = indexTree(content, outermost);
    const variants = imagesOfIndex(state, outermost);
    for (const digest of all) {
      allIndexes.add(digest);
      for (const { imageId } of variants) use(digest, imageId);
    }
    for (const [digest, index] of documents) {
      if (lost.has(digest)) continue;
      for (const { manifest: subject, imageId } of variants) {
        for (const held of heldAttestations(content, index, (other) => other === subject)) {
          const { descriptor, manifest } = held;
          attestations.add(descriptor.digest);
          configs.add(manifest.config.digest);
          for (const { digest: blob, size } of manifest.layers) layerBlobs.set(blob, size);
          for (const blob of blobsOf(held)) use(blob, imageId);
        }
      }
    }
  }
  for (const { manifest, image } of manifestsOf(state, images, indexes)) {
    use(manifest, image.id);
    use(image.id, image.id);
    const bytes = read(manifest);
    if (bytes === undefined) continue;
    const layers = parseManifest(bytes).layers;
    for (const [at, { digest, size }] of layers.entries()) {
      use(digest, image.id);
      layerBlobs.set(digest, size);
      const chainId = image.chainIds[at];
      if (chainId !== undefined && content.has(digest) && !lost.has(digest)) sources.set(chainId, digest);
    }
  }
  for (const image of images.values()) {
    const bytes = read(image.id);
    const problem = bytes === undefined ? undefined : contradictionIn(image, bytes);
    if (problem !== undefined) faults.push({ id: image.id, problem, images: [image.id] });
  }

  return {
    documents: new Set([...allIndexes, ...manifests, ...attestations, ...configs]),
    manifests: new Set([...allIndexes, ...manifests, ...attestations]),
    layerBlobs,
    layers: recordedLayers(state, sources),
    faults,
    usersOf: (digest) => [...(users.get(digest) ?? [])],
    imagesOn: (chainId) =>
      [...images.values()].filter(({ chainIds }) => chainIds.includes(chainId)).map(({ id }) => id),
    namesFor: (digest) =>
      repositoryNames([...(users.get(digest) ?? [])].flatMap((id) => images.get(id) ?? [])),
    describe: (ids) => ids.flatMap((id) => describeImage(images.get(id), id)),
  };
}

/** Each image with its own manifest, and with those under which indexes know it. */
function* manifestsOf(
  state: State,
  images: ReadonlyMap<ImageId, ImageRecord>,
  indexes: ReadonlySet<Digest>,
): Generator<{ manifest: Digest; image: ImageRecord }> {
  for (const image of images.values()) yield { manifest: image.manifest, image };
  for (const index of indexes) {
    for (const { manifest, imageId } of imagesOfIndex(state, index)) {
      const image = images.get(imageId);
      if (image !== undefined) yield { manifest, image };
    }
  }
}

function contradictionIn(image: ImageRecord, config: Uint8Array): string | undefined {
  try {
    const expected = chainIdsOf(parseConfig(config).rootfs.diff_ids);
    const isSame =
      expected.length === image.chainIds.length && expected.every((id, at) => id === image.chainIds[at]);
    return isSame
      ? undefined
      : `its record has ${image.chainIds.length} layers that are not the ${expected.length} of its config: ` +
          "remove the image and pull or load it again";
  } catch (error) {
    if (!(error instanceof DavitError)) throw error;
    return error.message;
  }
}

function recordedLayers(state: State, sources: ReadonlyMap<ChainId, Digest>): InventoryLayer[] {
  const rows = state.db
    .query<{ chain_id: ChainId; diff_id: DiffId; parent: ChainId | null }, []>(
      `WITH RECURSIVE stack (depth, chain_id, diff_id, parent) AS (
         SELECT 0, chain_id, diff_id, parent FROM layers WHERE parent IS NULL
         UNION ALL
         SELECT depth + 1, l.chain_id, l.diff_id, l.parent FROM stack JOIN layers l ON l.parent = stack.chain_id
       )
       SELECT chain_id, diff_id, parent FROM stack ORDER BY depth`,
    )
    .all();
  return rows.map(({ chain_id, diff_id, parent }) => ({
    chainId: chain_id,
    diffId: diff_id,
    parent: parent ?? undefined,
    blob: sources.get(chain_id),
  }));
}

/** Digest references first: they came from a registry. A tag may have been given here. */
function repositoryNames(images: readonly ImageRecord[]): string[] {
  const names = [
    ...images.flatMap(({ repoDigests }) => repoDigests),
    ...images.flatMap(({ variantOf }) => variantOf),
    ...images.flatMap(({ tags }) => tags),
  ];
  const repositories = new Map<string, string>();
  for (const name of names) {
    const repository = name.replace(/@.*$/, "").replace(/:[^/]*$/, "");
    if (!repositories.has(repository)) repositories.set(repository, name);
  }
  return [...repositories.values()];
}

/** A platform beside the one that a name stands for has that name through its index only. */
function describeImage(image: ImageRecord | undefined, id: ImageId): string[] {
  if (image === undefined) return [shortId(id)];
  const tags = image.tags.length > 0 ? image.tags : image.variantOf.filter((name) => !name.includes("@"));
  return tags.length === 0 ? [shortId(id)] : tags.map(familiarOfCanonical);
}
