/** Reads a container's log, which conmon writes. Bytes come out exactly as the container wrote them. */
import { type FileHandle, open } from "node:fs/promises";
import { hasErrno } from "../core/errors.ts";
import type { OutputFrame } from "../core/streams.ts";
import { type LogRecord, parseRecord, unixTime, utcTime } from "./log-records.ts";

export interface ReadLogOptions {
  stdout: boolean;
  stderr: boolean;
  timestamps?: boolean;
  /** Unix seconds, fractions allowed. */
  since?: number;
  until?: number;
  /** Last n lines. */
  tail?: number;
  /** Goes on until this says that the container has ended, and then to the end of the file. */
  follow?: { hasEnded(): boolean };
  signal?: AbortSignal;
}

const blockSize = 256 * 1024;
const newline = 0x0a;
/** How often a followed file is looked at, in ms: at once after it grew, then ever more seldom. */
const shortestPause = 5;
const longestPause = 100;

/** A file that does not exist is an empty log. */
export async function* readLog(path: string, options: ReadLogOptions): AsyncGenerator<OutputFrame> {
  const { follow, signal } = options;
  const writer = new FrameWriter(options);
  let file = await openIfThere(path);
  let offset = file === undefined || options.tail === undefined ? 0 : await tailOffset(file, options.tail);
  let pause = shortestPause;
  try {
    for (;;) {
      // Asked before reading: what was written until then is read below.
      const ended = follow?.hasEnded() ?? true;
      file ??= await openIfThere(path);
      if (file !== undefined) {
        for (;;) {
          const block = await readRecords(file, offset);
          if (block.length === 0) break;
          offset += block.length;
          pause = shortestPause;
          yield* writer.write(block);
          if (writer.isPastUntil || signal?.aborted) return;
        }
        if (await wasReplaced(file, path)) {
          await file.close();
          file = undefined;
          offset = 0;
          continue;
        }
      }
      if (ended || signal?.aborted) return;
      await Bun.sleep(pause);
      pause = Math.min(pause * 2, longestPause);
    }
  } finally {
    await file?.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** A rotation put another file in its place. */
async function wasReplaced(file: FileHandle, path: string): Promise<boolean> {
  const successor = await openIfThere(path);
  if (successor === undefined) return false;
  try {
    const [mine, theirs] = await Promise.all([file.stat(), successor.stat()]);
    return mine.ino !== theirs.ino;
  } finally {
    await successor.close();
  }
}

/** Whole records from `offset` on, at most about a block; empty when there is no whole one (yet). */
async function readRecords(file: FileHandle, offset: number): Promise<Buffer> {
  for (let size = blockSize; ; size *= 2) {
    const block = await readAt(file, offset, size);
    const end = block.lastIndexOf(newline);
    if (end >= 0) return block.subarray(0, end + 1);
    if (block.length < size) return block.subarray(0, 0);
  }
}

async function readAt(file: FileHandle, offset: number, size: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(size);
  const { bytesRead } = await file.read(buffer, 0, size, offset);
  return buffer.subarray(0, bytesRead);
}

/**
 * Where the last `count` lines begin: after the end of the line before them. Lines that the two streams wrote
 * through each other are cut at that place in the file.
 */
async function tailOffset(file: FileHandle, count: number): Promise<number> {
  const { size } = await file.stat();
  if (count === 0) return size;
  let remaining = count;
  let rest: Buffer = Buffer.alloc(0);
  let position = size;
  let isLast = true;
  while (position > 0) {
    const start = Math.max(0, position - blockSize);
    const block = Buffer.concat([await readAt(file, start, position - start), rest]);
    // The first line may begin before this block; it is looked at with the one before.
    const firstWhole = start === 0 ? 0 : block.indexOf(newline) + 1;
    if (start > 0 && firstWhole === 0) {
      rest = block;
      position = start;
      continue;
    }
    let end = block.lastIndexOf(newline);
    while (end >= firstWhole) {
      const begin = end === 0 ? 0 : block.lastIndexOf(newline, end - 1) + 1;
      const record = parseRecord(block.subarray(begin, end));
      // A line ends with a full record; what is unfinished at the end of the log is a line too.
      if (record !== undefined && (record.full || isLast)) {
        if (remaining === 0) return start + end + 1;
        remaining -= 1;
      }
      if (record !== undefined) isLast = false;
      end = begin - 1;
    }
    rest = block.subarray(0, firstWhole);
    position = start;
  }
  return 0;
}

/** Turns records into frames; neighbouring records of one stream become one frame. */
class FrameWriter {
  /** A record later than `until` was seen. */
  isPastUntil = false;
  readonly #options: ReadLogOptions;
  /** Whether the stream's next record begins a line. */
  readonly #atLineStart = { stdout: true, stderr: true };

  constructor(options: ReadLogOptions) {
    this.#options = options;
  }

  *write(block: Buffer): Generator<OutputFrame> {
    let stream: "stdout" | "stderr" = "stdout";
    let parts: Uint8Array[] = [];
    for (let begin = 0; begin < block.length; ) {
      const end = block.indexOf(newline, begin);
      const record = parseRecord(block.subarray(begin, end));
      begin = end + 1;
      if (record === undefined) continue;
      if (this.#isLate(record)) {
        this.isPastUntil = true;
        break;
      }
      if (!this.#isWanted(record)) continue;
      if (record.stream !== stream && parts.length > 0) {
        yield { stream, data: Buffer.concat(parts) };
        parts = [];
      }
      stream = record.stream;
      this.#append(parts, record);
    }
    if (parts.length > 0) yield { stream, data: Buffer.concat(parts) };
  }

  #isLate(record: LogRecord): boolean {
    return this.#options.until !== undefined && unixTime(record.time) > this.#options.until;
  }

  #isWanted(record: LogRecord): boolean {
    const { since } = this.#options;
    return this.#options[record.stream] && (since === undefined || unixTime(record.time) >= since);
  }

  #append(parts: Uint8Array[], record: LogRecord): void {
    if (this.#options.timestamps && this.#atLineStart[record.stream]) {
      parts.push(Buffer.from(`${utcTime(record.time)} `));
    }
    this.#atLineStart[record.stream] = record.full;
    parts.push(record.content);
    if (record.full) parts.push(lineEnd);
  }
}

const lineEnd = Buffer.from("\n");
