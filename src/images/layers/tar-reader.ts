/** Reads tar archives from streams and files. */
import { InvalidParameter } from "../../core/errors.ts";
import { chunksOf, RangeReader } from "./byte-source.ts";
import type { ByteSource, FileRange, TarEntry } from "./tar-entry.ts";
import { TarParser } from "./tar-parser.ts";
import { unexpectedEnd } from "./unexpected-end.ts";

/** Where an entry's data lies in the uncompressed archive. */
export interface IndexedEntry {
  entry: TarEntry;
  offset: number;
  /** Bytes that the archive holds of it: less than `entry.size` for sparse files. */
  storedSize: number;
}

/** One entry and its bytes. */
export interface TarMember extends IndexedEntry {
  /**
   * The file's bytes, with holes filled in. May be read once, before the next member is asked for; what is left
   * unread is skipped. A chunk is valid until the next is asked for.
   */
  content: AsyncIterable<Uint8Array>;
}

type Event =
  | { kind: "entry"; member: IndexedEntry }
  | { kind: "data"; bytes: Uint8Array; offset: number }
  | { kind: "end" };

/**
 * Members of an uncompressed tar, in order. Reads to the end of the source, past the archive's own end mark.
 * @throws InvalidParameter `unexpected EOF` when it ends in the middle of an entry; when a header is damaged.
 */
export async function* readTar(
  source: ByteSource,
  options: { signal?: AbortSignal } = {},
): AsyncGenerator<TarMember> {
  const events = readEvents(source, options.signal);
  try {
    for (let event = await events.next(); event !== undefined; event = await events.next()) {
      if (event.kind !== "entry") continue;
      const content = contentOf(events, event.member.entry);
      yield { ...event.member, content };
      await content.return(undefined);
    }
  } finally {
    await events.close();
  }
}

interface Events {
  next(): Promise<Event | undefined>;
  close(): Promise<void>;
}

function readEvents(source: ByteSource, signal: AbortSignal | undefined): Events {
  const queue: Event[] = [];
  let taken = 0;
  let finished = false;
  let failure: { error: unknown } | undefined;
  const parser = new TarParser({
    entry: (entry, offset, storedSize) =>
      queue.push({ kind: "entry", member: { entry, offset, storedSize } }),
    data: (bytes, offset) => queue.push({ kind: "data", bytes, offset }),
    end: () => queue.push({ kind: "end" }),
  });
  const chunks = chunksOf(source, signal);
  return {
    next: async () => {
      for (;;) {
        const event = queue[taken];
        if (event !== undefined) {
          taken += 1;
          return event;
        }
        queue.length = 0;
        taken = 0;
        if (failure !== undefined) throw failure.error;
        if (finished) return undefined;
        const { done, value } = await chunks.next();
        finished = done === true;
        try {
          if (done === true) parser.finish();
          else parser.push(value);
        } catch (error) {
          // What stood before the damage in the same chunk is given first.
          failure = { error };
        }
      }
    },
    close: async () => {
      await chunks.return(undefined);
    },
  };
}

const zeros = new Uint8Array(1 << 16);

async function* contentOf(events: Events, entry: TarEntry): AsyncGenerator<Uint8Array> {
  let position = 0;
  let ended = false;
  try {
    for (;;) {
      const event = await events.next();
      if (event === undefined || event.kind === "end") break;
      if (event.kind !== "data") continue;
      yield* hole(event.offset - position);
      yield event.bytes;
      position = event.offset + event.bytes.length;
    }
    ended = true;
    yield* hole(entry.size - position);
  } finally {
    while (!ended) {
      const event = await events.next();
      ended = event === undefined || event.kind === "end";
    }
  }
}

function* hole(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= zeros.length) {
    yield left < zeros.length ? zeros.subarray(0, left) : zeros;
  }
}

const indexLimit = 100_000;
const indexChunk = 1 << 14;

/**
 * Finds the entries of an uncompressed tar in a local file without reading their data: `offset` and `storedSize`
 * make a FileRange (`offset` counts from the start of `file`'s range). At most `limit` entries (default 100,000).
 * @throws InvalidParameter as readTar does, also when data is missing at the end of the file.
 */
export function indexTar(file: FileRange, options: { limit?: number } = {}): IndexedEntry[] {
  const limit = options.limit ?? indexLimit;
  const entries: IndexedEntry[] = [];
  const parser = new TarParser({
    entry: (entry, offset, storedSize) => {
      if (entries.length >= limit) throw new InvalidParameter(`the archive holds more than ${limit} entries`);
      entries.push({ entry, offset, storedSize });
    },
    data: () => {},
    end: () => {},
  });
  using reader = new RangeReader(file);
  const buffer = new Uint8Array(indexChunk);
  for (;;) {
    const skippable = parser.skippable;
    if (skippable > 0) {
      if (reader.position + skippable > reader.end) throw unexpectedEnd();
      reader.position += skippable;
      parser.skip();
    }
    const chunk = reader.read(buffer);
    if (chunk.length === 0) break;
    parser.push(chunk);
  }
  parser.finish();
  return entries;
}
