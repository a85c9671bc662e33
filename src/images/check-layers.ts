/**
 * Compares unpacked layers with their blobs. A tar cannot be made again byte by byte from what it was unpacked to. So a
 * layer's files are held against the entries of its blob while that is read; where not all is plainly right, the blob is
 * unpacked once more, beside, by the same rules, and the two trees are compared: that finds out what is wrong, if
 * anything is. Where they differ, the fresh one takes the place of the other.
 */
import { Conflict, messageOf } from "../core/errors.ts";
import type { ChainId, DiffId } from "../core/ids.ts";
import { compareEntries } from "./check-entries.ts";
import type { ImageStores } from "./collect.ts";
import { compareTrees } from "./compare-trees.ts";
import { applyLayer } from "./layers/apply.ts";
import { unpackKey } from "./leases.ts";

export interface LayerToCheck {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly parent: ChainId | undefined;
  /** The intact blob that it was unpacked from. */
  readonly blob: string;
}

export interface LayerFault {
  readonly kind: "layer" | "snapshot" | "record";
  readonly problem: string;
  readonly repaired: boolean;
}

export interface CheckedLayer {
  readonly fault: LayerFault | undefined;
  /** False when it could not be compared: `fault` says why. */
  readonly intact: boolean;
  readonly bytesRead: number;
}

/** Whoever calls has leased the layer, and has checked its parent before. @throws LinuxError ENOSPC */
export async function checkLayer(
  stores: ImageStores,
  layer: LayerToCheck,
  options: { repair: boolean; signal: AbortSignal },
): Promise<CheckedLayer> {
  const { snapshots } = stores;
  if (snapshots.problemOf(layer.chainId) === undefined) {
    // The quick way, which writes nothing, is enough for nearly all.
    const target = await snapshots.layerTarget(layer.chainId);
    const { verdict, bytesRead } = await compareEntries(layer.blob, layer.diffId, target, options.signal);
    if (verdict === "intact") return { fault: undefined, intact: true, bytesRead };
  }
  return await unpackAndCompare(stores, layer, options);
}

async function unpackAndCompare(
  stores: ImageStores,
  layer: LayerToCheck,
  options: { repair: boolean; signal: AbortSignal },
): Promise<CheckedLayer> {
  const { snapshots } = stores;
  const key = unpackKey();
  await snapshots.prepare(key, layer.parent);
  try {
    const fresh = await snapshots.layerTarget(key);
    const { diffId, tarSize } = await applyLayer({ path: layer.blob }, fresh, {
      hash: true,
      signal: options.signal,
    });
    if (diffId !== layer.diffId) {
      const problem = `its blob unpacks to ${diffId}, and the image expects ${layer.diffId}`;
      return { fault: { kind: "record", problem, repaired: false }, intact: false, bytesRead: tarSize };
    }
    if (!(await snapshots.has(layer.chainId))) {
      const problem = "it is not unpacked";
      const repaired = options.repair && (await committed(stores, key, layer.chainId));
      return { fault: { kind: "snapshot", problem, repaired }, intact: repaired, bytesRead: tarSize };
    }
    const { path } = await snapshots.layerTarget(layer.chainId);
    const compared = await compareTrees(fresh.path, path, options.signal);
    const bytesRead = tarSize + compared.bytesRead;
    if (compared.count === 0) return { fault: undefined, intact: true, bytesRead };
    const more = compared.count - compared.differences.length;
    const found = compared.differences.join("; ") + (more > 0 ? `; and ${more} more` : "");
    if (!options.repair)
      return { fault: { kind: "layer", problem: found, repaired: false }, intact: false, bytesRead };
    const obstacle = await replaced(stores, key, layer.chainId);
    const problem = obstacle === undefined ? found : `${found}; ${obstacle}`;
    const repaired = obstacle === undefined;
    return { fault: { kind: "layer", problem, repaired }, intact: repaired, bytesRead };
  } finally {
    await snapshots.remove(key);
  }
}

/** @returns why it cannot be. */
async function replaced(
  { snapshots }: ImageStores,
  key: string,
  chainId: ChainId,
): Promise<string | undefined> {
  try {
    await snapshots.replace(key, chainId);
    return undefined;
  } catch (error) {
    if (!(error instanceof Conflict)) throw error;
    return `it is in use: stop the containers that stand on it, then repair again (${messageOf(error)})`;
  }
}

/** True also when another process has unpacked it meanwhile. */
async function committed({ snapshots }: ImageStores, key: string, chainId: ChainId): Promise<boolean> {
  try {
    await snapshots.commit(key, chainId);
  } catch (error) {
    if (!(error instanceof Conflict)) throw error;
  }
  return true;
}
