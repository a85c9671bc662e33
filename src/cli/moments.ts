/** Points in time as people type them: RFC 3339 or parts of it, Unix seconds, or how long ago. */
import { BadValue, parseDuration, quote } from "./flags/values.ts";

/** Unix seconds with fractions. @param now milliseconds since 1970. @throws BadValue */
export function parseMoment(text: string, now: number): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  try {
    return now / 1000 - parseDuration(text) / 1e9;
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
  }
  const match = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(\.\d+)?)?)?)?(Z|[+-]\d\d:?\d\d)?$/.exec(
    text,
  );
  if (match === null) {
    throw new BadValue(`failed to parse value as time or duration: ${quote(text)}`);
  }
  const [, year, month, day, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = match;
  // Without a zone the time is local, as Date takes it.
  const seconds = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone}`) / 1000;
  if (Number.isNaN(seconds)) throw new BadValue(`failed to parse value as time or duration: ${quote(text)}`);
  return seconds + Number(fraction === "" ? 0 : `0${fraction}`);
}
