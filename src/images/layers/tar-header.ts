/**
 * One tar header block: ustar (POSIX.1-1988), GNU, star and V7. POSIX pax(1), "ustar Interchange Format";
 * GNU tar manual, "Basic Tar Format". Errors are in the words of Go's archive/tar, which Docker's users know.
 */
import { InvalidParameter } from "../../core/errors.ts";
import { pathText } from "../../linux/paths.ts";
import type { SparseRun } from "./tar-entry.ts";

export const blockSize = 512;

export function invalidHeader(): InvalidParameter {
  return new InvalidParameter("archive/tar: invalid tar header");
}

/** The fields as they stand in the block, before PAX records and GNU long names replace some. */
export interface RawHeader {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Seconds. */
  mtime: number;
  type: string;
  linkName: string;
  userName: string;
  groupName: string;
  deviceMajor: number;
  deviceMinor: number;
  format: "v7" | "ustar" | "gnu" | "star";
}

/** Undefined for a block of zeros. @throws InvalidParameter when the checksum or a number is wrong. */
export function decodeHeader(block: Buffer): RawHeader | undefined {
  if (!checksumHolds(block)) {
    if (isZero(block)) return undefined;
    throw invalidHeader();
  }
  const format = formatOf(block);
  const hasNames = format !== "v7";
  const prefix = format === "ustar" ? text(block, 345, 155) : format === "star" ? text(block, 345, 131) : "";
  const name = text(block, 0, 100);
  const type = block[156] ?? 0;
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    mode: number(block, 100, 8),
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size: number(block, 124, 12),
    mtime: number(block, 136, 12),
    type: type === 0 ? "\0" : String.fromCharCode(type),
    linkName: text(block, 157, 100),
    userName: hasNames ? text(block, 265, 32) : "",
    groupName: hasNames ? text(block, 297, 32) : "",
    deviceMajor: hasNames ? number(block, 329, 8) : 0,
    deviceMinor: hasNames ? number(block, 337, 8) : 0,
    format,
  };
}

function formatOf(block: Buffer): RawHeader["format"] {
  // "ustar\0" "00" is POSIX, "ustar  \0" is GNU.
  if (block.readUInt32BE(257) !== 0x75737461 || block[261] !== 0x72) return "v7";
  if (block[262] === 0x20 && block[263] === 0x20 && block[264] === 0) return "gnu";
  if (block[262] !== 0) return "v7";
  return block.readUInt32BE(508) === 0x74617200 ? "star" : "ustar";
}

/** The sum of all bytes with the checksum field as spaces; old writers took bytes as signed. */
function checksumHolds(block: Buffer): boolean {
  let unsigned = 0;
  let high = 0;
  for (let at = 0; at < blockSize; at += 1) {
    const byte = block[at] ?? 0;
    unsigned += byte;
    high += byte >> 7;
  }
  for (let at = 148; at < 156; at += 1) {
    const byte = block[at] ?? 0;
    unsigned -= byte - 0x20;
    high -= byte >> 7;
  }
  const expected = octalOrUndefined(block, 148, 8);
  return expected === unsigned || expected === unsigned - 256 * high;
}

const zeroBlock = Buffer.alloc(blockSize);

export function isZero(block: Uint8Array): boolean {
  return zeroBlock.compare(block, 0, blockSize) === 0;
}

function text(block: Buffer, at: number, length: number): string {
  if (block[at] === 0) return "";
  let end = at + 1;
  while (end < at + length && block[end] !== 0) end += 1;
  return pathText(block.subarray(at, end));
}

/** Octal digits, or base-256 where the first bit is set. */
function number(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) return base256(block, at, length);
  const value = octalOrUndefined(block, at, length);
  if (value === undefined) throw invalidHeader();
  return value;
}

function octalOrUndefined(block: Buffer, at: number, length: number): number | undefined {
  let value = 0;
  let ended = false;
  for (let index = at; index < at + length; index += 1) {
    const byte = block[index] ?? 0;
    if (byte >= 0x30 && byte <= 0x37 && !ended) value = value * 8 + (byte - 0x30);
    else if (byte === 0 || byte === 0x20) ended ||= value > 0 || byte === 0;
    else return undefined;
  }
  return value;
}

/** Two's complement, big-endian, without the marker bit. */
function base256(block: Buffer, at: number, length: number): number {
  const negative = ((block[at] ?? 0) & 0x40) !== 0;
  let value = negative ? -1n : 0n;
  for (let index = at; index < at + length; index += 1) {
    let byte = block[index] ?? 0;
    if (index === at) byte = negative ? byte | 0x80 : byte & 0x7f;
    value = (value << 8n) | BigInt(byte);
  }
  value = BigInt.asIntN(length * 8, value);
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw invalidHeader();
  return result;
}

/** Sparse runs as old GNU headers hold them: `count` pairs of 12-byte numbers; ends at the first empty pair. */
export function decodeGnuRuns(block: Buffer, at: number, count: number): SparseRun[] {
  const runs: SparseRun[] = [];
  for (let index = 0; index < count; index += 1) {
    const start = at + index * 24;
    if ((block[start] ?? 0) === 0 || (block[start + 12] ?? 0) === 0) break;
    runs.push({ offset: number(block, start, 12), length: number(block, start + 12, 12) });
  }
  return runs;
}

/** Of an old GNU sparse header: the size with holes, the first runs, and whether blocks with more runs follow. */
export function decodeGnuSparse(block: Buffer): { size: number; runs: SparseRun[]; continues: boolean } {
  return { size: number(block, 483, 12), runs: decodeGnuRuns(block, 386, 4), continues: block[482] !== 0 };
}
