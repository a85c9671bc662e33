/** Opens the registry's records, and says when what was committed is on disk. */
import { Database } from "bun:sqlite";
import { closeSync, fdatasync, openSync } from "node:fs";
import { join } from "../../../core/paths.ts";
import { migrate } from "./schema.ts";

/** Milliseconds that a writer waits for one of another process (`davit registry gc` beside the server). */
const busyTimeout = 10_000;

/**
 * Commits are not synced one by one (`synchronous = NORMAL`: they survive the death of the process). `durable` syncs
 * the log off the main thread, once for all commits that are waiting for it.
 */
export class Records {
  readonly database: Database;
  readonly #log: number;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(root: string) {
    const path = join(root, "registry.db");
    this.database = new Database(path, { create: true, strict: true });
    this.database.run(`PRAGMA busy_timeout = ${busyTimeout}`);
    this.database.run("PRAGMA journal_mode = WAL");
    this.database.run("PRAGMA synchronous = NORMAL");
    this.database.run("PRAGMA foreign_keys = ON");
    migrate(this.database);
    // Made by the migration's first read or write, and kept until the last connection closes.
    this.#log = openSync(`${path}-wal`, "r+");
  }

  /** Runs `act` as one transaction that takes the write lock at its beginning. */
  transact<Result>(act: () => Result): Result {
    return this.database.transaction(act).immediate();
  }

  /** Resolves when every commit made before this call would survive a power cut. */
  durable(): Promise<void> {
    if (this.#running === undefined) return this.#sync();
    // The sync that runs may have begun before our commit: wait for the one after it, shared by all who wait.
    this.#next ??= this.#running.then(
      () => this.#sync(),
      () => this.#sync(),
    );
    return this.#next;
  }

  close(): void {
    closeSync(this.#log);
    this.database.close();
  }

  #sync(): Promise<void> {
    this.#next = undefined;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#running = promise;
    fdatasync(this.#log, (error) => {
      this.#running = undefined;
      if (error === null) resolve();
      else reject(error);
    });
    return promise;
  }
}
