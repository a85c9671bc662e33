/** Points in time as people type them: RFC 3339 or parts of it, Unix seconds, or how long ago. */
import { parseDuration } from "../core/durations.ts";
import { quote } from "../core/strconv.ts";
import { CommandError } from "./command.ts";
import { BadValue } from "./flags/values.ts";

/** Unix seconds with fractions. @param now milliseconds since 1970. @throws BadValue */
export function parseMoment(text: string, now: number): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const ago = parseDuration(text);
  if (typeof ago === "bigint") return now / 1000 - Number(ago) / 1e9;
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

/**
 * The moments of a command's flags, for a request; what was not given (empty) is left out.
 * @throws CommandError that names the flag
 */
export function momentsOf<Flag extends string>(
  texts: Readonly<Record<Flag, string>>,
  now: number,
): { [Name in Flag]?: number } {
  const moments: { [Name in Flag]?: number } = {};
  for (const flag in texts) {
    if (texts[flag] === "") continue;
    try {
      moments[flag] = parseMoment(texts[flag], now);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      throw new CommandError(`invalid value for "${flag}": ${error.message}`);
    }
  }
  return moments;
}
