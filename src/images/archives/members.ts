/** The members of an archive, wherever it comes from: a stream is read through, a local file is taken by its ranges. */
import { InvalidParameter } from "../../core/errors.ts";
import type { BlobWriter } from "../ingest.ts";
import { isFileRange, RangeReader } from "../layers/byte-source.ts";
import { decompress, detectFileCompression } from "../layers/compression.ts";
import type { ByteSource, FileRange, TarEntry } from "../layers/tar-entry.ts";
import { type IndexedEntry, indexTar, readTar } from "../layers/tar-reader.ts";
import { unexpectedEnd } from "../layers/unexpected-end.ts";

/** An image of 127 layers has some 260 entries; this is room for hundreds of such images in one archive. */
const mostEntries = 100_000;

export interface ArchiveMember {
  entry: TarEntry;
  /** Writes the file's bytes, once, before the next member is asked for. */
  writeTo(writer: BlobWriter): Promise<void>;
  /** For a member of a local file: its bytes, at any time. To be closed. */
  readonly open?: () => RangeReader;
}

/** @throws InvalidParameter for what is no tar, ends early, or has too many entries. */
export async function* membersOf(source: ByteSource, signal: AbortSignal): AsyncGenerator<ArchiveMember> {
  const index = isFileRange(source) ? indexOf(source) : undefined;
  if (index !== undefined && isFileRange(source)) yield* membersOfFile(source, index, signal);
  else yield* membersOfStream(source, signal);
}

/** Undefined for a file whose members cannot be copied as they are: a compressed one, or one with holes. */
function indexOf(file: FileRange): IndexedEntry[] | undefined {
  if (detectFileCompression(file) !== "none") return undefined;
  const index = indexTar(file, { limit: mostEntries });
  return index.some(({ entry }) => entry.sparse !== undefined) ? undefined : index;
}

async function* membersOfFile(
  file: FileRange,
  index: readonly IndexedEntry[],
  signal: AbortSignal,
): AsyncGenerator<ArchiveMember> {
  const start = file.offset ?? 0;
  for (const { entry, offset, storedSize } of index) {
    const open = () => new RangeReader({ path: file.path, offset: start + offset, length: storedSize });
    const writeTo = async (writer: BlobWriter) => {
      using reader = open();
      await copyAll(reader, writer, storedSize, signal);
    };
    yield { entry, writeTo, open };
  }
}

/**
 * Copies what is left of a member.
 * @throws InvalidParameter when somebody cut the file off since it was indexed.
 */
export async function copyAll(
  reader: RangeReader,
  writer: BlobWriter,
  storedSize: number,
  signal: AbortSignal,
  told?: (written: number) => void,
): Promise<void> {
  const end = reader.position + storedSize;
  await writer.copy(reader, signal, told);
  if (reader.position < end) throw unexpectedEnd();
}

async function* membersOfStream(source: ByteSource, signal: AbortSignal): AsyncGenerator<ArchiveMember> {
  const { stream } = await decompress(source, { signal });
  let entries = 0;
  for await (const { entry, content } of readTar(stream, { signal })) {
    entries += 1;
    if (entries > mostEntries)
      throw new InvalidParameter(`invalid archive: more than ${mostEntries} entries`);
    const writeTo = async (writer: BlobWriter) => {
      for await (const chunk of content) writer.write(chunk);
    };
    yield { entry, writeTo };
  }
}
