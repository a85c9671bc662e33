/** Times in configs are RFC 3339 text; the Engine API wants seconds. */

/** Unix seconds; what is absent or no time counts as Go's zero time, as Docker shows it. */
export function unixSeconds(time: string | undefined): number {
  const milliseconds = time === undefined ? Number.NaN : Date.parse(time);
  return Number.isNaN(milliseconds) ? zeroTime : Math.floor(milliseconds / 1000);
}

/** 0001-01-01T00:00:00Z */
const zeroTime = -62135596800;
