/** `history`: how an image came to be, the newest step first. */
import type { ImageHistoryItem } from "../core/objects.ts";
import type { ImageStores } from "./collect.ts";
import { parseConfig } from "./manifest.ts";
import { parsePlatform } from "./platform.ts";
import { familiarTags, imageById, layerByChain } from "./records.ts";
import { unixSeconds } from "./times.ts";
import { imageFor } from "./variants.ts";

/**
 * The config tells the steps; sizes are those of the layers here. A step has an id where the image that it made is
 * known, and is `<missing>` otherwise.
 * @throws NotFound, also where the image is not here for the platform; InvalidParameter for a malformed platform.
 */
export function imageHistory(
  stores: Pick<ImageStores, "state" | "content">,
  reference: string,
  options: { platform?: string } = {},
): ImageHistoryItem[] {
  const { state, content } = stores;
  const platform = options.platform ? parsePlatform(options.platform) : undefined;
  const { record } = imageFor(stores, reference, platform);
  const sizes = record.chainIds.map((chainId) => layerByChain(state, chainId)?.size ?? 0);
  const items = parseConfig(content.read(record.id)).history.map(
    (step): ImageHistoryItem => ({
      Id: "<missing>",
      Created: unixSeconds(step.created),
      CreatedBy: step.created_by ?? "",
      Tags: null,
      Size: step.empty_layer === true ? 0 : (sizes.shift() ?? 0),
      Comment: step.comment ?? "",
    }),
  );
  items.reverse();
  let image: typeof record | undefined = record;
  for (const item of items) {
    if (image === undefined) break;
    item.Id = image.id;
    item.Tags = image.tags.length === 0 ? null : familiarTags(image);
    image = image.parent === undefined ? undefined : imageById(state, image.parent);
  }
  return items;
}
