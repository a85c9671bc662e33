/**
 * The instance's database: records of containers, images, snapshots, volumes, networks and events.
 * WAL mode: readers never wait, writers of several processes queue up. A commit is safe against the death of
 * any process at once; against a power cut after `makeDurable`, which callers use where something must not be
 * lost (an image that was loaded), so that there is one fsync for a whole transaction and none on the way of `run`.
 */
import { Database } from "bun:sqlite";
import { hasErrno, SystemFailure } from "../core/errors.ts";
import type { Instance } from "../core/instance.ts";
import { join } from "../core/paths.ts";
import { existsSync, mkdirSync, statSync } from "../linux/files.ts";
import { keepReserve, useReserve } from "./reserve.ts";
import { migrations } from "./schema.ts";

export interface State {
  readonly instance: Instance;
  readonly db: Database;
  /** Runs `work` in one write transaction; rolls back when it throws. `work` must not await. */
  transaction<Result>(work: () => Result): Result;
  /** To be called before what frees room on the disk: on a full one there is then enough to record it. */
  makeRoom(): void;
  /** All that was committed so far survives a power cut when this returns. */
  makeDurable(): void;
  close(): void;
}

/**
 * Pages that the log may hold before a commit carries them over into the database, with two fsyncs. A command that is
 * the only one to have the database open reads the whole log first, so it is kept short; conmon's exit command, for
 * which nobody waits, keeps it shorter, so that others seldom have to.
 */
const logPages = { command: 96, background: 48 } as const;

/** Opens, and on first use makes, the instance's database and directories. */
export function openState(instance: Instance, role: keyof typeof logPages = "command"): State {
  for (const directory of [instance.dataRoot, join(instance.execRoot, "locks")]) {
    if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o711 });
  }
  const path = join(instance.dataRoot, "davit.db");
  const reserve = `${path}-reserve`;
  // Before the first touch: memory that SQLite shares through a file on a full disk is a SIGBUS, not an error.
  useReserve(reserve);
  const db = namingFullDisk(path, () => openAnyway(path, role, reserve));
  keepReserve(reserve);
  return {
    instance,
    db,
    transaction: (work) => namingFullDisk(path, () => db.transaction(work).immediate()),
    makeRoom: () => {
      useReserve(reserve);
    },
    makeDurable: () => {
      db.run("PRAGMA wal_checkpoint(PASSIVE)");
    },
    close: () => db.close(),
  };
}

function openDatabase(path: string, role: keyof typeof logPages): Database {
  const db = new Database(path, { create: true, strict: true });
  // Before a commit has to carry it over.
  if (logSize(path) > 0.75 * logPages[role] * pageSize) restartLog(db);
  db.run(
    `PRAGMA busy_timeout = 20000; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${logPages[role]}`,
  );
  migrate(db, path);
  return db;
}

const pageSize = 4096;

/** Bytes. */
function logSize(path: string): number {
  return statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

/**
 * Begins the log anew. A process may have put all of it into the database before it ended, but the next one cannot know
 * that: it would read all of the log and go on at its end, so that the log grew with every command, and every command
 * took longer. Not now, where another process uses it: whoever comes later does it.
 */
function restartLog(db: Database): void {
  db.run("PRAGMA busy_timeout = 0");
  try {
    db.run("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch (error) {
    // Mostly the statement itself says that it could not; where another process is just opening the database, this.
    if (!isBusy(error)) throw error;
  }
}

function isBusy(error: unknown): boolean {
  return hasErrno(error, "SQLITE_BUSY", "SQLITE_BUSY_RECOVERY", "SQLITE_BUSY_SNAPSHOT");
}

/** Opening takes some room, too: its shared memory is a file, made anew by the first process that opens it. */
function openAnyway(path: string, role: keyof typeof logPages, reserve: string): Database {
  try {
    return openDatabase(path, role);
  } catch (error) {
    if (!isFullDisk(error) || !useReserve(reserve)) throw error;
    return openDatabase(path, role);
  }
}

function isFullDisk(error: unknown): boolean {
  return hasErrno(error, "SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE");
}

/** SQLite's own "database or disk is full" does not say which disk. */
function namingFullDisk<Result>(path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!isFullDisk(error)) throw error;
    throw new SystemFailure(`write ${path}: no space left on device`, { cause: error });
  }
}

function migrate(db: Database, path: string): void {
  const found = versionOf(db);
  if (found === migrations.length) return;
  if (found > migrations.length) {
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
