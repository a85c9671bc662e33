/** What an instance without containers must not have on disk: records, directories and files that nobody owns. */
import { Database } from "bun:sqlite";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "../../src/core/errors.ts";
import type { Instance } from "../../src/core/instance.ts";

/** Tables that are about containers only. */
const containerTables = ["containers", "operations", "execs", "endpoints", "ports", "volume_uses"];

/** One line for each record, directory or file that is left; empty when all is well. */
export function strayRecords(instance: Instance): string[] {
  const path = join(instance.dataRoot, "davit.db");
  if (!existsSync(path)) return [];
  using db = openRecords(path);
  return [
    ...containerTables.flatMap((table) => strayRows(db, table)),
    ...straySnapshots(db, instance),
    ...entriesOf(join(instance.dataRoot, "containers")),
    ...entriesOf(join(instance.execRoot, "containers")),
    ...entriesOf(join(instance.execRoot, "runtime-crun")),
    ...entriesOf(join(instance.execRoot, "runtime-runc")),
    ...entriesOf(join(instance.execRoot, "locks")).filter((file) => file.includes("/container-")),
    ...entriesOf(join(instance.dataRoot, "content", "ingest")),
  ];
}

/** What the records say of a container's state right now, without davit looking at the kernel first. */
export function recordedState(instance: Instance, name: string): string | undefined {
  using db = openRecords(join(instance.dataRoot, "davit.db"));
  const row = db.query<{ state: string }, [string]>("SELECT state FROM containers WHERE name = ?").get(name);
  return row?.state;
}

function openRecords(path: string): Database {
  const db = new Database(path, { readonly: true, strict: true });
  db.run("PRAGMA busy_timeout = 20000");
  return db;
}

function strayRows(db: Database, table: string): string[] {
  const rows = db.query(`SELECT * FROM ${table}`).all();
  return rows.map((row) => `record in ${table}: ${JSON.stringify(row).slice(0, 300)}`);
}

/** Snapshots other than committed layers, and directories without a record. */
function straySnapshots(db: Database, instance: Instance): string[] {
  const rows = db
    .query<{ key: string; directory: string; state: string; driver: string }, []>(
      "SELECT key, directory, state, driver FROM snapshots",
    )
    .all();
  const active = rows.filter(({ state }) => state !== "committed");
  const known = new Set(rows.map(({ directory }) => directory));
  const drivers = ["overlay2", "vfs", "btrfs"];
  const directories = drivers.flatMap((driver) =>
    entriesOf(join(instance.dataRoot, driver)).filter((path) => {
      const name = path.slice(path.lastIndexOf("/") + 1);
      return name !== "lock" && !known.has(name);
    }),
  );
  return [...active.map(({ key, state }) => `snapshot ${key}: ${state}`), ...directories];
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory).map((name) => join(directory, name));
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}
