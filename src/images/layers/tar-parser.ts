/**
 * A tar parser that is fed with chunks and calls a sink: no promise and no copy between an archive's bytes and
 * whoever takes them, whatever the sizes of chunks and entries.
 */
import { InvalidParameter } from "../../core/errors.ts";
import { pathText } from "../../linux/paths.ts";
import {
  decodePax,
  decodeSparseMap,
  type PaxHeader,
  paxNumber,
  paxPath,
  paxTime,
  paxXattrs,
  SparseMapLines,
} from "./pax.ts";
import type { SparseRun, TarEntry, TarEntryType } from "./tar-entry.ts";
import {
  blockSize,
  decodeGnuRuns,
  decodeGnuSparse,
  decodeHeader,
  invalidHeader,
  isZero,
  type RawHeader,
} from "./tar-header.ts";
import { unexpectedEnd } from "./unexpected-end.ts";

export interface TarSink {
  /** @param offset where the entry's data begins in the archive, `storedSize` how much there is. */
  entry(entry: TarEntry, offset: number, storedSize: number): void;
  /** Bytes of the entry's file for `offset` in it; the array is valid during the call only. */
  data(bytes: Buffer, offset: number): void;
  /** The entry is complete. */
  end(): void;
}

/** PAX headers, long names and sparse maps above this are refused, as Go's archive/tar does. */
const largestMetadata = 1 << 20;

type State = "header" | "metadata" | "gnu-runs" | "sparse-map" | "data" | "padding" | "trailer";

const entryTypes: Record<string, TarEntryType> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  S: "file",
  "1": "hard-link",
  "2": "symlink",
  "3": "character-device",
  "4": "block-device",
  "5": "directory",
  "6": "fifo",
};

export class TarParser {
  readonly #sink: TarSink;
  #state: State = "header";
  /** Bytes of the archive taken so far. */
  #position = 0;

  /** Gathers a block, or metadata, that is split between chunks. */
  #gathered = Buffer.alloc(blockSize);
  #gatheredLength = 0;
  #wanted = blockSize;
  #sawZeroBlock = false;

  /** What a metadata entry is: `x`, `g`, `L` or `K`. */
  #metadataType = "";
  #pax: PaxHeader | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;

  /** The entry whose sparse map is still being read. */
  #pending: RawHeader | undefined;
  #runs: SparseRun[] = [];
  #map = new SparseMapLines();
  #mapSize = 0;
  #sparseSize = 0;

  #left = 0;
  #padding = 0;
  #fileOffset = 0;
  #sparse: readonly SparseRun[] | undefined;
  #run = 0;
  #runDone = 0;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** Bytes taken so far: the size of the archive when all was pushed. */
  get position(): number {
    return this.#position;
  }

  /** How many bytes may be passed over without being pushed, if nobody wants this entry's data: see `skip`. */
  get skippable(): number {
    return this.#state === "data" ? this.#left + this.#padding : 0;
  }

  /** Passes over `skippable` bytes that the caller does not push; the sink gets `end` without data. */
  skip(): void {
    this.#position += this.#left + this.#padding;
    this.#left = 0;
    this.#padding = 0;
    this.#sink.end();
    this.#expectHeader();
  }

  /** @throws InvalidParameter for a malformed archive. */
  push(chunk: Uint8Array): void {
    const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    while (at < buffer.length) {
      const start = at;
      switch (this.#state) {
        case "data":
          at = this.#takeData(buffer, at);
          break;
        case "padding": {
          const skipped = Math.min(this.#padding, buffer.length - at);
          this.#padding -= skipped;
          at += skipped;
          if (this.#padding === 0) this.#expectHeader();
          break;
        }
        case "trailer":
          at = buffer.length;
          break;
        default:
          at = this.#gather(buffer, at);
      }
      this.#position += at - start;
    }
  }

  /** The archive has ended. @throws InvalidParameter `unexpected EOF` in the middle of an entry. */
  finish(): void {
    if (this.#state === "trailer") return;
    const dangling = this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined;
    if (this.#state !== "header" || this.#gatheredLength > 0 || dangling) throw unexpectedEnd();
  }

  #gather(buffer: Buffer, at: number): number {
    const missing = this.#wanted - this.#gatheredLength;
    const available = buffer.length - at;
    if (this.#gatheredLength === 0 && available >= missing) {
      const end = at + missing;
      const whole = buffer.subarray(at, end);
      this.#position += missing;
      this.#takeWhole(whole);
      this.#position -= missing;
      return end;
    }
    const taken = Math.min(missing, available);
    if (this.#gathered.length < this.#wanted) this.#gathered = Buffer.alloc(this.#wanted);
    buffer.copy(this.#gathered, this.#gatheredLength, at, at + taken);
    this.#gatheredLength += taken;
    if (this.#gatheredLength === this.#wanted) {
      const whole = this.#gathered.subarray(0, this.#wanted);
      this.#gatheredLength = 0;
      this.#position += taken;
      this.#takeWhole(whole);
      this.#position -= taken;
    }
    return at + taken;
  }

  #takeWhole(bytes: Buffer): void {
    switch (this.#state) {
      case "header":
        this.#takeHeader(bytes);
        break;
      case "metadata":
        this.#takeMetadata(bytes);
        break;
      case "gnu-runs":
        this.#takeGnuRuns(bytes);
        break;
      case "sparse-map":
        this.#takeSparseMap(bytes);
        break;
    }
  }

  #expectHeader(): void {
    this.#state = "header";
    this.#wanted = blockSize;
    this.#gatheredLength = 0;
  }

  #takeHeader(block: Buffer): void {
    if (this.#sawZeroBlock) {
      if (!isZero(block)) throw invalidHeader();
      this.#state = "trailer";
      return;
    }
    const raw = decodeHeader(block);
    if (raw === undefined) {
      if (this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined) {
        throw unexpectedEnd();
      }
      this.#sawZeroBlock = true;
      return;
    }
    if (raw.size < 0) throw invalidHeader();
    if (raw.type === "x" || raw.type === "g" || raw.type === "L" || raw.type === "K") {
      if (raw.size > largestMetadata) throw new InvalidParameter("archive/tar: header field too long");
      this.#metadataType = raw.type;
      this.#state = "metadata";
      this.#wanted = roundUp(raw.size);
      this.#pending = raw;
      if (raw.size === 0) this.#takeMetadata(block.subarray(0, 0));
      return;
    }
    this.#takeEntryHeader(raw, block);
  }

  #takeMetadata(padded: Buffer): void {
    const body = padded.subarray(0, this.#pending?.size ?? 0);
    this.#pending = undefined;
    switch (this.#metadataType) {
      case "x":
        this.#pax = decodePax(body);
        break;
      case "L":
        this.#longName = untilZero(body);
        break;
      case "K":
        this.#longLink = untilZero(body);
        break;
      default:
        // Global records are read, so that a damaged archive is noticed, and not applied: as Docker does.
        decodePax(body);
    }
    this.#expectHeader();
  }

  #takeEntryHeader(raw: RawHeader, block: Buffer): void {
    const records = this.#pax?.records;
    const size = records === undefined ? undefined : paxNumber(records, "size");
    if (size !== undefined) raw.size = size;
    this.#runs = [];
    if (raw.type === "S") {
      const sparse = decodeGnuSparse(block);
      this.#runs = sparse.runs;
      this.#sparseSize = sparse.size;
      if (sparse.continues) {
        this.#pending = raw;
        this.#state = "gnu-runs";
        this.#wanted = blockSize;
        return;
      }
      this.#begin(raw, this.#runs, sparse.size);
      return;
    }
    if (this.#pax !== undefined && raw.type !== "5" && this.#paxSparse(raw, this.#pax)) return;
    this.#begin(raw, undefined, raw.size);
  }

  /** GNU sparse files in PAX clothes; true if the entry is dealt with. */
  #paxSparse(raw: RawHeader, pax: PaxHeader): boolean {
    const { records, sparsePairs } = pax;
    const size = paxNumber(records, "GNU.sparse.realsize") ?? paxNumber(records, "GNU.sparse.size");
    if (paxNumber(records, "GNU.sparse.major") === 1) {
      if (size === undefined) throw invalidHeader();
      this.#sparseSize = size;
      this.#pending = raw;
      this.#map = new SparseMapLines();
      this.#mapSize = 0;
      this.#state = "sparse-map";
      this.#wanted = blockSize;
      return true;
    }
    const map = records.get("GNU.sparse.map");
    if (map === undefined && sparsePairs.length === 0) {
      if (size === undefined || paxNumber(records, "GNU.sparse.numblocks") === undefined) return false;
    }
    if (size === undefined) throw invalidHeader();
    this.#begin(raw, map === undefined ? sparsePairs : decodeSparseMap(map), size);
    return true;
  }

  #takeSparseMap(block: Buffer): void {
    const raw = this.#pending;
    this.#mapSize += block.length;
    if (raw === undefined || this.#mapSize > raw.size) throw invalidHeader();
    if (this.#mapSize > largestMetadata) throw new InvalidParameter("archive/tar: header field too long");
    const runs = this.#map.push(block);
    if (runs === undefined) return;
    raw.size -= this.#mapSize;
    this.#pending = undefined;
    this.#begin(raw, runs, this.#sparseSize);
  }

  #takeGnuRuns(block: Buffer): void {
    const raw = this.#pending;
    if (raw === undefined) throw invalidHeader();
    this.#runs.push(...decodeGnuRuns(block, 0, 21));
    if (this.#runs.length * 24 > largestMetadata)
      throw new InvalidParameter("archive/tar: header field too long");
    if (block[504] !== 0) return;
    this.#pending = undefined;
    this.#begin(raw, this.#runs, this.#sparseSize);
  }

  #begin(raw: RawHeader, sparse: readonly SparseRun[] | undefined, size: number): void {
    const entry = this.#describe(raw, sparse, size);
    const stored = entry.type === "file" ? raw.size : 0;
    if (sparse !== undefined) checkRuns(sparse, size, stored);
    this.#pax = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#sparse = sparse;
    this.#run = 0;
    this.#runDone = 0;
    this.#fileOffset = 0;
    this.#left = stored;
    this.#padding = roundUp(stored) - stored;
    this.#sink.entry(entry, this.#position, stored);
    if (stored > 0) {
      this.#state = "data";
      return;
    }
    this.#sink.end();
    this.#expectHeader();
  }

  #describe(raw: RawHeader, sparse: readonly SparseRun[] | undefined, size: number): TarEntry {
    const records = this.#pax?.records;
    const name =
      (records && (paxPath(records, "GNU.sparse.name") ?? paxPath(records, "path"))) ??
      this.#longName ??
      raw.name;
    let type = entryTypes[raw.type];
    if (type === undefined) {
      throw new InvalidParameter(
        `unhandled tar header type ${raw.type.charCodeAt(0)} of ${JSON.stringify(name)}`,
      );
    }
    // Before ustar a directory was a file whose name ends with a slash.
    if (type === "file" && raw.size === 0 && name.endsWith("/")) type = "directory";
    const uid = (records && paxNumber(records, "uid")) ?? raw.uid;
    const gid = (records && paxNumber(records, "gid")) ?? raw.gid;
    if (!isId(uid) || !isId(gid) || raw.mode < 0) throw invalidHeader();
    return {
      name,
      type,
      mode: raw.mode & 0o7777,
      uid,
      gid,
      userName: (records && paxPath(records, "uname")) ?? raw.userName,
      groupName: (records && paxPath(records, "gname")) ?? raw.groupName,
      size: type === "file" ? size : 0,
      mtime: (records && paxTime(records, "mtime")) ?? BigInt(raw.mtime) * 1_000_000_000n,
      atime: records && paxTime(records, "atime"),
      linkName:
        type === "symlink" || type === "hard-link"
          ? ((records && paxPath(records, "linkpath")) ?? this.#longLink ?? raw.linkName)
          : "",
      deviceMajor: raw.deviceMajor,
      deviceMinor: raw.deviceMinor,
      xattrs: records === undefined ? noXattrs : paxXattrs(records),
      sparse,
    };
  }

  #takeData(buffer: Buffer, at: number): number {
    const run = this.#sparse?.[this.#run];
    let length = Math.min(this.#left, buffer.length - at);
    let offset = this.#fileOffset;
    if (run !== undefined) {
      length = Math.min(length, run.length - this.#runDone);
      offset = run.offset + this.#runDone;
      this.#runDone += length;
      if (this.#runDone === run.length) {
        this.#run += 1;
        this.#runDone = 0;
      }
    }
    if (length > 0) this.#sink.data(buffer.subarray(at, at + length), offset);
    this.#fileOffset += length;
    this.#left -= length;
    if (this.#left === 0) {
      this.#sink.end();
      if (this.#padding === 0) this.#expectHeader();
      else this.#state = "padding";
    }
    return at + length;
  }
}

const noXattrs: ReadonlyMap<string, Uint8Array> = new Map();

function roundUp(size: number): number {
  return Math.ceil(size / blockSize) * blockSize;
}

function isId(value: number): boolean {
  return value >= 0 && value <= 0xffff_ffff;
}

function untilZero(body: Buffer): string {
  const end = body.indexOf(0);
  return pathText(end < 0 ? body : body.subarray(0, end));
}

/** Runs are in order, inside the file, and hold exactly the bytes that are stored. */
function checkRuns(runs: readonly SparseRun[], size: number, stored: number): void {
  let end = 0;
  let total = 0;
  for (const run of runs) {
    if (run.length < 0 || run.offset < end) throw invalidHeader();
    end = run.offset + run.length;
    total += run.length;
  }
  if (end > size || total !== stored || !Number.isSafeInteger(end)) throw invalidHeader();
}
