/**
 * Declarations of a command's flags. One declaration gives the parser, the help text and the default, and the
 * returned `Option` is where the command reads the value: `flags.bool("all", …)` then `all.value`.
 */
import { parseBool, parseDuration, parseInteger } from "./values.ts";

export interface Option<Value> {
  value: Value;
  /** The user gave it. */
  changed: boolean;
}

export interface FlagDetails {
  short?: string;
  /** Name of the value in the help; the flag's kind by default. */
  kind?: string;
  /** What the help shows as the default; derived from the value by default. */
  shownDefault?: string;
  hidden?: boolean;
  /** Printed when the flag is used: `use --timeout instead`. */
  deprecated?: string;
  /** The flag is known but cannot be obeyed yet: using it is an error that says so. */
  unsupported?: boolean;
  /** The value of the flag when it is given without one. */
  bareValue?: string;
}

/** A declared flag, as the parser and the help see it. */
export interface Flag {
  readonly name: string;
  readonly short: string | undefined;
  readonly usage: string;
  /** Empty for booleans. */
  readonly kind: string;
  /** `(default …)` in the help; empty for none. */
  readonly shownDefault: string;
  readonly hidden: boolean;
  readonly deprecated: string | undefined;
  readonly unsupported: boolean;
  /** The value of the flag when it is given without one; undefined when it needs one. */
  readonly bareValue: string | undefined;
  /** Takes one value. @throws Error whose message says what is wrong with it. */
  set(text: string): void;
}

export class FlagSet {
  readonly #byName = new Map<string, Flag>();
  readonly #byShort = new Map<string, Flag>();

  /** In the order of the help: by name. */
  get all(): Flag[] {
    return [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(name: string): Flag | undefined {
    return this.#byName.get(name);
  }

  findShort(letter: string): Flag | undefined {
    return this.#byShort.get(letter);
  }

  bool(name: string, usage: string, details: FlagDetails & { initial?: boolean } = {}): Option<boolean> {
    const initial = details.initial ?? false;
    const option: Option<boolean> = { value: initial, changed: false };
    this.#add(name, usage, { kind: "", shownDefault: initial ? "true" : "", ...details }, "true", (text) => {
      option.value = parseBool(text);
      option.changed = true;
    });
    return option;
  }

  string(name: string, usage: string, details: FlagDetails & { initial?: string } = {}): Option<string> {
    const initial = details.initial ?? "";
    const shownDefault = initial === "" ? "" : JSON.stringify(initial);
    return this.value(name, usage, {
      kind: "string",
      shownDefault,
      ...details,
      initial,
      parse: (text) => text,
    });
  }

  int(name: string, usage: string, details: FlagDetails & { initial?: number } = {}): Option<number> {
    const initial = details.initial ?? 0;
    const shownDefault = initial === 0 ? "" : String(initial);
    return this.value(name, usage, { kind: "int", shownDefault, ...details, initial, parse: parseInteger });
  }

  /** Nanoseconds. */
  duration(name: string, usage: string, details: FlagDetails = {}): Option<number> {
    return this.value(name, usage, {
      kind: "duration",
      shownDefault: "0s",
      ...details,
      initial: 0,
      parse: parseDuration,
    });
  }

  /** Repeatable; `parse` checks each value and may rewrite it. */
  list(
    name: string,
    usage: string,
    details: FlagDetails & { parse?: (text: string) => string } = {},
  ): Option<string[]> {
    const parse = details.parse ?? ((text: string) => text);
    return this.each(name, usage, { kind: "list", ...details, parse });
  }

  /** Repeatable, each value made into an `Item`. */
  each<Item>(
    name: string,
    usage: string,
    details: FlagDetails & { parse: (text: string) => Item },
  ): Option<Item[]> {
    const items: Item[] = [];
    const option: Option<Item[]> = { value: items, changed: false };
    this.#add(name, usage, details, undefined, (text) => {
      items.push(details.parse(text));
      option.changed = true;
    });
    return option;
  }

  /** Given once; the last one counts. */
  value<Value>(
    name: string,
    usage: string,
    details: FlagDetails & { initial: Value; parse: (text: string) => Value },
  ): Option<Value> {
    const option: Option<Value> = { value: details.initial, changed: false };
    this.#add(name, usage, details, details.bareValue, (text) => {
      option.value = details.parse(text);
      option.changed = true;
    });
    return option;
  }

  #add(
    name: string,
    usage: string,
    details: FlagDetails,
    bareValue: string | undefined,
    set: (text: string) => void,
  ): void {
    const flag: Flag = {
      name,
      short: details.short,
      usage,
      kind: details.kind ?? "string",
      shownDefault: details.shownDefault ?? "",
      hidden: details.hidden ?? false,
      deprecated: details.deprecated,
      unsupported: details.unsupported ?? false,
      bareValue,
      set,
    };
    this.#byName.set(name, flag);
    if (flag.short !== undefined) this.#byShort.set(flag.short, flag);
  }
}
