/** `build-cache ls` and `builder prune`. */
import { type CacheEntry, listCache, type PruneOptions, pruneCache } from "../../build/cache/prune.ts";
import { collect, repairImages } from "../../images/collect.ts";
import { lock } from "../../state/locks.ts";
import { roomsOf } from "./build-rooms.ts";
import type { Local } from "./local.ts";

/** The entries used last at the end. */
export async function listBuildCache(local: Local): Promise<CacheEntry[]> {
  await repairImages(local);
  return listCache(roomsOf(local));
}

/** Removes entries, and the layers that only they had kept. @returns ids, and the bytes that came free */
export async function pruneBuildCache(
  local: Local,
  options: PruneOptions = {},
): Promise<{ removed: string[]; bytes: number }> {
  await repairImages(local);
  const pruned = await pruneCache(roomsOf(local), options);
  // Layers that only the cache had kept.
  using _lock = await lock(local.instance, "images");
  await collect(local);
  return pruned;
}
