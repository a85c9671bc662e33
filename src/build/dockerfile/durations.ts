/** Durations in a Dockerfile. */
import { parseDuration as parseGoDuration } from "../../core/durations.ts";
import { LineFault } from "./errors.ts";
import { quote } from "./text.ts";

/** Nanoseconds of `1m30s`, `1.5h`, `-10ms`. @throws LineFault in the words of time.ParseDuration. */
export function parseDuration(text: string): bigint {
  const duration = parseGoDuration(text);
  if (typeof duration === "bigint") return duration;
  switch (duration.fault) {
    case "missing unit":
      throw new LineFault(`time: missing unit in duration ${quote(text)}`);
    case "unknown unit":
      throw new LineFault(`time: unknown unit ${quote(duration.unit)} in duration ${quote(text)}`);
    case "invalid":
      throw new LineFault(`time: invalid duration ${quote(text)}`);
  }
}
