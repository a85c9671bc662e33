/** Go's spellings of numbers, booleans and durations, with the words in which Go refuses the others. */
import { parseDuration as parseGoDuration } from "../../core/durations.ts";
import { parseBool as parseGoBool, quote } from "../../core/strconv.ts";

/** A value that a flag cannot take. The message is Go's or Docker's. */
export class BadValue extends Error {
  override readonly name = "BadValue";
}

/** What `parse` makes of a text. @throws BadValue in these words instead of its own. */
export function inWords<Value>(message: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw new BadValue(message);
  }
}

/** @throws BadValue in the words of strconv.ParseBool. */
export function parseBool(text: string): boolean {
  const value = parseGoBool(text);
  if (value === undefined) throw new BadValue(`strconv.ParseBool: parsing ${quote(text)}: invalid syntax`);
  return value;
}

/** A whole number in Go's syntax (0x, 0o, 0b and a leading 0 for octal). @throws BadValue as strconv.ParseInt. */
export function parseInteger(text: string): number {
  const value = integerOf(text);
  if (value === undefined) throw new BadValue(`strconv.ParseInt: parsing ${quote(text)}: invalid syntax`);
  if (value > 2n ** 63n - 1n || value < -(2n ** 63n)) {
    throw new BadValue(`strconv.ParseInt: parsing ${quote(text)}: value out of range`);
  }
  return Number(value);
}

/** A whole number from 0 to 2^bits - 1. @throws BadValue as strconv.ParseUint. */
export function parseUnsigned(text: string, bits: number): number {
  const value = /^[+-]/.test(text) ? undefined : integerOf(text);
  if (value === undefined) throw new BadValue(`strconv.ParseUint: parsing ${quote(text)}: invalid syntax`);
  if (value >= 2n ** BigInt(bits)) {
    throw new BadValue(`strconv.ParseUint: parsing ${quote(text)}: value out of range`);
  }
  return Number(value);
}

function integerOf(text: string): bigint | undefined {
  const match = /^([+-]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)$/.exec(text);
  if (match === null) return undefined;
  const digits = match[2] ?? "0";
  const spelled = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits;
  if (/^0[oO]$/.test(spelled)) return undefined;
  const value = BigInt(spelled);
  return match[1] === "-" ? -value : value;
}

/** Nanoseconds of `1h2m3.5s`. @throws BadValue as time.ParseDuration. */
export function parseDuration(text: string): number {
  const duration = parseGoDuration(text);
  if (typeof duration === "bigint") return Number(duration);
  const isBare = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text);
  throw new BadValue(`time: ${isBare ? "missing unit in" : "invalid"} duration ${quote(text)}`);
}

const binaryUnits = "kmgtp";

/** Bytes of `512m`, `1.5g`, `64KiB`; units are powers of 1024. @throws BadValue as Docker's units package. */
export function parseBytes(text: string): number {
  const match = /^(.*[0-9.])? ?([^0-9. ]*)$/s.exec(text);
  const number = match?.[1] ?? "";
  if (number === "" || /^\s*-/.test(number)) throw new BadValue(`invalid size: '${text}'`);
  if (!/^\+?(\d+\.?\d*|\.\d+)$/.test(number)) {
    throw new BadValue(`strconv.ParseFloat: parsing ${quote(number)}: invalid syntax`);
  }
  const suffix = (match?.[2] ?? "").toLowerCase();
  if (suffix === "" || suffix === "b") return Math.trunc(Number(number));
  const power = binaryUnits.indexOf(suffix.charAt(0)) + 1;
  if (power === 0 || !["", "b", "ib"].includes(suffix.slice(1))) {
    throw new BadValue(`invalid suffix: '${suffix}'`);
  }
  return Math.trunc(Number(number) * 1024 ** power);
}

/** Billionths of `1.5`. @throws BadValue as Docker's --cpus. */
export function parseNanoCpus(text: string): number {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i.test(text)) {
    throw new BadValue(`failed to parse ${text} as a rational number`);
  }
  const nano = Number(text) * 1e9;
  const rounded = Math.round(nano);
  if (Math.abs(nano - rounded) > 1e-3) throw new BadValue("value is too precise");
  return rounded;
}
