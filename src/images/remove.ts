/** `rmi`: takes names away and, with the last of them, the image; then what nothing uses any more. */
import { Conflict } from "../core/errors.ts";
import { type ChainId, type ImageId, shortId } from "../core/ids.ts";
import type { ImageDeleteItem } from "../core/objects.ts";
import { appendEvent, ringBell } from "../state/events.ts";
import { lock } from "../state/locks.ts";
import type { State } from "../state/state.ts";
import { type ImageUser, imageUsers } from "../state/working-containers.ts";
import { collect, type ImageStores, repairImages } from "./collect.ts";
import type { ContentStore } from "./content.ts";
import { imageEvent } from "./events.ts";
import { indexText } from "./index-file.ts";
import { variantsOf } from "./index-records.ts";
import { parseConfig } from "./manifest.ts";
import {
  childrenOf,
  deleteImage,
  findImage,
  type ImageRecord,
  imageById,
  isNameless,
  layerByChain,
  removeReference,
} from "./records.ts";
import {
  canonicalForm,
  familiarOfCanonical,
  parseReference,
  repositoryOf,
  withDefaultTag,
} from "./references.ts";

export interface RemoveOptions {
  force?: boolean;
  /** Leave parents that have no name of their own. */
  noPrune?: boolean;
}

/**
 * @returns what was untagged and deleted, in Docker's order: an image, then the layers that went with it, the
 *   uppermost first.
 * @throws NotFound; Conflict in Docker's words when a container, a child or another name is in the way.
 */
export async function removeImage(
  stores: ImageStores,
  reference: string,
  options: RemoveOptions = {},
): Promise<ImageDeleteItem[]> {
  stores.state.makeRoom();
  await repairImages(stores);
  const { items } = await removeTogether(stores, (state) => {
    const removal = new Removal(state, stores.content, options);
    removal.run(reference);
    return removal;
  });
  return items;
}

export interface Removed {
  items: ImageDeleteItem[];
  /** Bytes of the layers that went. */
  freed: number;
}

/** Runs removals in one transaction, then collects what nothing needs any more. */
export async function removeTogether(
  stores: ImageStores,
  work: (state: State) => Pick<Removal, "items" | "deleted">,
): Promise<Removed> {
  const { state, content } = stores;
  // The lock first: with it nobody unpacks a layer for an image that stands on the ones about to go.
  using _lock = await lock(state.instance, "images");
  using _session = content.openSession();
  const { items, deleted } = state.transaction(() => {
    const done = work(state);
    content.writeIndex(indexText(state, content));
    return done;
  });
  ringBell(state.instance);
  if (deleted.length === 0) return { items: [...items], freed: 0 };
  const sizes = new Map(
    deleted.flatMap(({ chainIds }) => chainIds).map((id) => [id, layerByChain(state, id)?.size ?? 0]),
  );
  const layers = await collect(stores);
  const freed = layers.reduce((sum, chainId) => sum + (sizes.get(chainId) ?? 0), 0);
  return { items: withLayers(items, deleted, layers), freed };
}

/** Each layer stands behind the last image that needed it. */
function withLayers(
  items: readonly ImageDeleteItem[],
  deleted: readonly ImageRecord[],
  layers: readonly ChainId[],
): ImageDeleteItem[] {
  const lastUser = new Map(deleted.flatMap(({ id, chainIds }) => chainIds.map((chainId) => [chainId, id])));
  const layersOf = (id: string | undefined): ImageDeleteItem[] =>
    layers.filter((chainId) => lastUser.get(chainId) === id).map((chainId) => ({ Deleted: chainId }));
  const placed = items.flatMap((item): ImageDeleteItem[] =>
    "Deleted" in item ? [item, ...layersOf(item.Deleted)] : [item],
  );
  return [...placed, ...layersOf(undefined)];
}

/** The part that is one transaction. Rules and words as in Docker's image service. */
export class Removal {
  readonly items: ImageDeleteItem[] = [];
  /** As they were. */
  readonly deleted: ImageRecord[] = [];
  /** Platforms that a name which is gone had beside the one that it stood for. */
  private readonly orphans = new Set<ImageId>();
  private readonly state: State;
  private readonly content: ContentStore;
  private readonly force: boolean;
  private readonly prune: boolean;
  private readonly containers: readonly ImageUser[];

  constructor(
    state: State,
    content: ContentStore,
    options: RemoveOptions,
    containers: readonly ImageUser[] = imageUsers(state),
  ) {
    this.state = state;
    this.content = content;
    this.force = options.force ?? false;
    this.prune = !(options.noPrune ?? false);
    this.containers = containers;
  }

  run(reference: string): void {
    const image = findImage(this.state, reference);
    if (isIdOf(image, reference)) this.removeById(image);
    else this.removeByName(image, reference);
    for (const id of this.orphans) {
      const orphan = imageById(this.state, id);
      if (orphan !== undefined && isNameless(orphan)) {
        this.deleteAndPrune(id, { force: this.force, quiet: true });
      }
    }
  }

  private removeById(image: ImageRecord): void {
    if (isSingleReference(image)) {
      this.checkConflicts(image, { soft: !this.force, names: false });
      this.untagAll(image);
    }
    this.deleteAndPrune(image.id, { force: this.force, quiet: false });
  }

  private removeByName(image: ImageRecord, reference: string): void {
    const name = withDefaultTag(parseReference(reference));
    const canonical = canonicalForm(name.digest === undefined ? name : { ...name, tag: undefined });
    const affected = new Set([
      image.id,
      ...(variantsOf(this.state, canonical)?.images ?? []).map(({ imageId }) => imageId),
    ]);
    const user = this.containers.find(({ imageId }) => affected.has(imageId));
    if (!this.force && isSingleReference(image) && user !== undefined) {
      throw new Conflict(
        `conflict: unable to remove repository reference ${JSON.stringify(reference)} (must force) - ` +
          `container ${shortId(user.id)} is using its referenced image ${shortId(user.imageId)}`,
      );
    }
    this.untag(image, canonical);
    const repository = repositoryOf(name);
    const rest = this.reload(image);
    const inRepository = (canonical: string) => repositoryOf(parseReference(canonical)) === repository;
    // Digests of a repository go with its last tag.
    if (name.digest === undefined && !rest.tags.some(inRepository)) {
      for (const digest of rest.repoDigests.filter(inRepository)) this.untag(image, digest);
    }
    if (isNameless(this.reload(image))) {
      this.deleteAndPrune(image.id, { force: this.force, quiet: true });
    }
  }

  /** @param quiet a conflict leaves the image and is no failure, unless the image has become of no use to anyone. */
  private deleteAndPrune(id: ImageId, { force, quiet }: { force: boolean; quiet: boolean }): void {
    const image = imageById(this.state, id);
    if (image === undefined) return;
    const isNamed = image.tags.length + image.repoDigests.length > 0;
    try {
      this.checkConflicts(image, { soft: !force, names: true });
    } catch (error) {
      const isUsed = this.containers.some(({ imageId }) => imageId === id);
      if (
        quiet &&
        error instanceof Conflict &&
        (isNamed || isUsed || childrenOf(this.state, id).length > 0)
      ) {
        return;
      }
      throw error;
    }
    this.untagAll(image);
    appendEvent(this.state, this.event("delete", image));
    deleteImage(this.state, id);
    this.deleted.push(image);
    this.items.push({ Deleted: id });
    if (this.prune && image.parent !== undefined) {
      this.deleteAndPrune(image.parent, { force: false, quiet: true });
    }
  }

  private checkConflicts(image: ImageRecord, consider: { soft: boolean; names: boolean }): void {
    const fail = (hard: boolean, why: string): never => {
      const force = hard ? "cannot be forced" : "must be forced";
      throw new Conflict(`conflict: unable to delete ${shortId(image.id)} (${force}) - ${why}`);
    };
    if (childrenOf(this.state, image.id).length > 0) fail(true, "image has dependent child images");
    const users = this.containers.filter(({ imageId }) => imageId === image.id);
    const running = users.find(({ state }) => ["running", "paused", "restarting"].includes(state.status));
    if (running !== undefined) {
      fail(true, `image is being used by running container ${shortId(running.id)}`);
    }
    if (!consider.soft) return;
    if (consider.names && image.tags.length + image.repoDigests.length > 0) {
      fail(false, "image is referenced in multiple repositories");
    }
    const [stopped] = users;
    if (stopped !== undefined) fail(false, `image is being used by stopped container ${shortId(stopped.id)}`);
  }

  private untagAll(image: ImageRecord): void {
    const { tags, repoDigests } = this.reload(image);
    for (const name of [...tags, ...repoDigests]) this.untag(image, name);
  }

  private untag(image: ImageRecord, canonical: string): void {
    for (const { imageId } of variantsOf(this.state, canonical)?.images ?? []) {
      if (imageId !== image.id) this.orphans.add(imageId);
    }
    removeReference(this.state, canonical);
    appendEvent(this.state, this.event("untag", image));
    this.items.push({ Untagged: familiarOfCanonical(canonical) });
  }

  private event(action: "untag" | "delete", image: ImageRecord): ReturnType<typeof imageEvent> {
    // Also an image that is damaged can be removed.
    const bytes = this.content.tryRead(image.id);
    return imageEvent(action, image.id, bytes === undefined ? {} : parseConfig(bytes).config);
  }

  private reload(image: ImageRecord): ImageRecord {
    return imageById(this.state, image.id) ?? image;
  }
}

/** True when the user gave the image's id or the beginning of it, not a name. */
function isIdOf(image: ImageRecord, reference: string): boolean {
  const hex = reference.replace(/^sha256:/, "");
  return image.id.startsWith(`sha256:${hex}`);
}

/** At most one tag, and no digests of other repositories. */
function isSingleReference({ tags, repoDigests }: ImageRecord): boolean {
  if (tags.length + repoDigests.length <= 1) return true;
  if (tags.length > 1) return false;
  const repositories = new Set([...tags, ...repoDigests].map((name) => repositoryOf(parseReference(name))));
  return repositories.size === 1;
}
