/**
 * The instance's database: records of containers, images, snapshots, volumes, networks and events.
 * WAL mode: readers never wait, writers of several processes queue up. A commit is safe against the death of
 * any process at once; against a power cut after `makeDurable`, which callers use where something must not be
 * lost (an image that was loaded), so that there is one fsync for a whole transaction and none on the way of `run`.
 */
import { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { SystemFailure } from "../core/errors.ts";
import type { Instance } from "../core/instance.ts";
import { migrations } from "./schema.ts";

export interface State {
  readonly instance: Instance;
  readonly db: Database;
  /** Runs `work` in one write transaction; rolls back when it throws. `work` must not await. */
  transaction<Result>(work: () => Result): Result;
  /** All that was committed so far survives a power cut when this returns. */
  makeDurable(): void;
  close(): void;
}

/** Opens, and on first use makes, the instance's database and directories. */
export function openState(instance: Instance): State {
  mkdirSync(instance.dataRoot, { recursive: true, mode: 0o711 });
  mkdirSync(join(instance.execRoot, "locks"), { recursive: true, mode: 0o711 });
  const path = join(instance.dataRoot, "davit.db");
  const db = new Database(path, { create: true, strict: true });
  db.run("PRAGMA busy_timeout = 20000");
  db.run("PRAGMA synchronous = NORMAL");
  migrate(db, path);
  return {
    instance,
    db,
    transaction: (work) => db.transaction(work).immediate(),
    makeDurable: () => {
      db.run("PRAGMA wal_checkpoint(PASSIVE)");
    },
    close: () => db.close(),
  };
}

function migrate(db: Database, path: string): void {
  if (versionOf(db) === migrations.length) return;
  if (versionOf(db) > migrations.length) {
    throw new SystemFailure(
      `${path} was written by a newer davit; install that version or use another --data-root`,
    );
  }
  db.run("PRAGMA journal_mode = WAL");
  db.transaction(() => {
    // Read again under the write lock: another process may have migrated meanwhile.
    for (const migration of migrations.slice(versionOf(db))) db.run(migration);
    db.run(`PRAGMA user_version = ${migrations.length}`);
  }).immediate();
}

function versionOf(db: Database): number {
  const row = db.query<{ user_version: number }, []>("PRAGMA user_version").get();
  return row?.user_version ?? 0;
}
