/** `image prune`: removes images that no container uses. */
import { Conflict, InvalidParameter, NotFound } from "../core/errors.ts";
import { checkFilters, type Filters, hasLabels, parseFlag } from "../core/filters.ts";
import type { ImagesPruneResponse } from "../core/objects.ts";
import { emitEvent } from "../state/events.ts";
import type { State } from "../state/state.ts";
import { type ImageUser, imageUsers } from "../state/working-containers.ts";
import { type ImageStores, repairImages } from "./collect.ts";
import type { ContentStore } from "./content.ts";
import { parseTime } from "./filters.ts";
import { parseConfig } from "./manifest.ts";
import { allImages, childrenOf, hasTag, type ImageRecord, isNameless } from "./records.ts";
import { familiarOfCanonical } from "./references.ts";
import { Removal, removeTogether } from "./remove.ts";
import { unixNanoseconds } from "./times.ts";

/**
 * Removes images without a tag; with `dangling=false` all that no container uses. Further filters: `until`, `label`
 * and `label!`. Images that cannot go (a container, a child) stay without a word, as in Docker.
 * @throws InvalidParameter for an unknown filter or a bad value.
 */
export async function pruneImages(stores: ImageStores, filters: Filters = {}): Promise<ImagesPruneResponse> {
  const { danglingOnly, isMeant } = parsePruneFilters(filters);
  const { state, content } = stores;
  state.makeRoom();
  await repairImages(stores);
  const { items, freed } = await removeTogether(stores, () => {
    const all: Pick<Removal, "items" | "deleted"> = { items: [], deleted: [] };
    const containers = imageUsers(state);
    for (const image of allImages(state)) {
      if (danglingOnly ? hasTag(image) || childrenOf(state, image.id).length > 0 : isStep(state, image))
        continue;
      if (!isMeant(content, image)) continue;
      for (const reference of referencesOf(image)) {
        const removal = tryRemove(state, content, reference, containers);
        all.items.push(...(removal?.items ?? []));
        all.deleted.push(...(removal?.deleted ?? []));
      }
    }
    return all;
  });
  emitEvent(state, {
    Type: "image",
    Action: "prune",
    Actor: { ID: "", Attributes: { reclaimed: String(freed) } },
  });
  return { ImagesDeleted: items.length === 0 ? null : items, SpaceReclaimed: freed };
}

/** A step of a build that others stand on: it goes with the last of them. */
function isStep(state: State, image: ImageRecord): boolean {
  return isNameless(image) && childrenOf(state, image.id).length > 0;
}

/** What to remove for an image to go: all its names, or itself. One that goes with its index's name has neither. */
function referencesOf(image: ImageRecord): string[] {
  const names = [...image.tags, ...image.repoDigests].map(familiarOfCanonical);
  if (names.length > 0) return names;
  return image.variantOf.length > 0 ? [] : [image.id];
}

/** Undefined where something is in the way, or where the image went with one that came before. */
function tryRemove(
  state: State,
  content: ContentStore,
  reference: string,
  containers: readonly ImageUser[],
): Removal | undefined {
  const removal = new Removal(state, content, {}, containers);
  try {
    return state.transaction(() => {
      removal.run(reference);
      return removal;
    });
  } catch (error) {
    // A digest goes with the last tag of its repository.
    if (error instanceof Conflict || error instanceof NotFound) return undefined;
    throw error;
  }
}

interface PruneFilters {
  danglingOnly: boolean;
  isMeant(content: ContentStore, image: ImageRecord): boolean;
}

function parsePruneFilters(filters: Filters): PruneFilters {
  checkFilters(filters, ["dangling", "until", "label", "label!"]);
  const dangling = filters.dangling ?? [];
  const until = filters.until ?? [];
  if (until.length > 1) throw new InvalidParameter("more than one until filter specified");
  const [newest] = until.map(parseTime);
  const labels = filters.label ?? [];
  const unwanted = filters["label!"] ?? [];
  return {
    danglingOnly: dangling.length === 0 || parseFlag("dangling", dangling),
    isMeant: (content, image) => {
      if (newest === undefined && labels.length + unwanted.length === 0) return true;
      const bytes = content.tryRead(image.id);
      if (bytes === undefined) return false;
      const { created, config } = parseConfig(bytes);
      const own = config.Labels ?? {};
      return (
        (newest === undefined || isUntil(created, newest)) &&
        hasLabels(own, labels) &&
        !(unwanted.length > 0 && hasLabels(own, unwanted))
      );
    },
  };
}

function isUntil(created: string | undefined, limit: bigint): boolean {
  const time = created === undefined ? undefined : unixNanoseconds(created);
  return time !== undefined && time <= limit;
}
