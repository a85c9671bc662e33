/** Durations as Go's time package reads and writes them, and in people's words as Docker prints them. */

const units: ReadonlyMap<string, bigint> = new Map([
  ["ns", 1n],
  ["us", 1_000n],
  ["µs", 1_000n],
  ["μs", 1_000n],
  ["ms", 1_000_000n],
  ["s", 1_000_000_000n],
  ["m", 60_000_000_000n],
  ["h", 3_600_000_000_000n],
]);
const largest = 2n ** 63n - 1n;

/** Why a text is no duration, as time.ParseDuration tells them apart. */
export type DurationFault =
  | { readonly fault: "invalid" | "missing unit" }
  | { readonly fault: "unknown unit"; readonly unit: string };

/** time.ParseDuration: the nanoseconds of `1m30s`, `1.5h`, `-10ms`; a fault for what it refuses. */
export function parseDuration(text: string): bigint | DurationFault {
  const negative = text.startsWith("-");
  let rest = text.replace(/^[-+]/, "");
  if (rest === "0") return 0n;
  if (rest === "") return { fault: "invalid" };
  let total = 0n;
  while (rest !== "") {
    const match = /^(\d*)(?:(\.)(\d*))?([^\d.]*)/.exec(rest);
    const [all = "", whole = "", , fraction = "", unit = ""] = match ?? [];
    if (all === "" || (whole === "" && fraction === "")) return { fault: "invalid" };
    if (unit === "") return { fault: "missing unit" };
    const scale = units.get(unit);
    if (scale === undefined) return { fault: "unknown unit", unit };
    if (whole.length > 19) return { fault: "invalid" };
    const part = fraction.slice(0, 18);
    total += BigInt(whole || "0") * scale + (BigInt(part || "0") * scale) / 10n ** BigInt(part.length);
    if (total > largest) return { fault: "invalid" };
    rest = rest.slice(all.length);
  }
  return negative ? -total : total;
}

/** Duration.String: `1m30s`, `1.5s`, `100ms`, `0s`. */
export function formatDuration(nanoseconds: bigint): string {
  if (nanoseconds === 0n) return "0s";
  if (nanoseconds < 0n) return `-${formatDuration(-nanoseconds)}`;
  if (nanoseconds < 1_000n) return `${nanoseconds}ns`;
  if (nanoseconds < 1_000_000n) return `${decimal(nanoseconds, 3)}µs`;
  if (nanoseconds < 1_000_000_000n) return `${decimal(nanoseconds, 6)}ms`;
  const minutes = nanoseconds / 60_000_000_000n;
  const seconds = `${decimal(nanoseconds % 60_000_000_000n, 9)}s`;
  if (minutes === 0n) return seconds;
  return minutes < 60n ? `${minutes}m${seconds}` : `${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

function decimal(value: bigint, digits: number): string {
  const scale = 10n ** BigInt(digits);
  const fraction = (value % scale).toString().padStart(digits, "0").replace(/0+$/, "");
  return fraction === "" ? `${value / scale}` : `${value / scale}.${fraction}`;
}

/** go-units' HumanDuration: `About a minute`, `2 hours`. @param milliseconds negative counts as now */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.trunc(milliseconds / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.trunc(milliseconds / 60_000);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.trunc(milliseconds / 3_600_000 + 0.5);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`;
  return `${Math.trunc(Math.trunc(milliseconds / 3_600_000) / 24 / 365)} years`;
}
