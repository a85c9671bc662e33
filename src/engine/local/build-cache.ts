/** `build-cache ls` and `builder prune`. */
import { listCache, pruneCache } from "../../build/cache/prune.ts";
import { collect, repairImages } from "../../images/collect.ts";
import { lock } from "../../state/locks.ts";
import type { BuildCacheRecord, PruneBuildCacheOptions } from "../build.ts";
import { roomsOf } from "./build-rooms.ts";
import type { Local } from "./local.ts";

export async function listBuildCache(local: Local): Promise<BuildCacheRecord[]> {
  await repairImages(local);
  return listCache(roomsOf(local));
}

export async function pruneBuildCache(
  local: Local,
  options: PruneBuildCacheOptions = {},
): Promise<{ removed: string[]; bytes: number }> {
  await repairImages(local);
  const pruned = await pruneCache(roomsOf(local), options);
  // Layers that only the cache had kept.
  using _lock = await lock(local.instance, "images");
  await collect(local);
  return pruned;
}
