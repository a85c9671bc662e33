/** Go's fmt.Sprintf for the values that templates hold. */
import { quote } from "../../../core/strconv.ts";
import { GoObject, isMap, print, toJson, typeOf, type Value } from "./values.ts";

const directive = /%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*)?)?([a-zA-Z%])/g;
/** Wider than this is surely a mistake; Go refuses from a million on. */
const widest = 1_000_000;

/** `%s %d %q %v %x %t %f %c %U %T %o %b` with flags, width and precision. Bad ones show as Go's `%!d(string=x)`. */
export function format(pattern: string, args: readonly Value[]): string {
  let used = 0;
  const take = () => {
    used += 1;
    return args[used - 1];
  };
  const text = pattern.replace(
    directive,
    (whole, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
      if (verb === "%") return "%";
      const columns = width === "*" ? Number(take()) : Number(width ?? 0);
      const digits =
        precision === "*" ? Number(take()) : precision === undefined ? undefined : Number(precision);
      if (used >= args.length) return `%!${verb}(MISSING)`;
      const exact = digits ?? (whole.includes(".") ? 0 : undefined);
      return pad(one(verb, flags, exact, take()), flags, Math.min(columns, widest), verb);
    },
  );
  if (used >= args.length) return text;
  const extra = args.slice(used).map((value) => `${typeOf(value)}=${print(value)}`);
  return `${text}%!(EXTRA ${extra.join(", ")})`;
}

function one(verb: string, flags: string, precision: number | undefined, value: Value): string {
  const bad = `%!${verb}(${typeOf(value)}=${print(value)})`;
  switch (verb) {
    case "v":
      return flags.includes("#") && typeof value === "string" ? quote(value) : print(value);
    case "T":
      return typeOf(value);
    case "s":
      if (typeof value === "number" || typeof value === "boolean") return bad;
      return precision === undefined ? print(value) : [...print(value)].slice(0, precision).join("");
    case "q":
      if (typeof value === "string") return quote(value);
      if (Array.isArray(value)) return `[${value.map((item) => one("q", flags, precision, item)).join(" ")}]`;
      return typeof value === "number" ? `'${String.fromCodePoint(value)}'` : bad;
    case "t":
      return typeof value === "boolean" ? String(value) : bad;
    case "d":
      return typeof value === "number" && Number.isInteger(value) ? sign(print(value), flags) : bad;
    case "x":
    case "X": {
      const hex = typeof value === "string" ? Buffer.from(value).toString("hex") : whole(value)?.toString(16);
      if (hex === undefined) return bad;
      const prefixed = flags.includes("#") ? `0x${hex}` : hex;
      return verb === "X" ? prefixed.toUpperCase() : prefixed;
    }
    case "o":
      return whole(value)?.toString(8) ?? bad;
    case "b":
      return whole(value)?.toString(2) ?? bad;
    case "c":
      return typeof value === "number" ? String.fromCodePoint(value) : bad;
    case "U":
      return typeof value === "number" ? `U+${value.toString(16).toUpperCase().padStart(4, "0")}` : bad;
    case "f":
    case "F":
      return typeof value === "number" && !Number.isInteger(value)
        ? sign(value.toFixed(precision ?? 6), flags)
        : bad;
    case "e":
      return typeof value === "number"
        ? value.toExponential(precision ?? 6).replace(/e([+-])(\d)$/, "e$10$2")
        : bad;
    case "g":
      return typeof value === "number" ? print(value) : bad;
    default:
      return value instanceof GoObject || isMap(value) ? `%!${verb}(${toJson(value)})` : bad;
  }
}

function whole(value: Value): number | undefined {
  return typeof value === "number" && Number.isInteger(value) ? value : undefined;
}

function sign(digits: string, flags: string): string {
  if (digits.startsWith("-")) return digits;
  return flags.includes("+") ? `+${digits}` : flags.includes(" ") ? ` ${digits}` : digits;
}

function pad(text: string, flags: string, width: number, verb: string): string {
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes("-")) return text + " ".repeat(missing);
  if (flags.includes("0") && "dfxXob".includes(verb)) {
    const [, lead = "", digits = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
    return lead + "0".repeat(missing) + digits;
  }
  return " ".repeat(missing) + text;
}
