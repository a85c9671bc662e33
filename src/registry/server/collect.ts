/**
 * Garbage collection: mark and sweep over the records, in small transactions, while the registry serves. Nothing is
 * removed by age alone: a blob goes when no manifest of its repository refers to it and its lease is over. Leases are
 * renewed whenever somebody uploads, mounts or asks for the blob, so a push that relies on it has time to end.
 */
import { isContentDigest } from "./names.ts";
import type { BlobFiles } from "./storage/blob-files.ts";
import type { Records } from "./storage/database.ts";

export interface CollectionOptions {
  /** Remove manifests that have no tag, are in no index and are attached to nothing. */
  removeUntagged: boolean;
  /** Remove manifests that were not asked for since (milliseconds since 1970), tagged or not: for a cache. */
  unusedSince?: number;
  /** Give up waiting between transactions. */
  signal?: AbortSignal;
}

export interface CollectionReport {
  manifests: number;
  blobs: number;
  /** Bytes of the blobs and manifests that are gone. */
  bytes: number;
}

/** Rows that one transaction looks at: others wait for it no longer than some milliseconds. */
const batch = 200;

/** @param records of the registry, which may be served by this or another process meanwhile */
export async function collectGarbage(
  records: Records,
  files: BlobFiles,
  options: CollectionOptions,
): Promise<CollectionReport> {
  const report: CollectionReport = { manifests: 0, blobs: 0, bytes: 0 };
  const inBatches = async (step: () => number) => {
    while (options.signal?.aborted !== true && step() === batch) await Bun.sleep(0);
  };
  if (options.unusedSince !== undefined) {
    const since = options.unusedSince;
    await inBatches(() => removeManifests(records, report, unused, since));
  }
  // What was attached to a manifest that is gone goes after it.
  const removeUntagged = () => removeManifests(records, report, untagged, Date.now());
  while (options.removeUntagged && options.signal?.aborted !== true && removeUntagged() > 0)
    await Bun.sleep(0);
  await inBatches(() => removeLinks(records));
  await inBatches(() => removeDocuments(records, report));
  await inBatches(() => removeBlobs(records, files, report));
  if (options.signal?.aborted !== true) removeEmptyRepositories(records);
  return report;
}

const unused = "manifests.leased_until < ?1";
/** An index keeps its manifests, a tag its manifest, and a subject those attached to it. */
const untagged = `manifests.leased_until < ?1
  AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.repository = manifests.repository AND tags.digest = manifests.digest)
  AND NOT EXISTS (SELECT 1 FROM edges WHERE edges.repository = manifests.repository
                  AND edges.child = manifests.digest)
  AND (subject IS NULL OR NOT EXISTS (SELECT 1 FROM manifests AS other
       WHERE other.repository = manifests.repository AND other.digest = manifests.subject))`;

function removeManifests(records: Records, report: CollectionReport, which: string, now: number): number {
  return records.transact(() => {
    const rows = records.database
      .query<{ repository: number; digest: string }, [number, number]>(
        `SELECT repository, digest FROM manifests WHERE ${which} LIMIT ?2`,
      )
      .all(now, batch);
    const remove = records.database.query("DELETE FROM manifests WHERE repository = ? AND digest = ?");
    for (const { repository, digest } of rows) remove.run(repository, digest);
    report.manifests += rows.length;
    return rows.length;
  });
}

function removeLinks(records: Records): number {
  return records.transact(() => {
    const rows = records.database
      .query<{ repository: number; digest: string }, [number, number]>(
        `SELECT repository, digest FROM links WHERE leased_until < ?1
         AND NOT EXISTS (SELECT 1 FROM edges WHERE edges.repository = links.repository
                         AND edges.child = links.digest) LIMIT ?2`,
      )
      .all(Date.now(), batch);
    const remove = records.database.query("DELETE FROM links WHERE repository = ? AND digest = ?");
    for (const { repository, digest } of rows) remove.run(repository, digest);
    return rows.length;
  });
}

function removeDocuments(records: Records, report: CollectionReport): number {
  return records.transact(() => {
    const rows = records.database
      .query<{ digest: string; size: number }, [number]>(
        `SELECT digest, length(bytes) AS size FROM documents
         WHERE NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = documents.digest) LIMIT ?`,
      )
      .all(batch);
    const remove = records.database.query("DELETE FROM documents WHERE digest = ?");
    for (const { digest, size } of rows) {
      remove.run(digest);
      report.bytes += size;
    }
    return rows.length;
  });
}

/**
 * The file goes inside the transaction that takes its record: whoever wants to build on the blob asks under the same
 * lock. After a crash between the two, a record without a file remains, which counts as absent and goes next time.
 */
function removeBlobs(records: Records, files: BlobFiles, report: CollectionReport): number {
  return records.transact(() => {
    const rows = records.database
      .query<{ digest: string; size: number }, [number]>(
        `SELECT digest, size FROM blobs
         WHERE NOT EXISTS (SELECT 1 FROM links WHERE links.digest = blobs.digest) LIMIT ?`,
      )
      .all(batch);
    const remove = records.database.query("DELETE FROM blobs WHERE digest = ?");
    for (const { digest, size } of rows) {
      remove.run(digest);
      if (isContentDigest(digest)) files.remove(digest);
      report.blobs += 1;
      report.bytes += size;
    }
    return rows.length;
  });
}

function removeEmptyRepositories(records: Records): void {
  records.transact(() => {
    records.database.run(
      `DELETE FROM repositories WHERE NOT EXISTS (SELECT 1 FROM links WHERE repository = repositories.id)
       AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository = repositories.id)
       AND NOT EXISTS (SELECT 1 FROM tags WHERE repository = repositories.id)`,
    );
  });
}
