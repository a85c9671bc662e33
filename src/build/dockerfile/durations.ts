/** Durations as Go's time package reads and writes them. Nanoseconds. */
import { LineFault } from "./errors.ts";
import { quote } from "./text.ts";

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

/** time.ParseDuration: `1m30s`, `1.5h`, `-10ms`. @throws LineFault in its words. */
export function parseDuration(text: string): bigint {
  const invalid = () => new LineFault(`time: invalid duration ${quote(text)}`);
  const negative = text.startsWith("-");
  let rest = text.replace(/^[-+]/, "");
  if (rest === "0") return 0n;
  if (rest === "") throw invalid();
  let total = 0n;
  while (rest !== "") {
    const match = /^(\d*)(?:(\.)(\d*))?([^\d.]*)/.exec(rest);
    const [all = "", whole = "", , fraction = "", unit = ""] = match ?? [];
    if (all === "" || (whole === "" && fraction === "")) throw invalid();
    if (unit === "") throw new LineFault(`time: missing unit in duration ${quote(text)}`);
    const scale = units.get(unit);
    if (scale === undefined) {
      throw new LineFault(`time: unknown unit ${quote(unit)} in duration ${quote(text)}`);
    }
    if (whole.length > 19) throw invalid();
    const part = fraction.slice(0, 18);
    total += BigInt(whole || "0") * scale + (BigInt(part || "0") * scale) / 10n ** BigInt(part.length);
    if (total > largest) throw invalid();
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
