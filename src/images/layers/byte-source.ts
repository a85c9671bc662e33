/** Turns what an archive comes from into chunks: files without a promise for each. */

import { copyRange } from "../../linux/disks.ts";
import { fstatSync } from "../../linux/files.ts";
import { readAt, writeAt } from "../../linux/nodes.ts";
import { atCurrentDirectory, closeFile, openAt, openFlag } from "../../linux/paths.ts";
import type { ByteSource, FileRange } from "./tar-entry.ts";

export function isFileRange(source: ByteSource): source is FileRange {
  return "path" in source;
}

/** An open file and the part of it that is meant. */
export class RangeReader implements Disposable {
  readonly #fd: number;
  readonly path: string;
  readonly end: number;
  position: number;

  constructor(range: FileRange) {
    this.path = range.path;
    this.#fd = openAt(atCurrentDirectory, range.path, openFlag.readOnly);
    const size = fstatSync(this.#fd).size;
    this.position = range.offset ?? 0;
    this.end = range.length === undefined ? size : Math.min(size, this.position + range.length);
  }

  /** The next bytes, as many as `buffer` holds; an empty array at the end. */
  read<Bytes extends Uint8Array>(buffer: Bytes): Uint8Array {
    const length = Math.min(buffer.length, Math.max(0, this.end - this.position));
    const got = readAt(this.#fd, buffer.subarray(0, length), this.position, this.path);
    this.position += got;
    return buffer.subarray(0, got);
  }

  /**
   * Copies the next bytes to `offset` of an open file, inside the kernel where it can.
   * @returns how many: 0 at the end, fewer than `length` also before it.
   */
  copyTo(fd: number, offset: number, length: number): number {
    const wanted = Math.min(length, Math.max(0, this.end - this.position));
    const copied = copyRange({ fd: this.#fd, offset: this.position }, { fd, offset }, wanted);
    if (copied !== undefined) {
      this.position += copied;
      return copied;
    }
    const chunk = this.read(new Uint8Array(Math.min(wanted, chunkSize)));
    writeAt(fd, chunk, offset);
    return chunk.length;
  }

  [Symbol.dispose](): void {
    closeFile(this.#fd);
  }
}

export const chunkSize = 1 << 20;

/** Chunks that stay valid: each in its own memory. */
export async function* chunksOf(source: ByteSource, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  if (!isFileRange(source)) {
    for await (const chunk of source) {
      signal?.throwIfAborted();
      yield chunk;
    }
    return;
  }
  using reader = new RangeReader(source);
  for (;;) {
    signal?.throwIfAborted();
    const chunk = reader.read(new Uint8Array(chunkSize));
    if (chunk.length === 0) return;
    yield chunk;
  }
}
