/**
 * Keeps a cache within its size: what was asked for longest ago goes first, until a tenth of the size is free again.
 * Unlike garbage collection it takes what is in use, for all of it can be fetched again.
 */
import { isContentDigest } from "./names.ts";
import type { Storage } from "./storage/open.ts";

const roomToLeave = 0.1;

/** @param size bytes. @returns the bytes that were given back */
export async function evict(storage: Storage, size: number, signal: AbortSignal): Promise<number> {
  const { records, store } = storage;
  const before = store.totalBytes();
  if (before <= size) return 0;
  const wanted = size * (1 - roomToLeave);
  removeUnneeded(storage);
  while (!signal.aborted && store.totalBytes() > wanted) {
    const isGone = records.transact(() => removeOldest(storage));
    if (!isGone) break;
    removeUnneeded(storage);
    await Bun.sleep(0);
  }
  return before - store.totalBytes();
}

/** @returns false when there is no manifest any more */
function removeOldest({ records: { database } }: Storage): boolean {
  const row = database
    .query<{ repository: number; digest: string }, []>(
      "SELECT repository, digest FROM manifests ORDER BY leased_until LIMIT 1",
    )
    .get();
  if (row === null) return false;
  database.query("DELETE FROM manifests WHERE repository = ? AND digest = ?").run(row.repository, row.digest);
  return true;
}

/** What no manifest refers to, whatever its lease. */
function removeUnneeded({ records, files }: Storage): void {
  const { database } = records;
  records.transact(() => {
    database.run(
      `DELETE FROM links WHERE NOT EXISTS
       (SELECT 1 FROM edges WHERE edges.repository = links.repository AND edges.child = links.digest)`,
    );
    database.run(
      "DELETE FROM documents WHERE NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = documents.digest)",
    );
    const rows = database
      .query<{ digest: string }, []>(
        "SELECT digest FROM blobs WHERE NOT EXISTS (SELECT 1 FROM links WHERE links.digest = blobs.digest)",
      )
      .all();
    const remove = database.query("DELETE FROM blobs WHERE digest = ?");
    for (const { digest } of rows) {
      remove.run(digest);
      if (isContentDigest(digest)) files.remove(digest);
    }
  });
}
