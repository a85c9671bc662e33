/** Durations, sizes and times for people, digit for digit as Docker prints them. */
export { humanDuration } from "../../core/durations.ts";
export { binarySize, humanSize } from "../../core/sizes.ts";

/** Cuts to `width` columns, the last of them `…`. */
export function ellipsis(text: string, width: number): string {
  const letters = [...text];
  return letters.length <= width ? text : `${letters.slice(0, width - 1).join("")}…`;
}

/** Go's time.String in local time: `2026-11-21 00:53:39 +0000 UTC`. @param seconds since 1970 */
export function goTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  return `${localDate(date, " ")} ${offsetOf(date, "")} ${zoneOf(date)}`;
}

/** RFC 3339 in local time to the second: `2026-11-21T00:53:39Z`. @param seconds since 1970 */
export function rfc3339(seconds: number): string {
  const date = new Date(seconds * 1000);
  return `${localDate(date, "T")}${date.getTimezoneOffset() === 0 ? "Z" : offsetOf(date, ":")}`;
}

/** An RFC 3339 text with nanoseconds as Go's time.String shows it. */
export function goTimeOf(text: string): string {
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return text;
  const [, day, time, fraction = "", zone = "Z"] = match;
  const shown = fraction.replace(/\.?0+$/, "");
  const offset = zone === "Z" ? "+0000" : zone.replace(":", "");
  return `${day} ${time}${shown} ${offset} ${offset === "+0000" ? "UTC" : offset}`;
}

function localDate(date: Date, separator: string): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}${separator}${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function offsetOf(date: Date, separator: string): string {
  const minutes = -date.getTimezoneOffset();
  const two = (value: number) => String(Math.trunc(value)).padStart(2, "0");
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(size / 60)}${separator}${two(size % 60)}`;
}

function zoneOf(date: Date): string {
  if (date.getTimezoneOffset() === 0 && new Date(0).getTimezoneOffset() === 0) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone === "UTC" || zone === "Etc/UTC" || zone === "Etc/UCT") return "UTC";
  }
  const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(date);
  const name = parts.find((part) => part.type === "timeZoneName")?.value ?? "UTC";
  return /^(UTC|GMT)[+-]/.test(name) ? offsetOf(date, "") : name;
}
