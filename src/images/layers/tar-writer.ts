/** Writes tar archives: ustar, and PAX records where ustar has no room. The same input gives the same bytes. */
import { SystemFailure } from "../../core/errors.ts";
import { pathBytes } from "../../linux/paths.ts";
import { quote } from "./entry-name.ts";
import type { SparseRun, TarEntry, TarEntryType } from "./tar-entry.ts";
import { blockSize } from "./tar-header.ts";

/** What must be said of an entry; the rest has defaults (0, empty, root, 0644, 0755 for directories, 0777 for links). */
export type TarEntryInput = Pick<TarEntry, "name" | "type"> & Partial<TarEntry>;

export interface TarWriterMember {
  entry: TarEntryInput;
  /** Exactly `entry.size` bytes; for a sparse entry the runs alone, one after the other. */
  content?: Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

const typeFlags: Record<TarEntryType, string> = {
  file: "0",
  "hard-link": "1",
  symlink: "2",
  "character-device": "3",
  "block-device": "4",
  directory: "5",
  fifo: "6",
};

const billion = 1_000_000_000n;
const largestOctal7 = 0o7777777;
const largestOctal11 = 0o77777777777;
const endOfOctal11 = (BigInt(largestOctal11) + 1n) * billion;

/** The header blocks of one entry (PAX header first where needed), with the map of a sparse file at their end. */
export function encodeHeader(entry: TarEntryInput): Uint8Array {
  return encodePlain(entry) ?? encodeAny(entry);
}

/**
 * Nearly all entries have short names, no attributes, and need at most a PAX record for their time: a shorter way to
 * the same bytes.
 * @returns undefined for any other entry
 */
function encodePlain(entry: TarEntryInput): Uint8Array | undefined {
  const { type, name, linkName = "", uid = 0, gid = 0, mtime = 0n } = entry;
  const size = type === "file" ? (entry.size ?? 0) : 0;
  const isPlain =
    entry.sparse === undefined &&
    entry.atime === undefined &&
    (entry.xattrs === undefined || entry.xattrs.size === 0) &&
    (entry.userName ?? "") === "" &&
    (entry.groupName ?? "") === "" &&
    Math.max(uid, gid) <= largestOctal7 &&
    size <= largestOctal11 &&
    isShort(name) &&
    isShort(linkName);
  if (!isPlain || mtime < 0n || mtime >= endOfOctal11) return undefined;
  const record = mtime % billion === 0n ? "" : `mtime=${paxTime(mtime)}\n`;
  const blocks = new Uint8Array(record === "" ? blockSize : 3 * blockSize);
  if (record !== "") {
    // The length counts itself: two digits and a blank.
    const length = record.length + 3;
    const sum = putAscii(blocks, 0, "PaxHeaders.0/") + putAscii(blocks, 13, paxName(name));
    putFields(blocks, 0, sum, { mode: 0o644, uid: 0, gid: 0, size: length, seconds: 0, flag: "x" });
    putAscii(blocks, blockSize, `${length} ${record}`);
  }
  const at = blocks.length - blockSize;
  let sum = putAscii(blocks, at, name) + putAscii(blocks, at + 157, linkName);
  sum += putNumber(blocks, at + 329, 8, entry.deviceMajor ?? 0);
  sum += putNumber(blocks, at + 337, 8, entry.deviceMinor ?? 0);
  const mode = entry.mode ?? defaultMode(type);
  putFields(blocks, at, sum, {
    mode,
    uid,
    gid,
    size,
    seconds: Number(mtime / billion),
    flag: typeFlags[type],
  });
  return blocks;
}

/** At most 100 characters, and each of them plain. */
function isShort(text: string): boolean {
  if (text.length > 100) return false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}

/** These give the sum of the bytes that they write. */
function putAscii(blocks: Uint8Array, at: number, text: string): number {
  let sum = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    blocks[at + index] = code;
    sum += code;
  }
  return sum;
}

function putNumber(blocks: Uint8Array, at: number, length: number, value: number): number {
  let sum = 0;
  let rest = value;
  for (let digit = at + length - 2; digit >= at; digit -= 1) {
    const code = 0x30 + (rest % 8);
    blocks[digit] = code;
    sum += code;
    rest = Math.floor(rest / 8);
  }
  return sum;
}

interface HeaderFields {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly seconds: number;
  readonly flag: string;
}

/** What every header has, and its checksum. @param others the sum of what was written before */
function putFields(blocks: Uint8Array, at: number, others: number, fields: HeaderFields): void {
  let sum = others + putNumber(blocks, at + 100, 8, fields.mode);
  sum += putNumber(blocks, at + 108, 8, fields.uid) + putNumber(blocks, at + 116, 8, fields.gid);
  sum += putNumber(blocks, at + 124, 12, fields.size) + putNumber(blocks, at + 136, 12, fields.seconds);
  sum += putAscii(blocks, at + 148, "        ") + putAscii(blocks, at + 156, fields.flag);
  sum += putAscii(blocks, at + 257, "ustar\0" + "00");
  putNumber(blocks, at + 148, 7, sum);
  blocks[at + 154] = 0;
}

/** Any entry. */
function encodeAny(entry: TarEntryInput): Uint8Array {
  const records: (readonly [key: string, value: Uint8Array | string])[] = [];
  const { type, name, linkName = "", uid = 0, gid = 0, mtime = 0n } = entry;
  const map = entry.sparse === undefined ? undefined : encodeSparseMap(entry.sparse);
  const size = type === "file" ? storedSize(entry) + (map?.length ?? 0) : 0;
  const block = Buffer.alloc(blockSize);

  let written = bytesOf(name);
  if (map !== undefined) {
    records.push(["GNU.sparse.major", "1"], ["GNU.sparse.minor", "0"]);
    records.push(["GNU.sparse.name", written], ["GNU.sparse.realsize", String(entry.size ?? 0)]);
    written = Buffer.from(`GNUSparseFile.0/${asciiTail(name, 80)}`);
  }
  if (!putName(block, written)) {
    records.push(["path", written]);
    block.set(written.subarray(0, 100));
    if (!isAscii(written)) block.write(asciiTail(name, 99), 0, "latin1");
  }
  const link = bytesOf(linkName);
  if (link.length > 100 || !isAscii(link)) records.push(["linkpath", link]);
  else block.set(link, 157);

  const seconds = (mtime - (((mtime % billion) + billion) % billion)) / billion;
  if (mtime % billion !== 0n || seconds < 0n || seconds > BigInt(largestOctal11)) {
    records.push(["mtime", paxTime(mtime)]);
  }
  if (entry.atime !== undefined) records.push(["atime", paxTime(entry.atime)]);
  if (uid > largestOctal7) records.push(["uid", String(uid)]);
  if (gid > largestOctal7) records.push(["gid", String(gid)]);
  if (size > largestOctal11) records.push(["size", String(size)]);
  putText(block, 265, 31, "uname", entry.userName ?? "", records);
  putText(block, 297, 31, "gname", entry.groupName ?? "", records);
  if (entry.xattrs !== undefined && entry.xattrs.size > 0) {
    for (const [key, value] of [...entry.xattrs].sort(([left], [right]) => (left < right ? -1 : 1))) {
      records.push([`SCHILY.xattr.${key}`, value]);
    }
  }

  putOctal(block, 100, 8, entry.mode ?? defaultMode(type));
  putOctal(block, 108, 8, uid > largestOctal7 ? 0 : uid);
  putOctal(block, 116, 8, gid > largestOctal7 ? 0 : gid);
  putOctal(block, 124, 12, size > largestOctal11 ? 0 : size);
  putOctal(block, 136, 12, seconds < 0n || seconds > BigInt(largestOctal11) ? 0 : Number(seconds));
  putOctal(block, 329, 8, entry.deviceMajor ?? 0);
  putOctal(block, 337, 8, entry.deviceMinor ?? 0);
  seal(block, typeFlags[type]);
  if (records.length === 0 && map === undefined) return block;
  const parts = records.length === 0 ? [block] : [...paxHeader(records, name), block];
  return Buffer.concat(map === undefined ? parts : [...parts, map]);
}

/** Bytes of content that follow the header. */
function storedSize(entry: TarEntryInput): number {
  if (entry.type !== "file") return 0;
  if (entry.sparse === undefined) return entry.size ?? 0;
  return entry.sparse.reduce((total, run) => total + run.length, 0);
}

/** Zeros to the next multiple of 512. */
export function padding(size: number): Uint8Array {
  return zeroBlock.subarray(0, (blockSize - (size % blockSize)) % blockSize);
}

const zeroBlock = new Uint8Array(blockSize);

/** The two zero blocks that end an archive. */
export const endOfArchive: Uint8Array = new Uint8Array(2 * blockSize);

/** A whole archive with its end mark. @throws SystemFailure when content is longer or shorter than `entry.size`. */
export async function* writeTar(
  members: AsyncIterable<TarWriterMember> | Iterable<TarWriterMember>,
): AsyncGenerator<Uint8Array> {
  for await (const { entry, content } of members) {
    yield encodeHeader(entry);
    const size = storedSize(entry);
    let written = 0;
    for await (const chunk of content instanceof Uint8Array ? [content] : (content ?? [])) {
      written += chunk.length;
      if (written > size) throw wrongSize(entry, size);
      yield chunk;
    }
    if (written !== size) throw wrongSize(entry, size);
    yield padding(size);
  }
  yield endOfArchive;
}

/** One member whose bytes are at hand without waiting. */
export interface LocalMember {
  entry: TarEntryInput;
  content?: Iterable<Uint8Array>;
}

/** As `writeTar` without a promise for each entry: for members that come from local files. */
export function* writeLocalTar(members: Iterable<LocalMember>): Generator<Uint8Array> {
  for (const { entry, content } of members) {
    yield encodeHeader(entry);
    const size = storedSize(entry);
    let written = 0;
    for (const chunk of content ?? []) {
      written += chunk.length;
      yield chunk;
    }
    if (written !== size) throw wrongSize(entry, size);
    yield padding(size);
  }
  yield endOfArchive;
}

/** Gathers small chunks: fewer, larger ones, each in its own memory. A turn of the event loop for each. */
export async function* gather(
  chunks: Iterable<Uint8Array>,
  options: { size?: number; signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array> {
  const size = options.size ?? 1 << 20;
  let block = Buffer.allocUnsafeSlow(size);
  let filled = 0;
  const full: Buffer[] = [];
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      const length = Math.min(chunk.length - at, size - filled);
      block.set(length === chunk.length ? chunk : chunk.subarray(at, at + length), filled);
      filled += length;
      at += length;
      if (filled < size) continue;
      full.push(block);
      block = Buffer.allocUnsafeSlow(size);
      filled = 0;
    }
    // Only now: while others work, the chunk's bytes may be written over, as all readers share one buffer.
    for (let ready = full.shift(); ready !== undefined; ready = full.shift()) {
      yield ready;
      options.signal?.throwIfAborted();
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}

/** Bytes between two turns of the event loop. */
const turnAfter = 4 << 20;

/**
 * Hands chunks on, small ones gathered. What `write` is given is used again for the next ones.
 * @throws the reason of `signal`
 */
export async function passOn(
  chunks: Iterable<Uint8Array>,
  write: (chunk: Uint8Array) => void,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  // Stays in the processor's cache between the reading and the writing.
  const block = new Uint8Array(1 << 18);
  let filled = 0;
  let passed = 0;
  for (const chunk of chunks) {
    if (filled + chunk.length > block.length) {
      write(block.subarray(0, filled));
      filled = 0;
    }
    if (chunk.length < block.length) {
      block.set(chunk, filled);
      filled += chunk.length;
    } else write(chunk);
    passed += chunk.length;
    if (passed < turnAfter) continue;
    passed = 0;
    await Bun.sleep(0);
    options.signal?.throwIfAborted();
  }
  if (filled > 0) write(block.subarray(0, filled));
}

function wrongSize(entry: TarEntryInput, size: number): SystemFailure {
  return new SystemFailure(
    `the content of ${quote(entry.name)} is not the ${size} bytes that its header says`,
  );
}

function defaultMode(type: TarEntryType): number {
  return type === "directory" ? 0o755 : type === "symlink" ? 0o777 : 0o644;
}

function bytesOf(name: string): Uint8Array {
  return pathBytes(name).subarray(0, -1);
}

// Loops by index, here and below: they run for every entry of a layer, mostly before they are compiled well.
function isAscii(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += 1) if ((bytes[at] ?? 0) >= 0x80) return false;
  return true;
}

/** The end of a name, for a place that only old readers look at. */
function asciiTail(name: string, length: number): string {
  return name.replace(/[^\x20-\x7e]/g, "_").slice(-length);
}

/** In the name field, or split at a slash into prefix and name; false where neither has room. */
function putName(block: Buffer, name: Uint8Array): boolean {
  if (!isAscii(name)) return false;
  if (name.length <= 100) {
    block.set(name, 0);
    return true;
  }
  if (name.length > 256) return false;
  const slash = name.subarray(0, 156).lastIndexOf(0x2f);
  const rest = name.length - slash - 1;
  if (slash <= 0 || rest > 100 || rest === 0) return false;
  block.set(name.subarray(0, slash), 345);
  block.set(name.subarray(slash + 1), 0);
  return true;
}

function putText(
  block: Buffer,
  at: number,
  room: number,
  key: string,
  value: string,
  records: (readonly [string, Uint8Array | string])[],
): void {
  if (value === "") return;
  const bytes = bytesOf(value);
  if (bytes.length > room || !isAscii(bytes)) records.push([key, bytes]);
  else block.set(bytes, at);
}

function putOctal(block: Buffer, at: number, length: number, value: number): void {
  block.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
}

function seal(block: Buffer, type: string): void {
  block.write(type, 156, "latin1");
  block.write("ustar\0" + "00", 257, "latin1");
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}

function paxTime(time: bigint): string {
  const magnitude = time < 0n ? -time : time;
  const fraction = (magnitude % billion).toString().padStart(9, "0").replace(/0+$/, "");
  return `${time < 0n ? "-" : ""}${magnitude / billion}${fraction === "" ? "" : `.${fraction}`}`;
}

function paxName(name: string): string {
  return asciiTail(name.replace(/\/$/, ""), 80).replaceAll("/", "_");
}

function paxHeader(records: (readonly [string, Uint8Array | string])[], name: string): Uint8Array[] {
  const body = records.map(([key, value]) => paxRecord(key, value));
  const length = body.reduce((sum, record) => sum + record.length, 0);
  const block = Buffer.alloc(blockSize);
  block.write(`PaxHeaders.0/${paxName(name)}`, 0, "latin1");
  putOctal(block, 100, 8, 0o644);
  putOctal(block, 108, 8, 0);
  putOctal(block, 116, 8, 0);
  putOctal(block, 124, 12, length);
  putOctal(block, 136, 12, 0);
  seal(block, "x");
  return [block, ...body, padding(length)];
}

/** The length counts itself. */
function paxRecord(key: string, value: Uint8Array | string): Buffer {
  const size = typeof value === "string" ? Buffer.byteLength(value) : value.length;
  const rest = Buffer.byteLength(key) + size + 3;
  let length = rest + String(rest).length;
  if (rest + String(length).length > length) length = rest + String(length).length;
  if (typeof value === "string") return Buffer.from(`${length} ${key}=${value}\n`);
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from("\n")]);
}

function encodeSparseMap(runs: readonly SparseRun[]): Buffer {
  const lines = [runs.length, ...runs.flatMap((run) => [run.offset, run.length])];
  const text = Buffer.from(`${lines.join("\n")}\n`);
  return Buffer.concat([text, padding(text.length)]);
}
