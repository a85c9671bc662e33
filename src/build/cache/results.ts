/**
 * What the database knows of results of steps: the table build_results. The way of a row:
 *
 *     begin (maker is set) ─▶ the snapshot is committed ─▶ finish (it has its key) ─▶ synced ─▶ forget
 *
 * A row whose maker is dead, or that was written before the power failed, is as good as none.
 */
import type { DiffId } from "../../core/ids.ts";
import { isAlive, startTimeOf } from "../../linux/processes.ts";
import type { State } from "../../state/state.ts";

export interface ResultRecord {
  readonly id: string;
  readonly key: string;
  /** Of its snapshot, as it was called when this was read. */
  readonly snapshot: string;
  readonly diffId: DiffId | undefined;
  /** Newest time of its files; nanoseconds since 1970. */
  readonly fileTime: bigint;
  readonly description: string;
}

interface Row {
  id: string;
  key: string;
  description: string;
  snapshot: string;
  diff_id: DiffId | null;
  file_time: string;
}

/** Begins the keys of snapshots that are results and no image's layer. */
export const resultPrefix = "build-";

/** The result with this key, or with this other key; marks it as used. */
export function useResult(state: State, key: string, boot: string): ResultRecord | undefined {
  const row = state.db
    .query<Row, [string, number, string]>(
      `UPDATE build_results SET used_at = ?2, uses = uses + 1
         WHERE (key = ?1 OR (key IS NOT NULL AND id = (SELECT result_id FROM build_aliases WHERE key = ?1)))
           AND maker IS NULL AND (boot IS NULL OR boot = ?3)
         RETURNING id, key, snapshot, diff_id, file_time, description`,
    )
    .get(key, Date.now(), boot);
  return row === null ? undefined : fromRow(row);
}

/** What a result's snapshot is called now, and its layer, where that is known. */
export function resultById(state: State, id: string): ResultRecord | undefined {
  const row = state.db
    .query<Row, [string]>(
      `SELECT id, coalesce(key, '') AS key, snapshot, diff_id, file_time, description
         FROM build_results WHERE id = ?1`,
    )
    .get(id);
  return row === null ? undefined : fromRow(row);
}

/** True when a result was made on this snapshot. */
export function standsOn({ db }: State, id: string, below: string | undefined): boolean {
  const row = db
    .query<{ parent: string | null }, [string]>(
      "SELECT s.parent FROM build_results r JOIN snapshots s ON s.key = r.snapshot WHERE r.id = ?1",
    )
    .get(id);
  return row !== null && (row.parent ?? undefined) === below;
}

export function hasAlias({ db }: State, alias: string): boolean {
  return db.query("SELECT 1 FROM build_aliases WHERE key = ?1").get(alias) !== null;
}

/** The key of the result that has this other key. */
export function keyByAlias({ db }: State, alias: string): string | undefined {
  const row = db
    .query<{ key: string }, [string]>(
      `SELECT r.key FROM build_aliases a JOIN build_results r ON r.id = a.result_id
         WHERE a.key = ?1 AND r.key IS NOT NULL`,
    )
    .get(alias);
  return row?.key;
}

/** Other keys of a result, those that came last at the head. */
export function aliasesOf({ db }: State, id: string): string[] {
  return db
    .query<{ key: string }, [string]>(
      "SELECT key FROM build_aliases WHERE result_id = ?1 ORDER BY rowid DESC",
    )
    .all(id)
    .map(({ key }) => key);
}

/** A result that is made, and on which a power cut has left its mark no more than on any other; its use is not noted. */
export function usableResult(state: State, id: string, boot: string): ResultRecord | undefined {
  const row = state.db
    .query<Row, [string, string]>(
      `SELECT id, coalesce(key, '') AS key, snapshot, diff_id, file_time FROM build_results
         WHERE id = ?1 AND maker IS NULL AND (boot IS NULL OR boot = ?2)`,
    )
    .get(id, boot);
  return row === null ? undefined : fromRow(row);
}

/** Before the snapshot is committed under the name that the row gives. */
export function beginResult(
  state: State,
  result: { id: string; description: string; fileTime: bigint; boot: string },
): string {
  const snapshot = resultPrefix + result.id;
  const now = Date.now();
  state.db
    .query("INSERT INTO build_results VALUES (?1, NULL, ?2, NULL, ?3, 0, ?4, ?5, ?5, 0, ?6, ?7)")
    .run(result.id, snapshot, String(result.fileTime), result.description, now, thisProcess(), result.boot);
  return snapshot;
}

/** The snapshot is there: from now on the key leads to it, whatever it led to before. */
export function finishResult(state: State, id: string, made: { key: string; size: number }): void {
  state.transaction(() => {
    const { db } = state;
    db.query("UPDATE build_results SET key = NULL WHERE key = ?1").run(made.key);
    db.query("UPDATE build_results SET key = ?2, size = ?3, maker = NULL WHERE id = ?1").run(
      id,
      made.key,
      made.size,
    );
  });
}

export function addAlias(state: State, key: string, id: string): void {
  state.db
    .query("INSERT INTO build_aliases VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET result_id = ?2")
    .run(key, id);
}

/** Part of a transaction: the result's layer is known, and perhaps its snapshot has another name. */
export function noteLayer(state: State, id: string, layer: { diffId: DiffId; snapshot: string }): void {
  state.db
    .query("UPDATE build_results SET diff_id = ?2, snapshot = ?3 WHERE id = ?1")
    .run(id, layer.diffId, layer.snapshot);
}

/** All that was made in this boot so far is on the disk. */
export function noteSynced(state: State, ids: readonly string[]): void {
  const note = state.db.query("UPDATE build_results SET boot = NULL WHERE id = ?1");
  for (const id of ids) note.run(id);
}

/** Results that were made in this boot and may not be on the disk yet. */
export function unsyncedResults(state: State, boot: string): string[] {
  return state.db
    .query<{ id: string }, [string]>("SELECT id FROM build_results WHERE boot = ?1 AND maker IS NULL")
    .all(boot)
    .map(({ id }) => id);
}

/** Forgets a result; its snapshot is to be removed first. */
export function forgetResult(state: State, id: string): void {
  state.transaction(() => {
    state.db.query("DELETE FROM build_aliases WHERE result_id = ?1").run(id);
    state.db.query("DELETE FROM build_results WHERE id = ?1").run(id);
  });
}

/**
 * Takes a result out of use, if nobody has used it since: from now on it is as one whose maker died.
 * @returns its key, for `releaseResult`; undefined when it is in use.
 */
export function claimResult(state: State, id: string, unusedSince: number): string | undefined {
  const row = state.db
    .query<{ key: string | null }, [string, number, string]>(
      "UPDATE build_results SET maker = ?3 WHERE id = ?1 AND used_at <= ?2 AND maker IS NULL RETURNING key",
    )
    .get(id, unusedSince, thisProcess());
  return row === null ? undefined : (row.key ?? "");
}

/** Puts a claimed result back into use. */
export function releaseResult(state: State, id: string): void {
  state.db.query("UPDATE build_results SET maker = NULL WHERE id = ?1").run(id);
}

/**
 * Results that nothing leads to: their maker died, or the power failed, or another took their key.
 * @param before milliseconds since 1970: what has only lost its key counts when it was not used since
 */
export function lostResults(state: State, boot: string, before: number): { id: string; snapshot: string }[] {
  return state.db
    .query<
      {
        id: string;
        snapshot: string;
        maker: string | null;
        boot: string | null;
        key: string | null;
        used_at: number;
      },
      []
    >(
      `SELECT id, snapshot, maker, boot, key, used_at FROM build_results
         WHERE maker IS NOT NULL OR boot IS NOT NULL OR key IS NULL`,
    )
    .all()
    .filter(({ maker, boot: written, key, used_at }) => {
      if (written !== null && written !== boot) return true;
      return maker === null ? key === null && used_at < before : !isMaking(maker);
    })
    .map(({ id, snapshot }) => ({ id, snapshot }));
}

function thisProcess(): string {
  return `${process.pid}.${startTimeOf(process.pid) ?? 0}`;
}

function isMaking(maker: string): boolean {
  const [pid = 0, started = 0] = maker.split(".").map(Number);
  return isAlive(pid, started);
}

function fromRow(row: Row): ResultRecord {
  return {
    id: row.id,
    key: row.key,
    snapshot: row.snapshot,
    diffId: row.diff_id ?? undefined,
    fileTime: BigInt(row.file_time),
    description: row.description,
  };
}
