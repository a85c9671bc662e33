/** One blob on its way into the content store. */

import { hasErrno, SystemFailure } from "../core/errors.ts";
import { type Digest, parseDigest } from "../core/ids.ts";
import { startWriting } from "../linux/disks.ts";
import { errnoNumber } from "../linux/errno.ts";
import { closeSync, openSync, writeSync } from "../linux/files.ts";
import { linuxError } from "../linux/libc.ts";
import type { Arrival } from "./arrival.ts";
import type { Hasher } from "./hasher.ts";
import type { RangeReader } from "./layers/byte-source.ts";
import type { SpaceWatch } from "./layers/space.ts";

/** Bytes that are written, but not part of the store yet. */
export interface IngestedBlob {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Large blobs are hashed on the second core; nobody may rely on the content before this resolves. */
  readonly digest: Promise<Digest>;
  /** Of a blob that is still being copied; undefined when all of it is there. */
  readonly arrival?: Arrival;
}

/** Above this, hashing on another thread is worth the way there. Bytes. */
const largeBlob = 1024 * 1024;
/** How far the file may run ahead of its hashing, and of its way to the disk. Bytes. */
const hashStep = 8 * 1024 * 1024;

/** Writes to a file of a session's directory; small blobs are hashed on the way. */
export class BlobWriter {
  readonly path: string;
  private readonly hasher: Hasher;
  private readonly space: SpaceWatch;
  private readonly smallHash = new Bun.CryptoHasher("sha256");
  private fd: number | undefined;
  private size = 0;
  /** Bytes that the hasher was told of. */
  private announced = 0;

  constructor(path: string, hasher: Hasher, space: SpaceWatch) {
    this.path = path;
    this.hasher = hasher;
    this.space = space;
    this.fd = openSync(path, "wx", 0o600);
  }

  /** `chunk` may be reused by the caller afterwards. @throws LinuxError ENOSPC, before the last byte is used up. */
  write(chunk: Uint8Array): void {
    if (this.fd === undefined) throw new SystemFailure(`${this.path} is finished`);
    this.space.addBytes(chunk.byteLength, this.path);
    try {
      for (let start = 0; start < chunk.byteLength; ) start += writeSync(this.fd, chunk, start);
    } catch (error) {
      if (hasErrno(error, "ENOSPC", "EDQUOT")) throw linuxError("write", errnoNumber.ENOSPC, this.path);
      throw error;
    }
    this.size += chunk.byteLength;
    if (this.size <= largeBlob) this.smallHash.update(chunk);
    else this.announce();
  }

  /** Copies the first bytes of a local file's range, up to `length`. @throws LinuxError ENOSPC */
  copyStart(source: RangeReader, length: number): void {
    this.write(source.read(new Uint8Array(length)));
  }

  /**
   * Copies the rest of a local file's range. What is hashed and used is the copy: nobody can change that.
   * @param told how many bytes of the blob are there, after each step.
   * @throws LinuxError ENOSPC, before the last byte is used up.
   */
  async copy(
    source: RangeReader,
    signal: AbortSignal,
    told: (written: number) => void = () => {},
  ): Promise<void> {
    if (source.end - source.position <= largeBlob) {
      const buffer = new Uint8Array(largeBlob);
      for (let chunk = source.read(buffer); chunk.length > 0; chunk = source.read(buffer)) this.write(chunk);
      return;
    }
    for (;;) {
      if (this.fd === undefined) throw new SystemFailure(`${this.path} is finished`);
      this.space.addBytes(Math.min(hashStep, source.end - source.position), this.path);
      const copied = source.copyTo(this.fd, this.size, hashStep);
      if (copied === 0) return;
      this.size += copied;
      this.announce();
      told(this.size);
      await Bun.sleep(0);
      signal.throwIfAborted();
    }
  }

  /**
   * Lets the other thread hash what is there so far, and the kernel begin to write it to the disk: then the sync at the
   * end has less to wait for.
   */
  private announce(): void {
    if (this.fd === undefined || this.size - this.announced < hashStep) return;
    startWriting(this.fd, this.announced, this.size - this.announced);
    this.hasher.advance(this.path, this.size);
    this.announced = this.size;
  }

  finish(): IngestedBlob {
    const { path, size, fd, announced } = this;
    if (fd !== undefined && size > largeBlob) startWriting(fd, announced, size - announced);
    this.close();
    if (size <= largeBlob) {
      const digest = parseDigest(`sha256:${this.smallHash.digest("hex")}`);
      return { path, size, digest: Promise.resolve(digest) };
    }
    const digest = this.hasher.finish(path, size);
    // Someone awaits it later, or the session fails before: until then a rejection must not end the process.
    digest.catch(() => undefined);
    return { path, size, digest };
  }

  /** Gives up; the session's end removes the file. */
  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }
}
