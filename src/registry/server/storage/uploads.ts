/**
 * Uploads in progress. All that matters of one is on disk: its row says which repository it is for, its file's length
 * how far it has come. So a server that was killed goes on where the kernel had the bytes; the hash is made again.
 *
 * One request at a time works on an upload; the next waits for it.
 */
import { closeSync, constants, fdatasync, openSync } from "node:fs";
import { faultPoint } from "../../../core/fault.ts";
import { randomId } from "../../../core/ids.ts";
import { failure, RegistryFailure } from "../failures.ts";
import {
  algorithmOf,
  type ContentDigest,
  contentDigest,
  isRepositoryName,
  type RepositoryName,
} from "../names.ts";
import type { BlobFiles } from "./blob-files.ts";
import type { Records } from "./database.ts";
import type { GrowingHash, HashPool } from "./hash-pool.ts";
import { type ByteFeed, type Pace, receive } from "./receive.ts";
import type { Store } from "./store.ts";

/** More than this many at once are refused: each costs memory. */
const mostUploads = 10_000;
/** Uploads up to this size are hashed on this thread: passing them to another costs more. */
const smallUpload = 1 << 20;
const idPattern = /^[a-f0-9]{32}$/;

export interface UploadsOptions {
  records: Records;
  files: BlobFiles;
  store: Store;
  hashes: HashPool;
  /** The least that bodies must bring. */
  pace: Pace;
}

/** Where a request says that its bytes begin and end. */
export interface ChunkPlace {
  start: number;
  /** Inclusive. */
  end: number;
}

export class Upload {
  readonly id: string;
  readonly repository: RepositoryName;
  /** Bytes that are in the file. */
  offset: number;
  /** The last request that works, or worked, on it. */
  turn: Promise<unknown> = Promise.resolve();
  /** Requests that work on it or wait for it. */
  users = 0;
  isOver = false;
  /** Of the first `offset` bytes, while the upload is small and was not interrupted by a restart. */
  small: Bun.CryptoHasher | undefined;
  growing: GrowingHash | undefined;

  constructor(id: string, repository: RepositoryName, offset: number) {
    this.id = id;
    this.repository = repository;
    this.offset = offset;
    if (offset === 0) this.small = new Bun.CryptoHasher("sha256");
  }
}

export class Uploads {
  readonly #options: UploadsOptions;
  readonly #uploads = new Map<string, Upload>();
  /** Digests that are being made visible: the second with the same waits. */
  readonly #publishing = new Map<ContentDigest, Promise<void>>();
  /** Bytes of all uploads, for the quotas. */
  readonly #inFlight = { total: 0, repositories: new Map<RepositoryName, number>() };

  /** Takes up what an earlier server left. Files without a row, and rows of files that were never written, go. */
  constructor(options: UploadsOptions) {
    this.#options = options;
    const { records, files } = options;
    const rows = records.database
      .query<{ id: string; repository: string }, []>("SELECT id, repository FROM uploads")
      .all();
    for (const { id, repository } of rows) {
      if (!isRepositoryName(repository)) continue;
      const upload = new Upload(id, repository, files.uploadSize(id));
      this.#uploads.set(id, upload);
      this.#count(upload.repository, upload.offset);
    }
    for (const id of files.uploads()) {
      if (!this.#uploads.has(id) && idPattern.test(id)) files.removeUpload(id);
    }
  }

  /** @throws RegistryFailure TOOMANYREQUESTS */
  begin(repository: RepositoryName): Upload {
    if (this.#uploads.size >= mostUploads) throw failure("TOOMANYREQUESTS", "too many uploads in progress");
    const id = randomId().slice(0, 32);
    this.#options.records.database
      .query("INSERT INTO uploads (id, repository) VALUES (?, ?)")
      .run(id, repository);
    const upload = new Upload(id, repository, 0);
    this.#uploads.set(id, upload);
    return upload;
  }

  /** @throws RegistryFailure BLOB_UPLOAD_UNKNOWN, also for an upload to another repository. */
  find(repository: RepositoryName, id: string): Upload {
    const upload = this.#uploads.get(id);
    if (upload === undefined || upload.repository !== repository || upload.isOver) {
      throw failure("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    }
    return upload;
  }

  /** Runs `act` when no other request works on the upload. @throws RegistryFailure when the upload is over by then. */
  async exclusively<Result>(upload: Upload, act: () => Promise<Result>): Promise<Result> {
    upload.users += 1;
    const before = upload.turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    upload.turn = promise;
    try {
      await before;
      if (upload.isOver) throw failure("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
      return await act();
    } finally {
      upload.users -= 1;
      resolve();
    }
  }

  /**
   * Appends a request's body. What came before a broken connection stays: the client goes on from there.
   * @param progress called when `offset` has grown
   * @throws RegistryFailure RANGE_INVALID, SIZE_INVALID, DENIED for a quota
   */
  async append(upload: Upload, feed: ByteFeed, place?: ChunkPlace, progress?: () => void): Promise<void> {
    if (place !== undefined && place.start !== upload.offset) {
      throw new RegistryFailure("RANGE_INVALID", `the upload has ${upload.offset} bytes`, {
        detail: { offset: upload.offset },
        headers: uploadHeaders(upload),
      });
    }
    const { files, store, pace } = this.#options;
    const path = files.uploadPath(upload.id);
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    const begin = upload.offset;
    const expected = place === undefined ? undefined : place.end - place.start + 1;
    try {
      await receive(
        feed,
        fd,
        upload.offset,
        {
          before: (more) => {
            if (expected !== undefined && upload.offset - begin + more > expected) {
              throw failure("SIZE_INVALID", "the body is longer than its Content-Range");
            }
            store.checkQuota(upload.repository, {
              total: this.#inFlight.total + more,
              repository: (this.#inFlight.repositories.get(upload.repository) ?? 0) + more,
            });
          },
          written: (buffers, length, isLast) => {
            if (isLast && isSmall(upload, length)) {
              for (const buffer of buffers) upload.small?.update(buffer);
            } else {
              this.#hashAside(upload, path, upload.offset + length);
            }
            upload.offset += length;
            this.#count(upload.repository, length);
            progress?.();
            faultPoint("registry:chunk");
          },
        },
        pace,
      );
    } finally {
      closeSync(fd);
    }
    if (expected !== undefined && upload.offset - begin !== expected) {
      throw failure("SIZE_INVALID", "the body is shorter than its Content-Range");
    }
  }

  /**
   * Ends an upload: checks its digest and makes it a blob of its repository. Durable when it resolves.
   * @throws RegistryFailure DIGEST_INVALID; the upload is gone then
   */
  async finish(upload: Upload, digest: ContentDigest): Promise<void> {
    const actual = await this.#digest(upload, digest);
    if (actual !== digest) {
      this.cancel(upload);
      throw failure("DIGEST_INVALID", "provided digest did not match uploaded content", { digest, actual });
    }
    await this.#publish(upload, digest);
    faultPoint("registry:published");
  }

  /** Ends an upload without a result. */
  cancel(upload: Upload): void {
    this.#options.files.removeUpload(upload.id);
    this.#forget(upload);
  }

  /** Cancels uploads on which nobody works and to which nothing was added since `before` (milliseconds since 1970). */
  expire(before: number): number {
    let count = 0;
    for (const upload of this.#uploads.values()) {
      if (upload.users > 0) continue;
      const touched = this.#options.files.uploadTouched(upload.id);
      if ((touched ?? this.#born(upload)) >= before) continue;
      this.cancel(upload);
      count += 1;
    }
    return count;
  }

  readonly #births = new WeakMap<Upload, number>();

  /** When this process first saw an upload without a file. */
  #born(upload: Upload): number {
    const born = this.#births.get(upload) ?? Date.now();
    this.#births.set(upload, born);
    return born;
  }

  /** On another thread, from the file's beginning if it is the first time. */
  #hashAside(upload: Upload, path: string, until: number): void {
    upload.small = undefined;
    upload.growing ??= this.#options.hashes.begin(path, "sha256");
    upload.growing.advance(until);
  }

  async #digest(upload: Upload, wanted: ContentDigest): Promise<ContentDigest> {
    const { files, hashes } = this.#options;
    const algorithm = algorithmOf(wanted);
    const path = files.uploadPath(upload.id);
    if (upload.offset === 0) return contentDigest(algorithm, new Bun.CryptoHasher(algorithm).digest("hex"));
    if (algorithm !== "sha256") return await hashes.begin(path, algorithm).finish(upload.offset);
    if (upload.small !== undefined) return contentDigest("sha256", upload.small.copy().digest("hex"));
    const growing = upload.growing ?? hashes.begin(path, "sha256");
    upload.growing = undefined;
    return await growing.finish(upload.offset);
  }

  async #publish(upload: Upload, digest: ContentDigest): Promise<void> {
    for (let other = this.#publishing.get(digest); other !== undefined; ) {
      await other;
      other = this.#publishing.get(digest);
    }
    const work = this.#place(upload, digest);
    const settled = work.then(
      () => {},
      () => {},
    );
    this.#publishing.set(digest, settled);
    try {
      await work;
    } finally {
      this.#publishing.delete(digest);
    }
  }

  /** File first, record second: a record is the word that the file is whole and will stay. */
  async #place(upload: Upload, digest: ContentDigest): Promise<void> {
    const { files, records, store } = this.#options;
    if (store.linkIfHeld(upload.repository, digest)) {
      this.cancel(upload);
      await records.durable();
      return;
    }
    const fd = openSync(files.uploadPath(upload.id), constants.O_WRONLY | constants.O_CREAT, 0o600);
    try {
      files.adopt(upload.id, digest);
      faultPoint("registry:adopted");
      await Promise.all([syncData(fd), files.syncName(digest)]);
    } finally {
      closeSync(fd);
    }
    store.addBlob(upload.repository, digest, upload.offset);
    this.#forget(upload);
    await records.durable();
  }

  #forget(upload: Upload): void {
    if (upload.isOver) return;
    upload.isOver = true;
    upload.growing?.forget();
    upload.growing = undefined;
    this.#count(upload.repository, -upload.offset);
    this.#uploads.delete(upload.id);
    this.#options.records.database.query("DELETE FROM uploads WHERE id = ?").run(upload.id);
  }

  #count(repository: RepositoryName, bytes: number): void {
    this.#inFlight.total += bytes;
    const { repositories } = this.#inFlight;
    const sum = (repositories.get(repository) ?? 0) + bytes;
    if (sum === 0) repositories.delete(repository);
    else repositories.set(repository, sum);
  }
}

/** Where an upload stands, for the answer to any request about it. */
export function uploadHeaders(upload: Upload): Record<string, string> {
  return {
    Location: `/v2/${upload.repository}/blobs/uploads/${upload.id}`,
    Range: `0-${Math.max(upload.offset - 1, 0)}`,
    "Docker-Upload-UUID": upload.id,
  };
}

/** Whether so many more bytes are still best hashed on this thread. */
function isSmall(upload: Upload, more: number): boolean {
  return upload.small !== undefined && upload.offset + more <= smallUpload;
}

function syncData(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));
  });
}
