/** Parser directives: `# syntax=`, `# escape=`, `# check=` before everything else in a Dockerfile. */
import { LineFault } from "./errors.ts";
import { leadingSpaces, trimSpace } from "./text.ts";

export type DirectiveName = "syntax" | "escape" | "check";

export interface Directive {
  readonly name: DirectiveName;
  readonly value: string;
  readonly line: number;
}

const names: ReadonlySet<string> = new Set(["syntax", "escape", "check"]);

function isName(name: string): name is DirectiveName {
  return names.has(name);
}

/** Reads lines one after the other for as long as they are directives. */
export class DirectiveReader {
  readonly #comment: string;
  readonly #seen = new Set<string>();
  #line: number;
  #done = false;

  /** @param before lines that come before the first one given to `read` */
  constructor(comment = "#", before = 0) {
    this.#comment = comment;
    this.#line = before;
  }

  get done(): boolean {
    return this.#done;
  }

  /** The directive on the next line, if it is one. @throws LineFault for a directive given twice. */
  read(line: string): Directive | undefined {
    this.#line += 1;
    if (this.#done) return undefined;
    const found = line.startsWith(this.#comment) ? parse(line.slice(this.#comment.length)) : undefined;
    if (found === undefined) {
      this.#done = true;
      return undefined;
    }
    if (this.#seen.has(found.name)) {
      throw new LineFault(`only one ${found.name} parser directive can be used`);
    }
    this.#seen.add(found.name);
    return { ...found, line: this.#line };
  }
}

const asciiSpaces = "\t\n\f\r ";

function parse(text: string): { name: DirectiveName; value: string } | undefined {
  const start = text.slice(leadingSpaces(text));
  const [head, key = ""] = /^([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=/.exec(start) ?? [];
  const name = key.toLowerCase();
  if (head === undefined || head.length === start.length || !isName(name)) return undefined;
  let from = head.length;
  let end = start.length;
  while (end - 1 > from && asciiSpaces.includes(start.charAt(end - 1))) end -= 1;
  while (from + 1 < end && asciiSpaces.includes(start.charAt(from))) from += 1;
  const value = start.slice(from, end);
  return value.includes("\n") ? undefined : { name, value };
}

/**
 * The first word of a directive, read from the head of a file as front ends do before parsing: a `#!` line may
 * come first, and white space before the `#` ends the directives.
 */
export function directiveOf(name: DirectiveName, text: string): Directive | undefined {
  const lines = text.replace(/^\ufeff/, "").split("\n", 16);
  const shebang = lines[0]?.startsWith("#!") ?? false;
  const reader = new DirectiveReader("#", shebang ? 1 : 0);
  for (const line of shebang ? lines.slice(1) : lines) {
    let directive: Directive | undefined;
    try {
      directive = reader.read(line.replace(/\r$/, ""));
    } catch (error) {
      // The parser proper reports it; what stands before it counts.
      if (error instanceof LineFault) return undefined;
      throw error;
    }
    if (reader.done) return undefined;
    if (directive?.name === name) {
      return { ...directive, value: directive.value.split(" ", 1)[0] ?? "" };
    }
  }
  return undefined;
}

/** The comment of a line, without its `#`; undefined when the line is none. BuildKit cuts one character. */
export function commentOf(line: string): string | undefined {
  return line.charAt(leadingSpaces(line)) === "#" ? trimSpace(line.slice(1)) : undefined;
}
