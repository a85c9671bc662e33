/**
 * The content store: blobs named by their digest, in an OCI image layout (OCI image-spec, image-layout.md), so that
 * other tools can read it too.
 *
 *     <data root>/content/oci-layout, index.json
 *     <data root>/content/blobs/sha256/<hex>
 *     <data root>/content/ingest/<pid>.<start time>.<n>/    one directory for each session that writes
 *
 * A session directory is also the record of intent: while it is there and its process is dead, blobs and layers may
 * lie about that no image owns, and the next command collects them (collect.ts).
 */

import { hasErrno, NotFound, SystemFailure } from "../core/errors.ts";
import { type Digest, isDigest, randomId } from "../core/ids.ts";
import { join } from "../core/paths.ts";
import { namesIn } from "../linux/directories.ts";
import { errnoNumber } from "../linux/errno.ts";
import {
  closeSync,
  existsSync,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "../linux/files.ts";
import { linuxError } from "../linux/libc.ts";
import { isAlive, startTimeOf } from "../linux/processes.ts";
import { Hasher } from "./hasher.ts";
import { BlobWriter, type IngestedBlob } from "./ingest.ts";
import { SpaceWatch } from "./layers/space.ts";
import { digestOf, largestDocument } from "./manifest.ts";

export interface ContentStore {
  /** The layout's directory. */
  readonly path: string;
  /** Where a blob is or would be. Pure. */
  blobPath(digest: Digest): string;
  has(digest: Digest): boolean;
  /** Bytes. @throws NotFound */
  sizeOf(digest: Digest): number;
  /** Bytes, or undefined for a blob that is missing. */
  trySizeOf(digest: Digest): number | undefined;
  /** A whole small blob, checked against its digest. @throws NotFound; SystemFailure when it is damaged. */
  read(digest: Digest): Uint8Array;
  /** The same, but undefined for a blob that is missing or damaged: for work that other images wait for. */
  tryRead(digest: Digest): Uint8Array | undefined;
  /** Removing what is not there is no error. */
  remove(digest: Digest): void;
  list(): Digest[];
  /** Begins to write. To be disposed of, which removes all that was not adopted. */
  openSession(): IngestSession;
  /** Directories of sessions whose process is dead. */
  deadSessions(): string[];
  /** Directories of sessions whose process lives. */
  liveSessions(): string[];
  /** Replaces index.json. */
  writeIndex(text: string): void;
}

export interface IngestSession extends Disposable {
  /** Its own directory, which also holds its leases (leases.ts). */
  readonly directory: string;
  /** A new blob, to be written to. */
  create(): BlobWriter;
  /** A whole small blob. */
  add(bytes: Uint8Array | string): IngestedBlob;
  /**
   * Takes hold of a blob that the store has already, so that nobody can remove it before it is adopted;
   * undefined when the store has none.
   */
  hold(digest: Digest): IngestedBlob | undefined;
  /** Makes an ingested blob part of the store, in the place of one that is there. Durable after the next syncfs. */
  adopt(blob: IngestedBlob, digest: Digest): void;
  /** Removes all that was not adopted, now. */
  clear(): void;
  /** Leaves the session to the next command, as if this process had died. */
  abandon(): void;
}

/** Opens the store of a data root. Makes nothing until something is written. */
export function openContent(dataRoot: string): ContentStore {
  const path = join(dataRoot, "content");
  const blobs = join(path, "blobs", "sha256");
  const blobPath = (digest: Digest) => join(blobs, digest.slice("sha256:".length));
  const readBlob = (digest: Digest) => {
    const bytes = wrapMissing(digest, () => readWhole(blobPath(digest)));
    if (digestOf(bytes) !== digest) throw new SystemFailure(`blob ${digest} is damaged on disk`);
    return bytes;
  };
  return {
    path,
    blobPath,
    has: (digest) => existsSync(blobPath(digest)),
    sizeOf: (digest) => wrapMissing(digest, () => statSync(blobPath(digest)).size),
    trySizeOf: (digest) => statSync(blobPath(digest), { throwIfNoEntry: false })?.size,
    read: readBlob,
    tryRead: (digest) => {
      try {
        return readBlob(digest);
      } catch (error) {
        if (error instanceof NotFound || error instanceof SystemFailure) return undefined;
        throw error;
      }
    },
    remove: (digest) => rmSync(blobPath(digest), { force: true }),
    list: () => namesIn(blobs).flatMap((name) => digestOfName(name)),
    openSession: () => openSession(path, blobs),
    deadSessions: () => sessionsIn(path, (isLive) => !isLive),
    liveSessions: () => sessionsIn(path, (isLive) => isLive),
    writeIndex: (text) => {
      makeLayout(path, blobs);
      const temporary = join(path, `index.json.${process.pid}`);
      try {
        writeFileSync(temporary, text);
        renameSync(temporary, join(path, "index.json"));
      } catch (error) {
        rmSync(temporary, { force: true });
        throw hasErrno(error, "ENOSPC") ? linuxError("write", errnoNumber.ENOSPC, temporary) : error;
      }
    },
  };
}

let sessions = 0;

function openSession(path: string, blobs: string): IngestSession {
  makeLayout(path, blobs);
  const directory = join(path, "ingest", `${process.pid}.${startTimeOf(process.pid) ?? 0}.${++sessions}`);
  mkdirSync(directory);
  // Says that the session is at work, until it is cleared (leases.ts).
  writeFileSync(join(directory, "leases"), "");
  const directoryFd = openSync(directory, "r");
  const space = new SpaceWatch(directoryFd);
  const hasher = new Hasher();
  let files = 0;
  const next = () => join(directory, String(++files));
  return {
    directory,
    create: () => new BlobWriter(next(), hasher, space),
    add: (bytes) => {
      const writer = new BlobWriter(next(), hasher, space);
      writer.write(typeof bytes === "string" ? Buffer.from(bytes) : bytes);
      return writer.finish();
    },
    hold: (digest) => {
      const held = next();
      try {
        linkSync(join(blobs, digest.slice("sha256:".length)), held);
      } catch (error) {
        if (hasErrno(error, "ENOENT")) return undefined;
        throw error;
      }
      return {
        path: held,
        size: statSync(held).size,
        digest: Promise.resolve(digest),
      };
    },
    adopt: (blob, digest) => {
      // One image may hold the same blob twice, and then both are one file.
      if (!existsSync(blob.path)) return;
      // Also over one that is there: it may be damaged, and these bytes were just hashed.
      renameSync(blob.path, join(blobs, digest.slice("sha256:".length)));
      // A held blob is the store's own under another name, and then rename(2) has done nothing.
      rmSync(blob.path, { force: true });
    },
    clear: () => {
      hasher.close();
      for (const name of namesIn(directory)) removeNow(join(directory, name));
    },
    abandon: () => renameSync(directory, join(path, "ingest", `0.0.${randomId()}`)),
    [Symbol.dispose]: () => {
      hasher.close();
      closeSync(directoryFd);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function makeLayout(path: string, blobs: string): void {
  mkdirSync(blobs, { recursive: true, mode: 0o700 });
  mkdirSync(join(path, "ingest"), { recursive: true, mode: 0o700 });
  const marker = join(path, "oci-layout");
  if (!existsSync(marker)) writeFileSync(marker, `{"imageLayoutVersion":"1.0.0"}`);
}

/** Gives the room back at once, even while the hashing thread has the file open. */
function removeNow(path: string): void {
  // More than one name: the store's own blob, which the session only holds on to.
  if (statSync(path).nlink === 1) truncateSync(path);
  unlinkSync(path);
}

function sessionsIn(path: string, isWanted: (isLive: boolean) => boolean): string[] {
  return namesIn(join(path, "ingest"))
    .filter((name) => isWanted(isOwned(name)))
    .map((name) => join(path, "ingest", name));
}

function isOwned(session: string): boolean {
  const [pid, startTime] = session.split(".").map(Number);
  return pid !== undefined && startTime !== undefined && isAlive(pid, startTime);
}

function digestOfName(name: string): Digest[] {
  const digest = `sha256:${name}`;
  return isDigest(digest) ? [digest] : [];
}

function wrapMissing<Result>(digest: Digest, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (hasErrno(error, "ENOENT"))
      throw new NotFound(`content digest ${digest}: not found`, { cause: error });
    throw error;
  }
}

/** A file of at most `largestDocument` bytes. */
export function readWhole(path: string): Uint8Array {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    if (size > largestDocument) {
      throw new SystemFailure(`${path} has ${size} bytes; at most ${largestDocument} are read at once`);
    }
    const bytes = new Uint8Array(size);
    let end = 0;
    while (end < size) {
      const count = readSync(fd, bytes, end, size - end);
      if (count === 0) break;
      end += count;
    }
    return bytes.subarray(0, end);
  } finally {
    closeSync(fd);
  }
}
