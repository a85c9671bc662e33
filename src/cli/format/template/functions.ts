/** The functions of Go templates and those that Docker adds. */
import { format } from "./printf.ts";
import { GoObject, isMap, isTrue, print, toJson, typeOf, type Value } from "./values.ts";

export interface TemplateFunction {
  least: number;
  /** Absent for no limit. */
  most?: number;
  /** @throws Error with Go's words for a bad argument */
  call(args: readonly Value[]): Value;
}

export type Functions = ReadonlyMap<string, TemplateFunction>;

/** An argument of a type that the function does not take: shown at the argument, not at the call. */
export class WrongArgument extends Error {
  override readonly name = "WrongArgument";
  readonly argument: Value;
  readonly wanted: string;
  constructor(argument: Value, wanted: string) {
    super(`wrong type for value; expected ${wanted}; got ${typeOf(argument)}`);
    this.argument = argument;
    this.wanted = wanted;
  }
}

function text(value: Value): string {
  if (typeof value !== "string") throw new WrongArgument(value, "string");
  return value;
}

function whole(value: Value): number {
  if (typeof value !== "number" || !Number.isInteger(value)) throw new WrongArgument(value, "int");
  return value;
}

/** A key for a slice or string. */
function position(key: Value): number {
  if (typeof key !== "number") throw new Error(`cannot index slice/array with type ${typeOf(key)}`);
  return key;
}

function compare(a: Value, b: Value): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : a > b ? 1 : 0;
  if (typeof a !== typeof b) throw new Error("incompatible types for comparison");
  throw new Error("invalid type for comparison");
}

function equal(a: Value, b: Value): boolean {
  if (a === null || b === null || a === undefined || b === undefined) return (a ?? null) === (b ?? null);
  if (typeof a === "object" || typeof b === "object") throw new Error("non-comparable types");
  if (typeof a !== typeof b) throw new Error("incompatible types for comparison");
  return a === b;
}

function index(args: readonly Value[]): Value {
  let [value, ...keys] = args;
  for (const key of keys) {
    if (value === undefined || value === null) throw new Error("index of untyped nil");
    if (Array.isArray(value)) {
      const at = position(key);
      if (at < 0 || at >= value.length) throw new Error(`index out of range: ${at}`);
      value = value[at];
    } else if (isMap(value)) {
      value = Object.hasOwn(value, text(key)) ? value[text(key)] : undefined;
    } else if (typeof value === "string") {
      const byte = Buffer.from(value)[position(key)];
      if (byte === undefined) throw new Error(`index out of range: ${print(key)}`);
      value = byte;
    } else {
      throw new Error(`can't index item of type ${typeOf(value)}`);
    }
  }
  return value;
}

function slice(args: readonly Value[]): Value {
  const [value, ...bounds] = args;
  const [from = 0, to] = bounds.map(whole);
  const length =
    typeof value === "string" ? Buffer.byteLength(value) : Array.isArray(value) ? value.length : -1;
  if (length < 0) throw new Error(`can't slice item of type ${typeOf(value)}`);
  const end = to ?? length;
  if (from < 0 || from > length) throw new Error(`index out of range: ${from}`);
  if (end < 0 || end > length) throw new Error(`index out of range: ${end}`);
  if (from > end) throw new Error(`invalid slice index: ${from} > ${end}`);
  return typeof value === "string"
    ? Buffer.from(value).subarray(from, end).toString()
    : Array.isArray(value)
      ? value.slice(from, end)
      : undefined;
}

function length(value: Value): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (isMap(value)) return Object.keys(value).length;
  if (value === null || value === undefined) throw new Error("len of nil pointer");
  throw new Error(`len of type ${typeOf(value)}`);
}

/** Go's Sprint: spaces between two neighbours of which neither is a string. */
function sprint(args: readonly Value[]): string {
  return args
    .map((value, at) => {
      const before = args[at - 1];
      const spaced = at > 0 && typeof value !== "string" && typeof before !== "string";
      return (spaced ? " " : "") + print(value);
    })
    .join("");
}

function escapeHtml(value: string): string {
  return value
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&#34;")
    .replaceAll("'", "&#39;");
}

const builtins: [string, TemplateFunction][] = [
  // and, or are evaluated by the machine, which stops early; here so that their names are known.
  ["and", { least: 1, call: (args) => args.find((value) => !isTrue(value)) ?? args.at(-1) }],
  ["or", { least: 1, call: (args) => args.find(isTrue) ?? args.at(-1) }],
  ["not", { least: 1, most: 1, call: ([value]) => !isTrue(value) }],
  ["eq", { least: 2, call: ([a, ...others]) => others.some((b) => equal(a, b)) }],
  ["ne", { least: 2, most: 2, call: ([a, b]) => !equal(a, b) }],
  ["lt", { least: 2, most: 2, call: ([a, b]) => compare(a, b) < 0 }],
  ["le", { least: 2, most: 2, call: ([a, b]) => compare(a, b) <= 0 }],
  ["gt", { least: 2, most: 2, call: ([a, b]) => compare(a, b) > 0 }],
  ["ge", { least: 2, most: 2, call: ([a, b]) => compare(a, b) >= 0 }],
  ["index", { least: 1, call: index }],
  ["slice", { least: 1, most: 4, call: slice }],
  ["len", { least: 1, most: 1, call: ([value]) => length(value) }],
  ["print", { least: 0, call: sprint }],
  ["println", { least: 0, call: (args) => `${args.map(print).join(" ")}\n` }],
  ["printf", { least: 1, call: ([pattern, ...args]) => format(text(pattern), args) }],
  ["html", { least: 0, call: (args) => escapeHtml(sprint(args)) }],
  ["js", { least: 0, call: (args) => JSON.stringify(sprint(args)).slice(1, -1).replaceAll("'", "\\'") }],
  ["urlquery", { least: 0, call: (args) => encodeURIComponent(sprint(args)).replaceAll("%20", "+") }],
];

const dockers: [string, TemplateFunction][] = [
  [
    "json",
    { least: 1, most: 1, call: ([value]) => toJson(value, value instanceof GoObject && value.escapesHtml) },
  ],
  ["split", { least: 2, most: 2, call: ([value, by]) => text(value).split(text(by)) }],
  [
    "join",
    {
      least: 2,
      most: 2,
      call: ([list, by]) => {
        if (list === null || list === undefined) return "";
        if (!Array.isArray(list)) throw new WrongArgument(list, "[]string");
        return list.map(text).join(text(by));
      },
    },
  ],
  [
    "title",
    {
      least: 1,
      most: 1,
      call: ([value]) => text(value).replace(/(?<![\p{L}\p{Nd}_'])\p{L}/gu, (c) => c.toUpperCase()),
    },
  ],
  ["lower", { least: 1, most: 1, call: ([value]) => text(value).toLowerCase() }],
  ["upper", { least: 1, most: 1, call: ([value]) => text(value).toUpperCase() }],
  [
    "pad",
    {
      least: 3,
      most: 3,
      call: ([value, before, after]) =>
        text(value) === "" ? "" : " ".repeat(whole(before)) + text(value) + " ".repeat(whole(after)),
    },
  ],
  [
    "truncate",
    {
      least: 2,
      most: 2,
      call: ([value, most]) => Buffer.from(text(value)).subarray(0, whole(most)).toString(),
    },
  ],
];

/** For rows of data. */
export const templateFunctions: Functions = new Map([...builtins, ...dockers]);

/** For the line of headings of a table: Docker's own functions leave a heading as it is. */
export const headingFunctions: Functions = new Map([
  ...builtins,
  ...dockers.map(([name, { least, most }]): [string, TemplateFunction] => [
    name,
    { least, ...(most === undefined ? {} : { most }), call: ([value]) => value },
  ]),
]);
