/** Lists of objects by `--format`: `table`, `table TEMPLATE`, `json`, `raw` or a template for each row. */
import { CommandError } from "../command.ts";
import { alignTabs } from "./tabs.ts";
import { parsePlain, runPlain } from "./template/plain.ts";
import type { Template } from "./template/template.ts";
import { absent, GoObject, type Value } from "./template/values.ts";

/** The template language, loaded when a format needs it. */
const language = (): typeof import("./template/template.ts") => require("./template/template.ts");

/** A row's fields by name; those with arguments are methods (`.Label "x"`) and are left out of JSON. */
export interface RowFields {
  readonly [name: string]: () => Value;
}

/** One object of a list, as templates see it; fields are worked out when a template names them. */
export class Row extends GoObject {
  override readonly escapesHtml = true;
  readonly typeName: string;
  readonly #fields: RowFields;
  readonly #methods: Readonly<Record<string, (argument: string) => Value>>;

  /** @param typeName Go's name of it, for messages */
  constructor(
    typeName: string,
    fields: RowFields,
    methods: Readonly<Record<string, (argument: string) => Value>> = {},
  ) {
    super();
    this.typeName = typeName;
    this.#fields = fields;
    this.#methods = methods;
  }

  override member(name: string, args: readonly Value[]): Value | typeof absent {
    if (Object.hasOwn(this.#fields, name)) {
      if (args.length > 0) throw new Error(`wrong number of args for ${name}: want 0 got ${args.length}`);
      return this.#fields[name]?.();
    }
    const method = Object.hasOwn(this.#methods, name) ? this.#methods[name] : undefined;
    if (method === undefined) return absent;
    const [argument] = args;
    if (args.length !== 1 || typeof argument !== "string") {
      throw new Error(`wrong number of args for ${name}: want 1 got ${args.length}`);
    }
    return method(argument);
  }

  override toJson(): unknown {
    const names = Object.keys(this.#fields).sort();
    return Object.fromEntries(names.map((name) => [name, this.#fields[name]?.() ?? null]));
  }

  override print(): string {
    return JSON.stringify(this.toJson());
  }
}

/** The line above a table: what each field is called. */
class Headings extends GoObject {
  readonly typeName = "formatter.SubHeaderContext";
  readonly #names: Readonly<Record<string, string>>;

  constructor(names: Readonly<Record<string, string>>) {
    super();
    this.#names = names;
  }

  override member(name: string, args: readonly Value[]): Value {
    const [argument] = args;
    if (name === "Label" && typeof argument === "string") {
      return (argument.split(".").at(-1) ?? "").replace(/[-_]/g, " ");
    }
    return Object.hasOwn(this.#names, name) ? this.#names[name] : undefined;
  }

  override toJson(): unknown {
    return this.#names;
  }

  override print(): string {
    return JSON.stringify(this.#names);
  }
}

export interface ListLayout {
  headings: Readonly<Record<string, string>>;
  /** The template behind `table`. */
  table: string;
  /** The template behind `table` with --quiet, and for `raw`. */
  quiet?: string;
  raw?: string;
  /** The template for `raw` with --quiet. */
  rawQuiet?: string;
}

/** Text for all rows. @throws CommandError in Docker's words when the format is wrong. */
export function formatRows(layout: ListLayout, format: string, quiet: boolean, rows: readonly Row[]): string {
  const wanted = format === "" ? "table" : format;
  if (wanted === "table" && quiet && layout.quiet !== undefined) return eachRow(layout.quiet, rows);
  if (wanted === "json") return eachRow("{{json .}}", rows);
  if (wanted === "raw" && layout.raw !== undefined) {
    return eachRow(quiet ? (layout.rawQuiet ?? layout.raw) : layout.raw, rows);
  }
  if (!isTable(wanted)) return eachRow(unescapeTabs(wanted), rows);
  const template = wanted === "table" ? layout.table : wanted.slice("table".length);
  return inTable(unescapeTabs(template.trim()), layout.headings, rows);
}

/** `table`, alone or with a template behind it. */
export function isTable(format: string): boolean {
  return /^table(\s|$)/.test(format) || format.startsWith("table{{");
}

function eachRow(source: string, rows: readonly Row[]): string {
  return withDockersWords(() => {
    const template = rowTemplate(source);
    return rows.map((row) => `${template.run(row)}\n`).join("");
  });
}

function inTable(source: string, names: Readonly<Record<string, string>>, rows: readonly Row[]): string {
  return withDockersWords(() => {
    const template = rowTemplate(source);
    const lines = rows.map((row) => `${template.run(row)}\n`);
    return alignTabs([`${template.headings(new Headings(names))}\n`, ...lines].join(""));
  });
}

/** @throws TemplateSyntaxError */
function rowTemplate(source: string): { run(row: Row): string; headings(names: Headings): string } {
  const plain = parsePlain(source);
  let compiled: Template | undefined;
  const whole = () => {
    compiled ??= new (language().Template)(source);
    return compiled;
  };
  if (plain === undefined) whole();
  const quickly = (object: GoObject) => (plain === undefined ? undefined : runPlain(plain, object));
  return {
    run: (row) => quickly(row) ?? whole().run(row),
    headings: (names) => quickly(names) ?? whole().headings(names),
  };
}

function withDockersWords(make: () => string): string {
  try {
    return make();
  } catch (error) {
    const { TemplateExecutionError, TemplateSyntaxError } = language();
    if (error instanceof TemplateSyntaxError || error instanceof TemplateExecutionError) {
      throw new CommandError(`template parsing error: ${error.message}`);
    }
    throw error;
  }
}

/** In a format the two characters `\t` are a tab and `\n` a new line. */
function unescapeTabs(format: string): string {
  return format.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}
