/**
 * `system check`: reads every blob and every unpacked layer and tells what is not as its digest says; with `repair`,
 * puts it right: blobs are fetched again, layers unpacked again from their blobs, and what nothing needs is removed.
 *
 * Runs beside other commands: what it looks at is leased (leases.ts), and the "images" lock is held for moments only.
 */
import { messageOf } from "../core/errors.ts";
import { type ChainId, type Digest, type ImageId, shortId } from "../core/ids.ts";
import type { StorageCheck, StorageFault } from "../core/objects.ts";
import { currentBootId } from "../linux/boot.ts";
import { syncFileSystem } from "../linux/disks.ts";
import { allContainers, operationOn } from "../state/containers.ts";
import { lock } from "../state/locks.ts";
import { allWorking, workingSnapshot } from "../state/working-containers.ts";
import { checkBlobs, replaceBlob } from "./check-blobs.ts";
import { checkLayer } from "./check-layers.ts";
import { type ImageInventory, takeInventory } from "./check-records.ts";
import { collect, collectForgottenLayers, type ImageStores, neededBlobs, strayLayers } from "./collect.ts";
import type { IngestSession } from "./content.ts";
import { lease } from "./leases.ts";
import { settlePending } from "./pending.ts";
import type { Report } from "./progress.ts";

/** A blob that is to be fetched again. */
export interface LostBlob {
  readonly digest: Digest;
  /** Registries keep indexes and manifests apart from other blobs. */
  readonly isManifest: boolean;
  /** Bytes, where that is known. */
  readonly size: number | undefined;
}

/**
 * Fetches a blob from the repository of a name (canonical: `docker.io/library/busybox@sha256:…` or `…:tag`).
 * @throws when the registry does not have it, or cannot be reached.
 */
export type FetchBlob = (blob: LostBlob, name: string, signal: AbortSignal) => AsyncIterable<Uint8Array>;

export interface CheckOptions {
  repair: boolean;
  fetchBlob: FetchBlob;
  report: Report;
  signal: AbortSignal;
}

/** What is damaged is told in the result, not thrown. */
export async function checkImages(stores: ImageStores, options: CheckOptions): Promise<StorageCheck> {
  try {
    using session = stores.content.openSession();
    return await new Check(stores, session, options).run();
  } finally {
    // What others gave up meanwhile stayed because of this check's leases.
    await collectForgottenLayers(stores);
  }
}

class Check {
  readonly #stores: ImageStores;
  readonly #session: IngestSession;
  readonly #options: CheckOptions;
  readonly #result: StorageCheck = { Blobs: 0, Layers: 0, BytesRead: 0, Faults: [] };
  /** Blobs that are missing, or not what their name says, and stay so. */
  readonly #lost = new Set<Digest>();

  constructor(stores: ImageStores, session: IngestSession, options: CheckOptions) {
    this.#stores = stores;
    this.#session = session;
    this.#options = options;
  }

  async run(): Promise<StorageCheck> {
    await this.#lookForStrays();
    await this.#checkBlobs();
    const inventory = takeInventory(this.#stores, this.#lost);
    for (const { id, problem, images } of inventory.faults) {
      this.#add(inventory, { Kind: "record", ID: id, Problem: problem }, images, false);
    }
    await this.#checkLayers(inventory);
    this.#checkContainers();
    if (this.#result.Faults.some(({ Repaired }) => Repaired)) await this.#makeDurable();
    return this.#result;
  }

  /** What nothing needs: left behind by a crash, and otherwise removed by the next command that looks. */
  async #lookForStrays(): Promise<void> {
    const { state, content, snapshots } = this.#stores;
    using _lock = await lock(state.instance, "images", { signal: this.#options.signal });
    const stray = (Kind: StorageFault["Kind"], ID: string, Problem: string) =>
      this.#result.Faults.push({ Kind, ID, Problem, Images: [], Repaired: this.#options.repair });
    const needed = neededBlobs(state, content);
    if (needed !== undefined) {
      for (const digest of content.list())
        if (!needed.has(digest)) stray("blob", digest, "no image needs it");
    }
    for (const key of await strayLayers(this.#stores)) stray("snapshot", key, "no image needs it");
    for (const directory of await snapshots.orphans()) {
      stray("snapshot", directory, "no record knows this directory");
    }
    if (!this.#options.repair) return;
    await settlePending(this.#stores, currentBootId());
    await collect(this.#stores);
  }

  async #checkBlobs(): Promise<void> {
    const { content } = this.#stores;
    const { signal, report } = this.#options;
    const present = content.list();
    const progress = (current: number, total: number) =>
      report({ id: "blobs", status: "Checking", progressDetail: { current, total } });
    const { damaged, count, bytesRead } = await checkBlobs(content, present, { progress, signal });
    this.#result.Blobs = count;
    this.#result.BytesRead += bytesRead;
    for (const digest of damaged.keys()) this.#lost.add(digest);
    // Documents first: what else is needed stands in them.
    const inventory = takeInventory(this.#stores, this.#lost);
    for (const digest of inventory.documents) await this.#checkBlob(inventory, digest, damaged.get(digest));
    const whole = takeInventory(this.#stores, this.#lost);
    for (const digest of whole.layerBlobs.keys()) await this.#checkBlob(whole, digest, damaged.get(digest));
    // The rest belongs to no image that is known: perhaps to one whose manifest is lost.
    for (const [digest, problem] of damaged) {
      if (inventory.documents.has(digest) || whole.layerBlobs.has(digest)) continue;
      this.#add(whole, { Kind: "blob", ID: digest, Problem: problem }, [], false);
    }
  }

  async #checkBlob(inventory: ImageInventory, digest: Digest, damage: string | undefined): Promise<void> {
    const problem = damage ?? (this.#stores.content.has(digest) ? undefined : "it is missing");
    if (problem === undefined) return;
    this.#lost.add(digest);
    const images = inventory.usersOf(digest);
    const fault = { Kind: "blob" as const, ID: digest, Problem: problem };
    if (!this.#options.repair) return this.#add(inventory, fault, images, false);
    const obstacle = await this.#fetchAgain(inventory, digest);
    if (obstacle === undefined) {
      this.#lost.delete(digest);
      return this.#add(inventory, fault, images, true);
    }
    // Nobody can use it, and while it is there it is taken for what it is not.
    this.#stores.content.remove(digest);
    this.#add(inventory, { ...fault, Problem: `${problem}; ${obstacle}` }, images, false);
  }

  /** @returns why it could not be. */
  async #fetchAgain(inventory: ImageInventory, digest: Digest): Promise<string | undefined> {
    const { fetchBlob, report, signal } = this.#options;
    const blob: LostBlob = {
      digest,
      isManifest: inventory.manifests.has(digest),
      size: inventory.layerBlobs.get(digest),
    };
    const reasons = new Set<string>();
    for (const name of inventory.namesFor(digest)) {
      report({ id: shortId(digest), status: `Fetching again from ${name}` });
      try {
        await replaceBlob(this.#session, digest, fetchBlob(blob, name, signal));
        return undefined;
      } catch (error) {
        signal.throwIfAborted();
        reasons.add(messageOf(error));
      }
    }
    const wayOut = "pull or load the image again";
    return reasons.size === 0
      ? `no registry is known to have it: ${wayOut}`
      : `it could not be fetched again (${[...reasons].join("; ")}): ${wayOut}`;
  }

  /** Parents first: a layer can be unpacked only on one that is right. */
  async #checkLayers(inventory: ImageInventory): Promise<void> {
    const { content, state } = this.#stores;
    const { repair, report, signal } = this.#options;
    const layers = await this.#leaseLayers(inventory);
    const broken = new Set<ChainId>();
    for (const [at, layer] of layers.entries()) {
      report({ id: "layers", status: `Checking ${at + 1} of ${layers.length}` });
      const images = inventory.imagesOn(layer.chainId);
      const fault = { Kind: "layer" as const, ID: layer.chainId };
      if (layer.blob === undefined) {
        // Of a layer that only a container stands on there may be no blob any more.
        if (!(await this.#stores.snapshots.has(layer.chainId)) && images.length > 0)
          broken.add(layer.chainId);
        continue;
      }
      if (layer.parent !== undefined && broken.has(layer.parent)) {
        broken.add(layer.chainId);
        this.#add(inventory, { ...fault, Problem: "not checked: the layer below is damaged" }, images, false);
        continue;
      }
      const checked = await checkLayer(
        this.#stores,
        { ...layer, blob: content.blobPath(layer.blob) },
        { repair, signal },
      );
      this.#result.Layers += 1;
      this.#result.BytesRead += checked.bytesRead;
      if (!checked.intact) broken.add(layer.chainId);
      if (checked.fault === undefined) continue;
      const { kind, problem, repaired } = checked.fault;
      this.#add(inventory, { Kind: kind, ID: layer.chainId, Problem: problem }, images, repaired);
    }
    if (repair) state.makeDurable();
  }

  /** From then on nobody removes them (leases.ts, rule 3). */
  async #leaseLayers(inventory: ImageInventory): Promise<ImageInventory["layers"]> {
    const { state } = this.#stores;
    using _lock = await lock(state.instance, "images", { mode: "shared", signal: this.#options.signal });
    const layers = inventory.layers.filter(
      ({ chainId }) => state.db.query("SELECT 1 FROM layers WHERE chain_id = ?1").get(chainId) !== null,
    );
    for (const { chainId } of layers) lease(this.#session, chainId);
    return layers;
  }

  #checkContainers(): void {
    const { state, snapshots } = this.#stores;
    for (const { id, name } of allContainers(state)) {
      // Somebody is making or removing it.
      if (operationOn(state, id) !== undefined) continue;
      const problem = snapshots.problemOf(id);
      if (problem === undefined) continue;
      const Problem = `${problem} (of container ${name.replace(/^\//, "")}, which cannot be started: remove it)`;
      this.#result.Faults.push({ Kind: "snapshot", ID: id, Problem, Images: [], Repaired: false });
    }
    for (const { id, name, state: kind } of allWorking(state)) {
      const problem = kind.status === "made" ? snapshots.problemOf(workingSnapshot(id)) : undefined;
      if (problem === undefined) continue;
      const Problem = `${problem} (of working container ${name}, which cannot be used: remove it)`;
      this.#result.Faults.push({ Kind: "snapshot", ID: id, Problem, Images: [], Repaired: false });
    }
  }

  #add(
    inventory: ImageInventory,
    fault: Pick<StorageFault, "Kind" | "ID" | "Problem">,
    images: readonly ImageId[],
    repaired: boolean,
  ): void {
    this.#result.Faults.push({ ...fault, Images: inventory.describe(images), Repaired: repaired });
  }

  async #makeDurable(): Promise<void> {
    await this.#stores.snapshots.sync();
    syncFileSystem(this.#stores.content.path);
    this.#stores.state.makeDurable();
  }
}
