/** The filters of `images`. Values of one filter are alternatives, but for labels, of which all must fit. */
import { InvalidParameter } from "../core/errors.ts";
import type { ImageId } from "../core/ids.ts";
import { globPattern } from "./glob.ts";
import type { ImageRecord } from "./records.ts";
import { familiarForm, familiarName, parseReference } from "./references.ts";

export type Filters = Record<string, string[]>;

/** An image as the filters see it. */
export interface ListedImage {
  readonly record: ImageRecord;
  readonly labels: Readonly<Record<string, string>>;
  /** Unix seconds. */
  readonly created: number;
}

/** The names under which an image is listed; undefined when it is left out. */
export type ImageFilter = (image: ListedImage) => Pick<ImageRecord, "tags" | "repoDigests"> | undefined;

type Test = (image: ListedImage) => boolean;

/**
 * @param images all there are; `before` and `since` name one of them.
 * @throws InvalidParameter `invalid filter 'x'`; NotFound for `before` and `since`.
 */
export function parseImageFilters(
  filters: Filters,
  find: (reference: string) => ListedImage,
  hasChildren: (id: ImageId) => boolean,
): ImageFilter {
  const tests: Test[] = [];
  let patterns: RegExp[] = [];
  for (const [name, values] of Object.entries(filters)) {
    if (values.length === 0) continue;
    switch (name) {
      case "dangling": {
        const wanted = values.map(parseFlag);
        if (new Set(wanted).size > 1) throw invalidValue("dangling", values.join(", "));
        tests.push(({ record }) => wanted[0] === (isNameless(record) && !hasChildren(record.id)));
        break;
      }
      case "label":
        tests.push(({ labels }) => values.every((value) => hasLabel(labels, value)));
        break;
      case "before": {
        const newest = Math.min(...values.map((value) => find(value).created));
        tests.push(({ created }) => created < newest);
        break;
      }
      case "since": {
        const oldest = Math.max(...values.map((value) => find(value).created));
        tests.push(({ created }) => created > oldest);
        break;
      }
      case "until": {
        const newest = Math.min(...values.map(parseTime));
        tests.push(({ created }) => created < newest);
        break;
      }
      case "reference":
        patterns = values.map(globPattern);
        break;
      default:
        throw new InvalidParameter(`invalid filter '${name}'`);
    }
  }
  return (image) => {
    if (!tests.every((test) => test(image))) return undefined;
    if (patterns.length === 0) return image.record;
    const fits = (canonical: string) => patterns.some((pattern) => matchesName(pattern, canonical));
    const tags = image.record.tags.filter(fits);
    const repoDigests = image.record.repoDigests.filter(fits);
    return tags.length + repoDigests.length === 0 ? undefined : { tags, repoDigests };
  };
}

export function isNameless(record: ImageRecord): boolean {
  return record.tags.length + record.repoDigests.length === 0;
}

/** `key` or `key=value`. */
function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  const key = equals < 0 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1));
}

/** Docker tries the pattern on the whole familiar name, then on the part before the tag. */
function matchesName(pattern: RegExp, canonical: string): boolean {
  const name = parseReference(canonical);
  return pattern.test(familiarForm(name)) || pattern.test(familiarName(name));
}

function parseFlag(value: string): boolean {
  if (["1", "t", "true"].includes(value.toLowerCase())) return true;
  if (["0", "f", "false"].includes(value.toLowerCase())) return false;
  throw invalidValue("dangling", value);
}

const unitSeconds = new Map([
  ["ms", 0.001],
  ["s", 1],
  ["m", 60],
  ["h", 3600],
]);

/** A Go duration back from now (`24h`, `1h30m`), unix seconds, or an RFC 3339 time or date. @returns unix seconds. */
function parseTime(value: string): number {
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value);
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length > 0 && parts.map(([text]) => text).join("") === value) {
    const back = parts.reduce(
      (sum, [, count, unit]) => sum + Number(count) * (unitSeconds.get(unit ?? "") ?? 0),
      0,
    );
    return Date.now() / 1000 - back;
  }
  const time = Date.parse(value);
  if (Number.isNaN(time)) throw invalidValue("until", value);
  return time / 1000;
}

function invalidValue(name: string, value: string): InvalidParameter {
  return new InvalidParameter(`invalid filter '${name}=${value}'`);
}
