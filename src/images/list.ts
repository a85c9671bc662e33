/** `images`: the images here, the newest first. */
import type { ImageSummary } from "../core/objects.ts";
import { type ImageStores, repairImages } from "./collect.ts";
import { type Filters, isNameless, type ListedImage, parseImageFilters } from "./filters.ts";
import { parseConfig } from "./manifest.ts";
import { allImages, findImage, type ImageRecord } from "./records.ts";
import { familiarOfCanonical } from "./references.ts";
import { unixSeconds } from "./times.ts";

export interface ListOptions {
  /** Also images without a name that others were built on. */
  all?: boolean;
  filters?: Filters;
}

/** @throws InvalidParameter for an unknown filter or a bad value; NotFound for `before` and `since`. */
export async function listImages(stores: ImageStores, options: ListOptions = {}): Promise<ImageSummary[]> {
  await repairImages(stores);
  const { state, content } = stores;
  const describe = (record: ImageRecord): ListedImage => {
    // One damaged image must not hide the others, nor itself.
    const bytes = content.tryRead(record.id);
    if (bytes === undefined) return { record, labels: {}, created: unixSeconds(undefined) };
    const config = parseConfig(bytes);
    return { record, labels: config.config.Labels ?? {}, created: unixSeconds(config.created) };
  };
  const images = allImages(state).map(describe);
  const parents = new Set(images.map(({ record }) => record.parent));
  const filter = parseImageFilters(
    options.filters ?? {},
    (reference) => describe(findImage(state, reference)),
    (id) => parents.has(id),
  );
  return images
    .flatMap((image) => {
      const names = filter(image);
      const isIntermediate = isNameless(image.record) && parents.has(image.record.id);
      return names === undefined || (isIntermediate && !options.all) ? [] : [summaryOf(image, names)];
    })
    .sort((a, b) => b.Created - a.Created);
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
    Created: created,
    Size: record.size,
    SharedSize: -1,
    Labels: Object.keys(labels).length === 0 ? null : labels,
    Containers: -1,
  };
}
