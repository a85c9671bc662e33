/**
 * What a template works on, as Go would hold it: JSON values, and objects with fields that Go knows by type.
 * `undefined` is Go's missing value, which prints as `<no value>`; `null` is nil.
 */

export type Value =
  | undefined
  | null
  | string
  | number
  | boolean
  | Value[]
  | { [key: string]: Value }
  | GoObject;

/** An object whose fields Go knows: an unknown one is an error and not a missing value. */
export abstract class GoObject {
  /** As in messages: `*formatter.ContainerContext`. */
  abstract readonly typeName: string;
  /** The field's value or the method's result; `absent` when there is none of that name. */
  abstract member(name: string, args: readonly Value[]): Value | typeof absent;
  /** What `json` makes of it. */
  abstract toJson(): unknown;
  /** Its JSON has `<`, `>` and `&` written as escapes. */
  readonly escapesHtml: boolean = false;
  /** What printing it gives. */
  abstract print(): string;
}

export const absent: unique symbol = Symbol("absent");

export function isMap(value: Value): value is { [key: string]: Value } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof GoObject);
}

/** Makes any parsed JSON a Value. */
export function fromJson(json: unknown): Value {
  if (json === null || json === undefined) return json;
  if (typeof json === "string" || typeof json === "number" || typeof json === "boolean") return json;
  if (Array.isArray(json)) return json.map(fromJson);
  if (typeof json === "object") {
    return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, fromJson(value)]));
  }
  return String(json);
}

/** Go's truth: not false, zero, nil or empty. */
export function isTrue(value: Value): boolean {
  if (value === undefined || value === null) return false;
  if (Array.isArray(value)) return value.length > 0;
  if (isMap(value)) return Object.keys(value).length > 0;
  if (value instanceof GoObject) return true;
  return Boolean(value);
}

/** Go's name of the value's type, for messages. */
export function typeOf(value: Value): string {
  if (value === undefined || value === null) return "nil";
  if (value instanceof GoObject) return value.typeName;
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  if (typeof value === "boolean") return "bool";
  if (Array.isArray(value)) return "[]interface {}";
  return typeof value === "string" ? "string" : "map[string]interface {}";
}

/** Go's %v. */
export function print(value: Value): string {
  if (value === undefined) return "<no value>";
  if (value === null) return "<nil>";
  if (value instanceof GoObject) return value.print();
  if (Array.isArray(value)) return `[${value.map(print).join(" ")}]`;
  if (isMap(value)) {
    const pairs = sortedKeys(value).map((key) => `${key}:${print(value[key])}`);
    return `map[${pairs.join(" ")}]`;
  }
  return typeof value === "number" ? printNumber(value) : String(value);
}

function printNumber(value: number): string {
  if (Number.isInteger(value)) return value.toFixed(0);
  return String(value).replace(/e([+-])(\d)$/, "e$10$2");
}

/** Keys in Go's order for maps: by bytes. */
export function sortedKeys(value: { [key: string]: Value }): string[] {
  return Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** JSON as Go's encoder writes it: maps by key. */
export function toJson(value: Value, escapeHtml = false): string {
  const text = encode(value);
  const escaped = text.replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
  if (!escapeHtml) return escaped;
  return escaped.replaceAll("<", "\\u003c").replaceAll(">", "\\u003e").replaceAll("&", "\\u0026");
}

function encode(value: Value): string {
  if (value === undefined || value === null) return "null";
  if (value instanceof GoObject) return JSON.stringify(value.toJson());
  if (Array.isArray(value)) return `[${value.map(encode).join(",")}]`;
  if (isMap(value)) {
    return `{${sortedKeys(value)
      .map((key) => `${JSON.stringify(key)}:${encode(value[key])}`)
      .join(",")}}`;
  }
  if (typeof value === "number") return printNumber(value);
  return JSON.stringify(value);
}
