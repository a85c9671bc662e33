/** Lists and prunes what builds have left: results of steps, and the directories of cache mounts. */

import { Conflict } from "../../core/errors.ts";
import { isDigest } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import { uppermostFirst } from "../../images/layer-order.ts";
import { statSync } from "../../linux/files.ts";
import { treeUsage } from "../../storage/usage.ts";
import type { BuildRooms } from "../rooms.ts";
import { oldestWork } from "./in-flight.ts";
import { mountsRoot, openMountLock, removeCacheDirectory } from "./mounts.ts";
import { claimResult, forgetResult, releaseResult } from "./results.ts";

/** Of the build cache: the result of a step, or a cache mount. */
export interface CacheEntry {
  readonly id: string;
  readonly kind: "step" | "mount";
  readonly description: string;
  /** An image has its files as a layer, or a build uses it right now. */
  readonly inUse: boolean;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly usedAt: number;
  readonly uses: number;
}

interface Row {
  id: string;
  description: string;
  size: number;
  created_at: number;
  used_at: number;
  uses: number;
}

/** The ones used last at the end. */
export function listCache(rooms: BuildRooms): CacheEntry[] {
  return [...steps(rooms), ...mounts(rooms)].sort((left, right) => left.usedAt - right.usedAt);
}

function steps({ state }: BuildRooms): CacheEntry[] {
  return state.db
    .query<Row & { in_use: number }, []>(
      `SELECT id, description, size, created_at, used_at, uses,
              snapshot IN (SELECT chain_id FROM image_layers) AS in_use
         FROM build_results WHERE maker IS NULL`,
    )
    .all()
    .map((row) => ({ ...fromRow(row), kind: "step", inUse: row.in_use !== 0 }));
}

function mounts(rooms: BuildRooms): CacheEntry[] {
  const { dataRoot } = rooms.instance;
  return rooms.state.db
    .query<Omit<Row, "size">, []>("SELECT id, description, created_at, used_at, uses FROM build_mounts")
    .all()
    .map((row) => {
      using lock = openMountLock(rooms, row.id);
      const path = join(mountsRoot(dataRoot), row.id);
      const isThere = statSync(path, { throwIfNoEntry: false }) !== undefined;
      const size = isThere ? treeUsage(path).bytes : 0;
      return { ...fromRow({ ...row, size }), kind: "mount", inUse: !lock.take("exclusive") };
    });
}

function fromRow({ id, description, size, created_at, used_at, uses }: Row) {
  return { id, description, size, createdAt: created_at, usedAt: used_at, uses };
}

export interface PruneOptions {
  /** Also cache mounts, and results whose files an image keeps. */
  readonly all?: boolean;
  /** Milliseconds. */
  readonly unusedFor?: number;
  /** Bytes to keep: what was used last stays. */
  readonly keepBytes?: number;
}

/**
 * Removes entries, those not used for the longest time first, until no more than `keepBytes` are left. What a running
 * build uses stays: every build marks what it uses, and nothing is touched that was used since the oldest one began.
 */
export async function pruneCache(
  rooms: BuildRooms,
  options: PruneOptions = {},
): Promise<{ removed: string[]; bytes: number }> {
  const before = Math.min(Date.now() - (options.unusedFor ?? 0), oldestWork(rooms));
  const entries = listCache(rooms);
  const total = entries.reduce((sum, { size }) => sum + size, 0);
  const candidates = entries.filter(
    ({ usedAt, inUse, kind }) =>
      usedAt <= before && (options.all === true || !inUse) && (kind === "step" || !inUse),
  );
  const surplus = options.keepBytes === undefined ? Number.POSITIVE_INFINITY : total - options.keepBytes;
  const chosen: CacheEntry[] = [];
  for (let left = surplus, at = 0; left > 0 && at < candidates.length; at += 1) {
    const entry = candidates[at];
    if (entry === undefined) break;
    chosen.push(entry);
    left -= entry.size;
  }
  const removed = await removeSteps(
    rooms,
    new Set(chosen.filter(({ kind }) => kind === "step").map(({ id }) => id)),
    before,
  );
  for (const { id, kind } of chosen) {
    if (kind !== "mount") continue;
    try {
      removeCacheDirectory(rooms, id);
      removed.push(id);
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
    }
  }
  const gone = new Set(removed);
  return {
    removed,
    bytes: chosen.reduce((sum, { id, size, inUse }) => sum + (gone.has(id) && !inUse ? size : 0), 0),
  };
}

/** Results that others stand on stay until those go. */
async function removeSteps(
  { state, snapshots }: BuildRooms,
  ids: ReadonlySet<string>,
  before: number,
): Promise<string[]> {
  const rows = state.db
    .query<{ id: string; snapshot: string }, []>("SELECT id, snapshot FROM build_results WHERE maker IS NULL")
    .all()
    .filter(({ id }) => ids.has(id));
  const bySnapshot = new Map(rows.map(({ id, snapshot }) => [snapshot, id]));
  const removed: string[] = [];
  for (const snapshot of await uppermostFirst(snapshots, [...bySnapshot.keys()])) {
    const id = bySnapshot.get(snapshot);
    // A build may have come to use it meanwhile.
    if (id === undefined || claimResult(state, id, before) === undefined) continue;
    try {
      // An image's layer is the image's: only the record goes.
      if (!isDigest(snapshot)) await snapshots.remove(snapshot);
    } catch (error) {
      releaseResult(state, id);
      if (error instanceof Conflict) continue;
      throw error;
    }
    forgetResult(state, id);
    removed.push(id);
  }
  return removed;
}
