/** Opens what a registry keeps below its root, and clears away what a crash left. */
import { BlobFiles } from "./blob-files.ts";
import { Records } from "./database.ts";
import { HashPool } from "./hash-pool.ts";
import { type Pace, usualPace } from "./receive.ts";
import { Store, type StoreLimits } from "./store.ts";
import { Uploads } from "./uploads.ts";

export interface Storage {
  readonly records: Records;
  readonly files: BlobFiles;
  readonly store: Store;
  readonly uploads: Uploads;
  close(): void;
}

/** The caller holds the root's lock. @param root absolute path */
export function openStorage(
  root: string,
  options: { limits: StoreLimits; lease: number; takesSparseIndexes?: boolean; pace?: Pace },
): Storage {
  const records = new Records(root);
  const files = new BlobFiles(root);
  const store = new Store(records, files, options);
  const hashes = new HashPool();
  removeStrays(files, store);
  const uploads = new Uploads({ records, files, store, hashes, pace: options.pace ?? usualPace });
  return {
    records,
    files,
    store,
    uploads,
    close: () => {
      hashes.close();
      records.close();
    },
  };
}

/** Files that became blobs, but whose records were never written: nobody was told of them. */
function removeStrays(files: BlobFiles, store: Store): void {
  for (const digest of files.all()) {
    if (!store.holds(digest)) files.remove(digest);
  }
}
