/** Collects the garbage of a registry that may be served at the same time. */

import { NotFound } from "../../core/errors.ts";
import { resolve } from "../../core/paths.ts";
import { existsSync } from "../../linux/files.ts";
import { closeLockFile, openLockFile, tryLock } from "../../linux/flock.ts";
import { type CollectionOptions, type CollectionReport, collectGarbage } from "./collect.ts";
import { BlobFiles } from "./storage/blob-files.ts";
import { Records } from "./storage/database.ts";
import { openStorage } from "./storage/open.ts";

/** @throws NotFound when there is no registry below `root` */
export async function collectRegistry(root: string, options: CollectionOptions): Promise<CollectionReport> {
  const path = resolve(root);
  if (!existsSync(`${path}/registry.db`)) throw new NotFound(`there is no registry in ${path}`);
  const lockPath = `${path}/lock`;
  const lock = openLockFile(lockPath);
  try {
    if (tryLock(lock, "exclusive", lockPath)) {
      // Nobody serves it: what a crash left can go too.
      const unlimited = { total: undefined, repository: undefined };
      const storage = openStorage(path, { limits: unlimited, lease: 0 });
      try {
        return await collectGarbage(storage.records, storage.files, options);
      } finally {
        storage.close();
      }
    }
    const records = new Records(path);
    try {
      return await collectGarbage(records, new BlobFiles(path), options);
    } finally {
      records.close();
    }
  } finally {
    closeLockFile(lock);
  }
}
