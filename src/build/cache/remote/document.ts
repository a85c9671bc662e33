/**
 * What a cache that travels says of its layers. It is the config of an OCI image manifest whose layers are the cached
 * ones, or (inline) a field of an image's own config. Keys are davit's: another builder has no use for them.
 */
import { InvalidParameter } from "../../../core/errors.ts";
import { type ChainId, type DiffId, isDigest } from "../../../core/ids.ts";
import { defined, type JsonReader, parseJson } from "../../../images/json.ts";

export const cacheConfigType = "application/vnd.davit.buildcache.config.v1+json";
/** BuildKit's, with keys of its own. */
export const buildkitConfigType = "application/vnd.buildkit.cacheconfig.v0";
/** The field of an image's config that holds an inline cache. */
export const inlineField = "davit.buildcache.v1";

/** One layer, and the step that has made it. */
export interface CacheRecord {
  /** Of the step's result; hex. Absent for a layer that others stand on and nothing leads to any more. */
  readonly key?: string;
  /** Other keys of the step. */
  readonly aliases: readonly string[];
  /** The record of the layer below; undefined for one that stands on an image, or on nothing. */
  readonly below: number | undefined;
  /** What the bottommost stands on: the image's topmost chain id. */
  readonly base: ChainId | undefined;
  /** Position among the manifest's layers. */
  readonly layer: number;
  readonly diffId: DiffId;
  /** Bytes of the uncompressed tar. */
  readonly size: number;
  /** Newest time of its files; nanoseconds since 1970. */
  readonly fileTime: bigint;
  readonly description: string;
}

const formatVersion = 1;
const mostRecords = 20_000;
const mostAliases = 16;
const longestDescription = 4096;
const largestLayer = 2 ** 44;

/** As JSON. */
export function writeRecords(records: readonly CacheRecord[]): object {
  return {
    version: formatVersion,
    records: records.map(({ fileTime, aliases, ...rest }) => ({
      ...defined(rest),
      ...(aliases.length === 0 ? {} : { aliases: aliases.slice(0, mostAliases) }),
      fileTime: String(fileTime),
    })),
  };
}

/** @param layers how many the manifest has @throws InvalidParameter */
export function readRecords(json: JsonReader, layers: number): CacheRecord[] {
  if (json.at("version").integer() !== formatVersion) {
    json.at("version").fail(`${formatVersion}: another version of davit has written it`);
  }
  return json
    .at("records")
    .array(mostRecords)
    .map((record, position) => readRecord(record, position, layers));
}

/** @throws InvalidParameter */
export function parseRecords(bytes: Uint8Array, layers: number): CacheRecord[] {
  return readRecords(parseJson(bytes, "cache config"), layers);
}

function readRecord(json: JsonReader, position: number, layers: number): CacheRecord {
  const index = (name: string, end: number) => {
    const value = json.at(name).integer();
    return value >= 0 && value < end ? value : json.at(name).fail(`below ${end}`);
  };
  const size = json.at("size").integer();
  if (size < 0 || size > largestLayer) json.at("size").fail("a size");
  const key = json.at("key").optional(readKey);
  return {
    ...(key === undefined ? {} : { key }),
    aliases: json.at("aliases").optional((list) => list.array(mostAliases).map(readKey)) ?? [],
    // Only records before this one: so there are no circles.
    below: json.at("below").isAbsent ? undefined : index("below", position),
    base: json.at("base").optional((value) => readDigest(value) as ChainId),
    layer: index("layer", layers),
    diffId: readDigest(json.at("diffId")) as DiffId,
    size,
    fileTime: readTime(json.at("fileTime")),
    description: readDescription(json.at("description")),
  };
}

function readKey(json: JsonReader): string {
  const text = json.string();
  return /^[0-9a-f]{64}$/.test(text) ? text : json.fail("a cache key");
}

function readDigest(json: JsonReader): string {
  const text = json.string();
  return isDigest(text) ? text : json.fail("a sha256 digest");
}

/** It is shown to people: a terminal is not to obey it. */
function readDescription(json: JsonReader): string {
  return json
    .string()
    .slice(0, longestDescription)
    .replace(/\p{Cc}/gu, " ");
}

function readTime(json: JsonReader): bigint {
  const text = json.string();
  if (!/^\d{1,20}$/.test(text)) throw new InvalidParameter("cache config: a fileTime is no number");
  return BigInt(text);
}
