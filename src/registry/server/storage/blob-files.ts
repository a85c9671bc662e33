/**
 * Blobs as files, each once, named by its digest: `blobs/sha256/ab/abcd…`. Uploads lie beside them, named by their
 * id, in the same file system.
 */
import { closeSync, fsync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { hasErrno } from "../../../core/errors.ts";
import { join } from "../../../core/paths.ts";
import { algorithmOf, type ContentDigest, contentDigest, isContentDigest } from "../names.ts";

export class BlobFiles {
  readonly #blobs: string;
  readonly #uploads: string;

  /** Makes the directories. @param root absolute path */
  constructor(root: string) {
    this.#blobs = join(root, "blobs");
    this.#uploads = join(root, "uploads");
    for (const algorithm of ["sha256", "sha512"]) {
      mkdirSync(join(this.#blobs, algorithm), { recursive: true, mode: 0o700 });
    }
    mkdirSync(this.#uploads, { recursive: true, mode: 0o700 });
  }

  path(digest: ContentDigest): string {
    return join(this.#directoryOf(digest), hexOf(digest));
  }

  /** @param id 32 hex digits, never a user's text */
  uploadPath(id: string): string {
    return join(this.#uploads, id);
  }

  /** Bytes of a blob's file; undefined when there is none. */
  size(digest: ContentDigest): number | undefined {
    return sizeOf(this.path(digest));
  }

  uploadSize(id: string): number {
    return sizeOf(this.uploadPath(id)) ?? 0;
  }

  /** Milliseconds since 1970 at which the upload's file last changed; undefined when it has none. */
  uploadTouched(id: string): number | undefined {
    return statSync(this.uploadPath(id), { throwIfNoEntry: false })?.mtimeMs;
  }

  /** Gives an upload's file its final name. `syncName` makes the name last. */
  adopt(id: string, digest: ContentDigest): void {
    mkdirSync(this.#directoryOf(digest), { recursive: true, mode: 0o700 });
    renameSync(this.uploadPath(id), this.path(digest));
  }

  /** Resolves when the name of a blob's file, and its directory's, would survive a power cut. */
  async syncName(digest: ContentDigest): Promise<void> {
    await Promise.all([
      syncDirectory(this.#directoryOf(digest)),
      syncDirectory(join(this.#blobs, algorithmOf(digest))),
    ]);
  }

  remove(digest: ContentDigest): void {
    rmSync(this.path(digest), { force: true });
  }

  removeUpload(id: string): void {
    rmSync(this.uploadPath(id), { force: true });
  }

  uploads(): string[] {
    return readdirSync(this.#uploads);
  }

  /** Every file that stands where a blob would. */
  *all(): Generator<ContentDigest> {
    for (const algorithm of ["sha256", "sha512"] as const) {
      for (const prefix of readdirSync(join(this.#blobs, algorithm))) {
        for (const hex of readdirSync(join(this.#blobs, algorithm, prefix))) {
          if (isContentDigest(`${algorithm}:${hex}`)) yield contentDigest(algorithm, hex);
        }
      }
    }
  }

  #directoryOf(digest: ContentDigest): string {
    return join(this.#blobs, algorithmOf(digest), hexOf(digest).slice(0, 2));
  }
}

function hexOf(digest: ContentDigest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

/** Syncs of a directory that wait for each other: one is enough for all who asked while another ran. */
const waiting = new Map<string, Promise<void>>();
const running = new Map<string, Promise<void>>();

function syncDirectory(path: string): Promise<void> {
  const now = running.get(path);
  if (now === undefined) return begin(path);
  let next = waiting.get(path);
  if (next === undefined) {
    const again = () => {
      waiting.delete(path);
      return begin(path);
    };
    next = now.then(again, again);
    waiting.set(path, next);
  }
  return next;
}

function begin(path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  running.set(path, promise);
  const fd = openSync(path, "r");
  fsync(fd, (error) => {
    running.delete(path);
    closeSync(fd);
    // Some network file systems know no sync of directories.
    if (error === null || hasErrno(error, "EINVAL")) resolve();
    else reject(error);
  });
  return promise;
}
