/** `rmi --platform`: takes single platforms of a name away; the name goes with the last of them. */
import { NotFound } from "../core/errors.ts";
import type { Digest } from "../core/ids.ts";
import type { ImageDeleteItem } from "../core/objects.ts";
import type { State } from "../state/state.ts";
import { type ImageStores, repairImages } from "./collect.ts";
import {
  type IndexedImage,
  imagesOfIndex,
  namesOfIndex,
  recordIndex,
  removeVariant,
} from "./index-records.ts";
import { formatPlatform, matchPlatform, parsePlatform } from "./platform.ts";
import { findImage, imageById, isNameless, standFor } from "./records.ts";
import { Removal, type RemoveOptions, removeImage, removeTogether } from "./remove.ts";
import { imageFor, namedVariants } from "./variants.ts";

/**
 * Of an index, all names that lead to it lose the platforms: what is stored is the index's, not the name's. Where
 * none would be left, only this name goes.
 * @param platforms `os/arch[/variant]`, at least one.
 * @returns what was untagged and deleted; the manifest of a platform whose image is known by another name, too.
 * @throws NotFound when there is no such image, or none for a platform; Conflict when a container uses one;
 *   InvalidParameter. Then nothing has changed.
 */
export async function removePlatforms(
  stores: ImageStores,
  reference: string,
  platforms: readonly string[],
  options: RemoveOptions = {},
): Promise<ImageDeleteItem[]> {
  const wanted = platforms.map(parsePlatform);
  await repairImages(stores);
  const variants = namedVariants(stores.state, reference);
  if (variants === undefined) {
    for (const platform of wanted) imageFor(stores, reference, platform);
    return await removeImage(stores, reference, options);
  }
  findImage(stores.state, reference);
  const chosen = new Set(
    wanted.map((platform) => {
      const at = matchPlatform(
        variants.images.map((image) => image.platform),
        platform,
      );
      const found = at === undefined ? undefined : variants.images[at];
      if (found !== undefined) return found;
      throw new NotFound(
        `image with reference ${reference} was found but does not provide the specified platform ` +
          `(${formatPlatform(platform)})`,
      );
    }),
  );
  if (chosen.size === variants.images.length) return await removeImage(stores, reference, options);
  const { items } = await removeTogether(stores, (state) => {
    const removal = new Removal(state, stores.content, options);
    for (const variant of chosen) removeOne(state, removal, variants.index, variant);
    return removal;
  });
  return items;
}

function removeOne(state: State, removal: Removal, index: Digest, variant: IndexedImage): void {
  removeVariant(state, index, variant.manifest);
  const [next] = imagesOfIndex(state, index);
  for (const name of namesOfIndex(state, index)) {
    // The name stands for another platform from now on: this machine's if it is here.
    if (next !== undefined) standFor(state, name, next.imageId);
    recordIndex(state, name, { digest: index, images: [] });
  }
  const image = imageById(state, variant.imageId);
  if (image !== undefined && isNameless(image)) removal.run(image.id);
  else removal.items.push({ Deleted: variant.manifest });
}
