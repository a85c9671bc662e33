/** `images`: the images here, the newest first. */
import type { Filters } from "../core/filters.ts";
import type { ChainId, Digest } from "../core/ids.ts";
import type { ImageSummary } from "../core/objects.ts";
import type { State } from "../state/state.ts";
import { type ImageStores, repairImages } from "./collect.ts";
import { type ListedImage, parseImageFilters } from "./filters.ts";
import { variantsOf } from "./index-records.ts";
import { parseConfig } from "./manifest.ts";
import { manifestSummaries, usersOf } from "./manifest-summaries.ts";
import { allImages, findImage, type ImageRecord, isNameless, layerByChain } from "./records.ts";
import { familiarOfCanonical } from "./references.ts";
import { unixNanoseconds, unixSeconds } from "./times.ts";
import { descriptorObject, storedDescriptor } from "./transports/stored-image.ts";

export interface ListOptions {
  /** Also images without a name that others were built on, and platforms that no name stands for by itself. */
  all?: boolean;
  filters?: Filters;
  /** Fill SharedSize: bytes of layers that another listed image stands on too. */
  sharedSize?: boolean;
  /** Fill Containers. */
  containers?: boolean;
  /** Fill Manifests: the platforms of each name. */
  manifests?: boolean;
}

/** @throws InvalidParameter for an unknown filter or a bad value; NotFound for `before` and `since`. */
export async function listImages(stores: ImageStores, options: ListOptions = {}): Promise<ImageSummary[]> {
  await repairImages(stores);
  const { state, content } = stores;
  const describe = (record: ImageRecord): ListedImage => {
    // One damaged image must not hide the others, nor itself.
    const bytes = content.tryRead(record.id);
    if (bytes === undefined) return { record, labels: {}, created: undefined };
    const { created, config } = parseConfig(bytes);
    return {
      record,
      labels: config.Labels ?? {},
      created: created === undefined ? undefined : unixNanoseconds(created),
    };
  };
  const images = allImages(state).map(describe);
  const parents = new Set(images.map(({ record }) => record.parent));
  const filter = parseImageFilters(options.filters ?? {}, (reference) =>
    describe(findImage(state, reference)),
  );
  const listed = images.flatMap((image) => {
    const names = filter(image);
    return names === undefined || (isHidden(image.record, parents) && !options.all) ? [] : [{ image, names }];
  });
  const shared = options.sharedSize ? sharedSizes(state, listed) : undefined;
  const users = options.containers || options.manifests ? usersOf(state) : undefined;
  return listed
    .map(({ image, names }) => {
      const summary = summaryOf(image, names);
      const { record } = image;
      if (shared !== undefined) summary.SharedSize = shared(record);
      if (options.containers && users !== undefined) summary.Containers = users(record.id).length;
      const index = indexOf(state, record);
      if (index !== undefined && content.has(index)) {
        summary.Descriptor = descriptorObject(storedDescriptor(content, index, "index"));
      }
      if (options.manifests && users !== undefined) {
        summary.Manifests = manifestSummaries(stores, record, index, users);
      }
      return summary;
    })
    .sort((a, b) => b.Created - a.Created);
}

/** What is shown only when all is asked for: steps of a build, and platforms beside the one that a name stands for. */
function isHidden(record: ImageRecord, parents: ReadonlySet<ImageRecord["parent"]>): boolean {
  if (isNameless(record)) return parents.has(record.id);
  return record.tags.length + record.repoDigests.length === 0;
}

function summaryOf(
  { record, labels, created }: ListedImage,
  names: Pick<ImageRecord, "tags" | "repoDigests">,
): ImageSummary {
  return {
    Id: record.id,
    ParentId: record.parent ?? "",
    RepoTags: names.tags.map(familiarOfCanonical),
    RepoDigests: names.repoDigests.map(familiarOfCanonical),
    Created: created === undefined ? unixSeconds(undefined) : Number(created / 1_000_000_000n),
    Size: record.size,
    SharedSize: -1,
    Labels: Object.keys(labels).length === 0 ? null : labels,
    Containers: -1,
  };
}

/** The index that the first of an image's own names leads to, of those that lead to one. */
function indexOf(state: State, record: ImageRecord): Digest | undefined {
  if (record.variantOf.length === 0) return undefined;
  const name = [...record.tags, ...record.repoDigests].find(
    (reference) => variantsOf(state, reference) !== undefined,
  );
  return name === undefined ? undefined : variantsOf(state, name)?.index;
}

function sharedSizes(
  state: State,
  listed: readonly { image: ListedImage }[],
): (record: ImageRecord) => number {
  const uses = new Map<ChainId, number>();
  for (const { image } of listed) {
    for (const chainId of image.record.chainIds) uses.set(chainId, (uses.get(chainId) ?? 0) + 1);
  }
  return ({ chainIds }) =>
    chainIds.reduce(
      (sum, chainId) => sum + ((uses.get(chainId) ?? 0) > 1 ? (layerByChain(state, chainId)?.size ?? 0) : 0),
      0,
    );
}
