/**
 * The rows of the snapshots table, for one driver. Every change of state is one transaction:
 *
 *     reserve ─▶ preparing ─▶ active ─▶ committed
 *                    └──────────┴────────┴──▶ removing ─▶ (row deleted)
 *
 * A row is there before its directory and goes after it, so that a directory without a row is always garbage.
 */
import { Conflict, NotFound } from "../core/errors.ts";
import type { State } from "../state/state.ts";
import { asidePrefix, type SnapshotInfo } from "./snapshotter.ts";

export interface SnapshotRow {
  key: string;
  /** Short name of the directory below the driver's root. */
  directory: string;
  parent: string | null;
  state: "preparing" | "active" | "committed" | "removing";
}

export interface SnapshotRecords {
  /** Claims `key` and a fresh directory name. @throws Conflict, NotFound as `prepare` does. */
  reserve(key: string, parent: string | undefined): string;
  activate(directory: string): void;
  /** @throws NotFound when there is no active or committed snapshot of that key. */
  get(key: string): SnapshotRow;
  find(key: string): SnapshotRow | undefined;
  /** Directories of all ancestors of a snapshot, the parent first. */
  ancestors(key: string): string[];
  commit(key: string, name: string): void;
  /** Gives the name and the children of the committed `name` to the active `key`, and condemns the old one. */
  replace(key: string, name: string): void;
  /** Gives a committed snapshot, with its children, another key. @returns it. @throws NotFound */
  setAside(name: string): string;
  /** Active snapshots that stand on a committed one, directly or not. */
  activeAbove(name: string): Pick<SnapshotRow, "key" | "directory">[];
  /** Marks for removal and frees the key; undefined when it is not there. @throws Conflict when it is a parent. */
  condemn(key: string): string | undefined;
  forget(directory: string): void;
  list(): SnapshotInfo[];
  /** Directories of condemned snapshots. */
  condemned(): string[];
  /** Directories of rows that a crash left half-made or half-removed. */
  unfinished(): string[];
  directories(): Set<string>;
}

/** As the Snapshotter's `has`, for a committed one, without opening a driver. */
export function isCommitted(state: State, key: string): boolean {
  const query = state.db.query<{ n: number }, [string]>(
    "SELECT 1 AS n FROM snapshots WHERE key = ? AND state = 'committed'",
  );
  return query.get(key) !== null;
}

/** @param driver whose rows are meant: each has its own. */
export function openRecords(state: State, driver: string): SnapshotRecords {
  const { db } = state;
  const byKey = db.query<SnapshotRow, [string, string]>(
    "SELECT key, directory, parent, state FROM snapshots WHERE key = ? AND driver = ?",
  );

  function find(key: string): SnapshotRow | undefined {
    const row = byKey.get(key, driver);
    return row === null || row.state === "preparing" || row.state === "removing" ? undefined : row;
  }

  function get(key: string): SnapshotRow {
    const row = find(key);
    if (row === undefined) throw new NotFound(`snapshot ${key} does not exist`);
    return row;
  }

  function expectFree(key: string): void {
    const taken = db.query<{ state: string }, [string]>("SELECT state FROM snapshots WHERE key = ?").get(key);
    if (taken !== null) throw new Conflict(`snapshot ${key} already exists`);
  }

  return {
    find,
    get,

    reserve: (key, parent) => {
      const directory = shortName();
      state.transaction(() => {
        expectFree(key);
        if (parent !== undefined && get(parent).state !== "committed") {
          throw new NotFound(`snapshot ${parent} is not committed, so that nothing can stand on it`);
        }
        db.query(
          "INSERT INTO snapshots (key, directory, parent, state, driver) VALUES (?, ?, ?, 'preparing', ?)",
        ).run(key, directory, parent ?? null, driver);
      });
      return directory;
    },

    activate: (directory) => {
      db.query("UPDATE snapshots SET state = 'active' WHERE directory = ? AND state = 'preparing'").run(
        directory,
      );
    },

    ancestors: (key) =>
      db
        .query<{ directory: string }, [string]>(
          `WITH RECURSIVE stack (depth, key) AS (
             SELECT 1, parent FROM snapshots WHERE key = ?
             UNION ALL
             SELECT depth + 1, snapshots.parent FROM stack JOIN snapshots ON snapshots.key = stack.key
           )
           SELECT directory FROM stack JOIN snapshots ON snapshots.key = stack.key ORDER BY depth`,
        )
        .all(key)
        .map((row) => row.directory),

    commit: (key, name) => {
      state.transaction(() => {
        if (get(key).state !== "active") throw new Conflict(`snapshot ${key} is committed already`);
        if (name !== key) expectFree(name);
        db.query("UPDATE snapshots SET key = ?, state = 'committed' WHERE key = ?").run(name, key);
      });
    },

    replace: (key, name) => {
      state.transaction(() => {
        const [fresh, old] = [get(key), get(name)];
        if (fresh.state !== "active") throw new Conflict(`snapshot ${key} is committed already`);
        if (old.state !== "committed") throw new Conflict(`snapshot ${name} is not committed`);
        if (fresh.parent !== old.parent)
          throw new Conflict(`snapshot ${key} has another parent than ${name}`);
        db.query(
          "UPDATE snapshots SET key = ?, parent = NULL, state = 'removing', condemned_at = ? WHERE key = ?",
        ).run(`removing:${old.directory}`, Date.now(), name);
        db.query("UPDATE snapshots SET key = ?, state = 'committed' WHERE key = ?").run(name, key);
      });
    },

    setAside: (name) =>
      state.transaction(() => {
        const { directory, state: kind } = get(name);
        if (kind !== "committed") throw new Conflict(`snapshot ${name} is not committed`);
        const key = asidePrefix + directory;
        db.query("UPDATE snapshots SET key = ? WHERE key = ?").run(key, name);
        db.query("UPDATE snapshots SET parent = ? WHERE parent = ?").run(key, name);
        return key;
      }),

    activeAbove: (name) =>
      db
        .query<{ key: string; directory: string }, [string, string]>(
          `WITH RECURSIVE above (key) AS (
             SELECT key FROM snapshots WHERE parent = ?
             UNION ALL
             SELECT snapshots.key FROM above JOIN snapshots ON snapshots.parent = above.key
           )
           SELECT key, directory FROM snapshots WHERE state = 'active' AND driver = ? AND key IN above`,
        )
        .all(name, driver),

    condemn: (key) =>
      state.transaction(() => {
        const row = find(key);
        if (row === undefined) return undefined;
        const child = db
          .query<{ key: string }, [string]>("SELECT key FROM snapshots WHERE parent = ? LIMIT 1")
          .get(key);
        if (child !== null) throw new Conflict(`snapshot ${key} has dependent children: ${child.key}`);
        db.query(
          "UPDATE snapshots SET key = ?, parent = NULL, state = 'removing', condemned_at = ? WHERE key = ?",
        ).run(`removing:${row.directory}`, Date.now(), key);
        return row.directory;
      }),

    forget: (directory) => {
      db.query("DELETE FROM snapshots WHERE directory = ?").run(directory);
    },

    list: () =>
      db
        .query<{ key: string; state: "active" | "committed"; parent: string | null }, [string]>(
          "SELECT key, state, parent FROM snapshots WHERE driver = ? AND state IN ('active', 'committed') ORDER BY rowid",
        )
        .all(driver)
        .map((row) => ({ key: row.key, state: row.state, parent: row.parent ?? undefined })),

    condemned: () =>
      db
        .query<{ directory: string }, [string]>(
          "SELECT directory FROM snapshots WHERE driver = ? AND state = 'removing'",
        )
        .all(driver)
        .map((row) => row.directory),

    unfinished: () =>
      db
        .query<{ directory: string }, [string]>(
          "SELECT directory FROM snapshots WHERE driver = ? AND state IN ('preparing', 'removing')",
        )
        .all(driver)
        .map((row) => row.directory),

    directories: () =>
      new Set(
        db
          .query<{ directory: string }, [string]>("SELECT directory FROM snapshots WHERE driver = ?")
          .all(driver)
          .map((row) => row.directory),
      ),
  };
}

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** Ten characters, 50 random bits: short, because overlay names each lower directory in its options. */
function shortName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => alphabet.charAt(byte & 31)).join(
    "",
  );
}
