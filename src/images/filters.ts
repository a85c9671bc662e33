/** The filters of `images`. Values of one filter are alternatives, but for labels, of which all must fit. */
import { parseDuration } from "../core/durations.ts";
import { InvalidParameter } from "../core/errors.ts";
import { type Filters, hasLabels, parseFlag, unknownFilter } from "../core/filters.ts";
import { globPattern } from "./glob.ts";
import { hasTag, type ImageRecord, isNameless } from "./records.ts";
import { familiarForm, familiarName, parseReference } from "./references.ts";
import { unixNanoseconds } from "./times.ts";

/** An image as the filters see it. */
export interface ListedImage {
  readonly record: ImageRecord;
  readonly labels: Readonly<Record<string, string>>;
  /** Unix nanoseconds; undefined where the config does not say. */
  readonly created: bigint | undefined;
}

/** The names under which an image is listed; undefined when it is left out. */
export type ImageFilter = (image: ListedImage) => Pick<ImageRecord, "tags" | "repoDigests"> | undefined;

type Test = (image: ListedImage) => boolean;

/**
 * @param images all there are; `before` and `since` name one of them.
 * @throws InvalidParameter `invalid filter 'x'`; NotFound for `before` and `since`.
 */
export function parseImageFilters(filters: Filters, find: (reference: string) => ListedImage): ImageFilter {
  const tests: Test[] = [];
  let patterns: RegExp[] = [];
  for (const [name, values] of Object.entries(filters)) {
    if (values.length === 0) continue;
    switch (name) {
      case "dangling": {
        const wanted = parseFlag("dangling", values);
        // As Docker: what is known by a digest alone is on both sides.
        tests.push(({ record }) => (wanted ? !hasTag(record) : !isNameless(record)));
        break;
      }
      case "label":
        tests.push(({ labels }) => hasLabels(labels, values));
        break;
      // Of several values all must hold. What has no time is neither before nor after another.
      case "before": {
        const limits = values.map((value) => find(value).created);
        tests.push(({ created }) => limits.every((limit) => limit === undefined || isBefore(created, limit)));
        break;
      }
      case "since": {
        const limits = values.map((value) => find(value).created);
        tests.push(({ created }) => limits.every((limit) => limit === undefined || isBefore(limit, created)));
        break;
      }
      case "until": {
        const limits = values.map(parseTime);
        tests.push(({ created }) => limits.every((limit) => isBefore(created, limit)));
        break;
      }
      case "reference":
        patterns = values.map(globPattern);
        break;
      default:
        throw unknownFilter(name);
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

/** Docker tries the pattern on the whole familiar name, then on the part before the tag. */
function matchesName(pattern: RegExp, canonical: string): boolean {
  const name = parseReference(canonical);
  return pattern.test(familiarForm(name)) || pattern.test(familiarName(name));
}

/**
 * A Go duration back from now (`24h`, `1h30m`), unix seconds, or an RFC 3339 time or date; without a zone, local time.
 * @returns unix nanoseconds.
 * @throws InvalidParameter
 */
export function parseTime(value: string): bigint {
  const [, seconds, fraction = ""] = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(value) ?? [];
  if (seconds !== undefined) return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
  const back = parseDuration(value);
  if (typeof back === "bigint") return BigInt(Date.now()) * 1_000_000n - back;
  // A date alone would be taken as UTC.
  const time = unixNanoseconds(/^\d{4}-\d{2}-\d{2}$/.test(value) ? `${value}T00:00:00` : value);
  if (time !== undefined) return time;
  throw new InvalidParameter(`failed to parse value as time or duration: ${JSON.stringify(value)}`);
}

function isBefore(time: bigint | undefined, limit: bigint | undefined): boolean {
  return time !== undefined && limit !== undefined && time < limit;
}
