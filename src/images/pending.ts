/**
 * Layers that are used before they are safe from a power cut. A lazy pull records its image at once and syncs later;
 * in between, `pending_layers` names its layers and the boot that they were written in. A row of an earlier boot
 * means that the power failed first: nobody knows what of those files reached the disk, so that the layers and their
 * images are dropped, and the next pull fetches them again.
 *
 * Who records an image marks its new layers in the same transaction and clears them after the sync. Who records one
 * after a sync clears all of its layers in the same transaction: the sync covered those of others, too.
 */
import { Conflict } from "../core/errors.ts";
import { type ChainId, type ImageId, isDigest } from "../core/ids.ts";
import { syncFileSystem } from "../linux/disks.ts";
import { appendEvent, ringBell } from "../state/events.ts";
import type { State } from "../state/state.ts";
import type { ImageStores } from "./collect.ts";
import { imageEvent } from "./events.ts";
import { indexText } from "./index-file.ts";
import { uppermostFirst } from "./layer-order.ts";
import { deleteImage } from "./records.ts";

/** Part of the transaction that records an image before its layers are synced. */
export function markPending(state: State, chainIds: Iterable<ChainId>, bootId: string): void {
  const mark = state.db.query("INSERT OR REPLACE INTO pending_layers VALUES (?1, ?2)");
  for (const chainId of chainIds) mark.run(chainId, bootId);
}

/** After a sync that began when these layers were complete. Alone, or part of a transaction. */
export function clearPending(state: State, chainIds: Iterable<ChainId>): void {
  const clear = state.db.query("DELETE FROM pending_layers WHERE chain_id = ?1");
  for (const chainId of chainIds) clear.run(chainId);
}

/** True when the power failed before some layer was synced. One look at an empty table when nothing is pending. */
export function hasStalePending(state: State, bootId: () => string): boolean {
  const boots = state.db.query<{ boot: string }, []>("SELECT DISTINCT boot FROM pending_layers").all();
  return boots.length > 0 && boots.some(({ boot }) => boot !== bootId());
}

/**
 * Drops the layers that an earlier boot left pending, and the images that stand on them. A container that stands on
 * such a layer keeps it, under another name. Whoever calls holds the "images" lock exclusively, and collects after it.
 * Can be done again from wherever it was cut off.
 * @returns the images that were dropped.
 */
export async function dropStalePending(stores: ImageStores, bootId: string): Promise<ImageId[]> {
  const { state, content, snapshots } = stores;
  const stale = pendingLayers(state, (boot) => boot !== bootId);
  if (stale.length === 0) return [];
  const dropped = state.transaction(() => {
    const images = new Set(stale.flatMap((chainId) => imagesOn(state, chainId)));
    for (const id of images) {
      deleteImage(state, id);
      appendEvent(state, imageEvent("delete", id, {}));
    }
    for (const chainId of stale) state.db.query("DELETE FROM layers WHERE chain_id = ?1").run(chainId);
    content.writeIndex(indexText(state, content));
    return [...images];
  });
  if (dropped.length > 0) ringBell(state.instance);
  for (const chainId of await uppermostFirst(snapshots, stale)) {
    try {
      await snapshots.remove(chainId);
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      await snapshots.setAside(chainId);
    }
  }
  clearPending(state, stale);
  return dropped;
}

/**
 * Finishes what a lazy pull that was killed (not the machine) left to do: makes its layers safe. Whoever calls holds
 * the "images" lock exclusively.
 */
export async function settlePending(stores: ImageStores, bootId: string): Promise<void> {
  const pending = pendingLayers(stores.state, (boot) => boot === bootId);
  if (pending.length === 0) return;
  await stores.snapshots.sync();
  syncFileSystem(stores.content.path);
  clearPending(stores.state, pending);
}

function pendingLayers(state: State, isWanted: (boot: string) => boolean): ChainId[] {
  return state.db
    .query<{ chain_id: string; boot: string }, []>("SELECT chain_id, boot FROM pending_layers")
    .all()
    .flatMap(({ chain_id, boot }) => (isDigest(chain_id) && isWanted(boot) ? [chain_id as ChainId] : []));
}

function imagesOn(state: State, chainId: ChainId): ImageId[] {
  return state.db
    .query<{ image_id: ImageId }, [string]>("SELECT DISTINCT image_id FROM image_layers WHERE chain_id = ?1")
    .all(chainId)
    .map(({ image_id }) => image_id);
}
