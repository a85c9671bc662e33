/** Times in configs are RFC 3339 text; the Engine API wants seconds. */

/** Unix seconds; what is absent or no time counts as Go's zero time, as Docker shows it. */
export function unixSeconds(time: string | undefined): number {
  const milliseconds = time === undefined ? Number.NaN : Date.parse(time);
  return Number.isNaN(milliseconds) ? zeroTime : Math.floor(milliseconds / 1000);
}

/** Unix nanoseconds of an RFC 3339 time, all nine digits of its fraction counted; undefined for what is no time. */
export function unixNanoseconds(time: string): bigint | undefined {
  const [, fraction = ""] = /\d:\d{2}:\d{2}\.(\d{1,9})/.exec(time) ?? [];
  const milliseconds = Date.parse(time.replace(/(\d:\d{2}:\d{2})\.\d+/, "$1"));
  if (Number.isNaN(milliseconds)) return undefined;
  return BigInt(milliseconds) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

/** 0001-01-01T00:00:00Z */
const zeroTime = -62135596800;
