/** PAX records (POSIX pax(1), "pax Extended Header"): `length key=value\n`, and GNU tar's sparse maps in them. */
import { pathText } from "../../linux/paths.ts";
import type { SparseRun } from "./tar-entry.ts";
import { invalidHeader } from "./tar-header.ts";

export type PaxRecords = Map<string, Buffer>;

/** GNU sparse 0.0 gives one pair of records for each run: they are gathered here in their order. */
export interface PaxHeader {
  records: PaxRecords;
  sparsePairs: SparseRun[];
}

const xattrPrefix = "SCHILY.xattr.";

/** @throws InvalidParameter for a malformed record. */
export function decodePax(body: Buffer): PaxHeader {
  const header: PaxHeader = { records: new Map(), sparsePairs: [] };
  let offset: number | undefined;
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    if (space < 0 || space - at > 10) throw invalidHeader();
    const length = decimal(body.subarray(at, space));
    const end = at + length;
    if (end > body.length || end <= space + 1 || body[end - 1] !== 0x0a) throw invalidHeader();
    const equals = body.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) throw invalidHeader();
    const key = body.toString("utf8", space + 1, equals);
    const value = body.subarray(equals + 1, end - 1);
    if (key === "" || key.includes("\0")) throw invalidHeader();
    if (key === "GNU.sparse.offset") offset = decimal(value);
    else if (key === "GNU.sparse.numbytes") {
      if (offset === undefined) throw invalidHeader();
      header.sparsePairs.push({ offset, length: decimal(value) });
      offset = undefined;
    } else header.records.set(key, Buffer.from(value));
    at = end;
  }
  return header;
}

function decimal(bytes: Buffer): number {
  const text = bytes.toString("latin1");
  const value = Number(text);
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(value)) throw invalidHeader();
  return value;
}

/** A path in a record, or undefined where there is none or it is empty. */
export function paxPath(records: PaxRecords, key: string): string | undefined {
  const value = records.get(key);
  if (value === undefined || value.length === 0) return undefined;
  if (value.includes(0)) throw invalidHeader();
  return pathText(value);
}

export function paxNumber(records: PaxRecords, key: string): number | undefined {
  const value = records.get(key);
  return value === undefined || value.length === 0 ? undefined : decimal(value);
}

/** Nanoseconds; finer digits are cut. */
export function paxTime(records: PaxRecords, key: string): bigint | undefined {
  const value = records.get(key);
  if (value === undefined || value.length === 0) return undefined;
  const match = /^(-?)([0-9]{1,12})(?:\.([0-9]*))?$/.exec(value.toString("latin1"));
  if (match === null) throw invalidHeader();
  const [, sign, seconds, fraction] = match;
  const magnitude =
    BigInt(seconds ?? "0") * 1_000_000_000n + BigInt((fraction ?? "").slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -magnitude : magnitude;
}

const none: ReadonlyMap<string, Uint8Array> = new Map();

export function paxXattrs(records: PaxRecords): ReadonlyMap<string, Uint8Array> {
  let xattrs: Map<string, Uint8Array> | undefined;
  for (const [key, value] of records) {
    if (!key.startsWith(xattrPrefix)) continue;
    xattrs ??= new Map();
    xattrs.set(key.slice(xattrPrefix.length), value);
  }
  return xattrs ?? none;
}

/** GNU sparse 0.1: `offset,length,offset,length…`. */
export function decodeSparseMap(value: Buffer): SparseRun[] {
  const text = value.toString("latin1");
  if (text === "") return [];
  const numbers = text.split(",").map((part) => decimal(Buffer.from(part)));
  return pairs(numbers);
}

/**
 * GNU sparse 1.0: the map is at the start of the data, as lines of decimal numbers: how many runs, then offset and
 * length of each; padded to a block. Fed block by block.
 */
export class SparseMapLines {
  readonly #numbers: number[] = [];
  #value = 0;
  #digits = 0;

  /** The runs once the block that ends the map was given; undefined before. */
  push(block: Uint8Array): SparseRun[] | undefined {
    for (const byte of block) {
      if (byte === 0x0a && this.#digits > 0) {
        this.#numbers.push(this.#value);
        this.#value = 0;
        this.#digits = 0;
        const count = this.#numbers[0] ?? 0;
        if (this.#numbers.length === 1 + 2 * count) return pairs(this.#numbers.slice(1));
      } else if (byte >= 0x30 && byte <= 0x39 && this.#digits < 15) {
        this.#value = this.#value * 10 + (byte - 0x30);
        this.#digits += 1;
      } else throw invalidHeader();
    }
    return undefined;
  }
}

function pairs(numbers: number[]): SparseRun[] {
  if (numbers.length % 2 !== 0) throw invalidHeader();
  const runs: SparseRun[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    runs.push({ offset: numbers[index] ?? 0, length: numbers[index + 1] ?? 0 });
  }
  return runs;
}
