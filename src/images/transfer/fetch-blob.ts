/** Fetches one blob into a session's directory: resumes what is there, hashes while it writes, shares with others. */

import { InvalidParameter } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import { type Digest, parseDigest } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import { startWriting } from "../../linux/disks.ts";
import { fstatSync } from "../../linux/files.ts";
import { readAt, writeAt } from "../../linux/nodes.ts";
import { atCurrentDirectory, closeFile, openAt, openFlag } from "../../linux/paths.ts";
import { openSha256, type Sha256 } from "../../linux/sha256.ts";
import type { ContentStore, IngestSession } from "../content.ts";
import type { IngestedBlob } from "../ingest.ts";
import { SpaceWatch } from "../layers/space.ts";
import type { Descriptor } from "../manifest.ts";
import { claimPartial, type PartialBlob } from "./partial.ts";

/** The bytes of a blob from `offset` on. A chunk need not be good any more when the next is asked for. */
export type OpenBlob = (offset: number, signal: AbortSignal) => AsyncIterable<Uint8Array>;

/** Told while a blob comes in. */
export interface FetchWatch {
  /** Another process is fetching it. */
  waiting?(): void;
  /**
   * It is being written to `path`, of which `written` bytes are there; again when it has to begin anew. Not called
   * for a blob that another process has fetched.
   */
  started?(path: string, written: number): void;
  grown?(written: number): void;
  /** All bytes are there. */
  verifying?(): void;
}

export interface FetchedBlob extends Disposable {
  readonly blob: IngestedBlob;
  /** Another process fetched it while this one waited. */
  readonly wasShared: boolean;
  /** Lets other processes that wait for this blob go on. */
  [Symbol.dispose](): void;
}

/** How far the file may run ahead of the disk. Bytes. */
const flushStep = 8 << 20;
const hashChunk = 1 << 18;
/** Other work gets a turn after so many bytes were hashed that were there already. */
const turnStep = 1 << 24;

/**
 * The blob, checked against its digest and size. Until it is disposed of, other processes that want it wait.
 * @throws InvalidParameter when the bytes are not what the descriptor says; LinuxError ENOSPC; what `open` throws.
 */
export async function fetchBlob(
  stores: { content: ContentStore; session: IngestSession },
  descriptor: Pick<Descriptor, "digest" | "size">,
  open: OpenBlob,
  watch: FetchWatch,
  signal: AbortSignal,
): Promise<FetchedBlob> {
  const { content, session } = stores;
  const { digest, size } = descriptor;
  const partial = await claimPartial(content, digest, {
    signal,
    ...(watch.waiting === undefined ? {} : { waiting: watch.waiting }),
  });
  try {
    // Whoever had it before may have made it part of the store meanwhile.
    const held = partial.wasContended ? holdWhole(session, descriptor) : undefined;
    if (held !== undefined) {
      partial.remove();
      return { blob: held, wasShared: true, [Symbol.dispose]: () => partial[Symbol.dispose]() };
    }
    const path = join(session.directory, digest.slice("sha256:".length));
    partial.link(path);
    const wasShared = partial.wasContended && partial.size() === size;
    const { started: _, ...silently } = watch;
    await fill(partial, path, descriptor, open, wasShared ? silently : watch, signal);
    return {
      blob: { path, size, digest: Promise.resolve(digest) },
      wasShared,
      [Symbol.dispose]: () => partial[Symbol.dispose](),
    };
  } catch (error) {
    partial[Symbol.dispose]();
    throw error;
  }
}

/** The store's own blob, if it has the right size: what is cut short is not worth a look. */
export function holdWhole(
  session: IngestSession,
  { digest, size }: Pick<Descriptor, "digest" | "size">,
): IngestedBlob | undefined {
  const held = session.hold(digest);
  return held?.size === size ? held : undefined;
}

async function fill(
  partial: PartialBlob,
  path: string,
  descriptor: Pick<Descriptor, "digest" | "size">,
  open: OpenBlob,
  watch: FetchWatch,
  signal: AbortSignal,
): Promise<void> {
  if (partial.size() > descriptor.size) partial.empty();
  const before = partial.size();
  try {
    await attempt(partial, path, descriptor, open, watch, signal);
  } catch (error) {
    if (!(error instanceof BlobMismatch)) throw error;
    partial.empty();
    if (before === 0) {
      partial.remove();
      throw error;
    }
    // What an earlier pull left may have been torn by a power cut.
    await attempt(partial, path, descriptor, open, watch, signal);
  }
}

/** What came is not what was promised. */
class BlobMismatch extends InvalidParameter {}

async function attempt(
  partial: PartialBlob,
  path: string,
  { digest, size }: Pick<Descriptor, "digest" | "size">,
  open: OpenBlob,
  watch: FetchWatch,
  signal: AbortSignal,
): Promise<void> {
  using hash = openSha256(size);
  const space = new SpaceWatch(partial.fd);
  let written = partial.size();
  let flushed = written;
  watch.started?.(path, written);
  await hashRange(hash, partial.fd, written, signal);
  if (written < size) {
    for await (const chunk of open(written, signal)) {
      signal.throwIfAborted();
      if (written + chunk.byteLength > size) {
        throw new BlobMismatch(`blob ${digest}: more than the ${size} bytes that were promised`);
      }
      space.addBytes(chunk.byteLength, path);
      writeAt(partial.fd, chunk, written, path);
      hash.update(chunk);
      written += chunk.byteLength;
      if (written - flushed >= flushStep) {
        startWriting(partial.fd, flushed, written - flushed);
        flushed = written;
        faultPoint("pull:downloading");
      }
      watch.grown?.(written);
    }
  }
  watch.verifying?.();
  if (written !== size) throw new BlobMismatch(`blob ${digest}: ${written} bytes instead of ${size}`);
  const actual = `sha256:${hash.hex()}`;
  if (actual !== digest) {
    throw new BlobMismatch(`filesystem layer verification failed for digest ${digest}`);
  }
  startWriting(partial.fd, flushed, 0);
  faultPoint("pull:downloaded");
}

async function hashRange(hash: Sha256, fd: number, length: number, signal: AbortSignal): Promise<void> {
  const buffer = new Uint8Array(Math.min(hashChunk, length));
  for (let position = 0; position < length; ) {
    const got = readAt(fd, buffer.subarray(0, Math.min(buffer.length, length - position)), position);
    if (got === 0) break;
    hash.update(buffer.subarray(0, got));
    position += got;
    if (position % turnStep < hashChunk) {
      await Bun.sleep(0);
      signal.throwIfAborted();
    }
  }
}

/** sha256 of a whole file. */
export async function digestOfFile(path: string, signal: AbortSignal): Promise<Digest> {
  const fd = openAt(atCurrentDirectory, path, openFlag.readOnly);
  try {
    const { size } = fstatSync(fd);
    using hash = openSha256(size);
    await hashRange(hash, fd, size, signal);
    return parseDigest(`sha256:${hash.hex()}`);
  } finally {
    closeFile(fd);
  }
}
