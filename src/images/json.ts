/** Reads JSON that comes from outside: each value's type is checked before it is used, each fault says where it is. */
import { InvalidParameter } from "../core/errors.ts";

/** @throws InvalidParameter `<what> is not valid JSON: …`. */
export function parseJson(bytes: Uint8Array | string, what: string): JsonReader {
  const text = typeof bytes === "string" ? bytes : new TextDecoder().decode(bytes);
  try {
    return new JsonReader(JSON.parse(text), what);
  } catch (error) {
    // RangeError: nested too deeply.
    if (error instanceof SyntaxError || error instanceof RangeError) {
      throw new InvalidParameter(`${what} is not valid JSON: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

/** One value, and where it stands. `null` counts as absent, as in Go. */
export class JsonReader {
  private readonly value: unknown;
  private readonly where: string;

  constructor(value: unknown, where: string) {
    this.value = value;
    this.where = where;
  }

  get isAbsent(): boolean {
    return this.value === undefined || this.value === null;
  }

  /** The value of `key`; absent when there is none. @throws InvalidParameter when this is not an object. */
  at(key: string): JsonReader {
    const found = Object.hasOwn(this.object(), key) ? Reflect.get(this.object(), key) : undefined;
    return new JsonReader(found, `${this.where}: ${key}`);
  }

  string(): string {
    return typeof this.value === "string" ? this.value : this.fail("a string");
  }

  /** A whole number that a double holds exactly. */
  integer(): number {
    return typeof this.value === "number" && Number.isSafeInteger(this.value)
      ? this.value
      : this.fail("a whole number");
  }

  boolean(): boolean {
    return typeof this.value === "boolean" ? this.value : this.fail("true or false");
  }

  /** @throws InvalidParameter also when it has more than `most` items. */
  array(most = 100_000): JsonReader[] {
    if (!Array.isArray(this.value)) return this.fail("a list");
    if (this.value.length > most) throw new InvalidParameter(`${this.where} has more than ${most} items`);
    return this.value.map((item: unknown, index) => new JsonReader(item, `${this.where}[${index}]`));
  }

  entries(): [string, JsonReader][] {
    return Object.entries(this.object()).map(([key, value]) => [
      key,
      new JsonReader(value, `${this.where}: ${key}`),
    ]);
  }

  strings(): string[] {
    return this.array().map((item) => item.string());
  }

  stringMap(): Record<string, string> {
    return Object.fromEntries(this.entries().map(([key, value]) => [key, value.string()]));
  }

  /** `read`'s result, or undefined when the value is absent. */
  optional<Result>(read: (value: JsonReader) => Result): Result | undefined {
    return this.isAbsent ? undefined : read(this);
  }

  /** The value as it is, for being passed through. */
  raw(): unknown {
    return this.value;
  }

  fail(wanted: string): never {
    throw new InvalidParameter(`${this.where} is not ${wanted}`);
  }

  private object(): object {
    return typeof this.value === "object" && this.value !== null && !Array.isArray(this.value)
      ? this.value
      : this.fail("an object");
  }
}

/** An object without the keys whose value is undefined. */
export function defined<Fields extends object>(fields: Fields): Defined<Fields> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Defined<Fields>;
}

/** Keys that may be undefined become keys that may be absent. */
export type Defined<Fields> = {
  [Key in keyof Fields as undefined extends Fields[Key] ? never : Key]: Fields[Key];
} & {
  [Key in keyof Fields as undefined extends Fields[Key] ? Key : never]?: Exclude<Fields[Key], undefined>;
};
