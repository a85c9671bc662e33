/** Sizes for people, digit for digit as Docker prints them (go-units). */

const decimalUnits = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/** `1.98MB`, in powers of 1000. @param digits that count */
export function humanSize(bytes: number, digits = 4): string {
  const { size, unit } = inDecimalUnits(bytes);
  return `${significant(size, digits)}${unit}`;
}

/** `23.54GiB`, in powers of 1024. */
export function binarySize(bytes: number): string {
  const { size, unit } = scaled(bytes, 1024, 1024, binaryUnits);
  return `${significant(size, 4)}${unit}`;
}

/** A size in the largest decimal unit in which it is at least 1. @param full what counts as one of the next unit */
export function inDecimalUnits(bytes: number, full = 1000): { size: number; unit: string } {
  return scaled(bytes, 1000, full, decimalUnits);
}

function scaled(bytes: number, base: number, full: number, units: readonly string[]) {
  let size = bytes;
  let power = 0;
  while (size >= full && power < units.length - 1) {
    size /= base;
    power += 1;
  }
  return { size, unit: units[power] ?? "" };
}

/** Go's %.*g. */
function significant(value: number, digits: number): string {
  if (value === 0) return "0";
  const [mantissa = "0", exponent = "0"] = value.toExponential(digits - 1).split("e");
  const power = Number(exponent);
  if (power < -4 || power >= digits) {
    const trimmed = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
    return `${trimmed}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  return String(Number(value.toPrecision(digits)));
}
