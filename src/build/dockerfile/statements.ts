/**
 * The first pass: a Dockerfile's text into statements. It knows how each instruction's arguments fall into words,
 * and nothing of what they mean. Faults found here come before all that the second pass finds, as in BuildKit.
 */
import { messageOf } from "../../core/errors.ts";
import { commentOf, type Directive, DirectiveReader } from "./directives.ts";
import { DockerfileError, LineFault } from "./errors.ts";
import { type Heredoc, type HeredocMark, heredocMarksIn } from "./heredocs.ts";
import type { InstructionKind } from "./instructions.ts";
import { parseJsonArray } from "./json-array.ts";
import { LineScanner, LogicalLine, type Piece, tooLongLine, withoutLineBreak } from "./lines.ts";
import type { Range, Source } from "./source.ts";
import { leadingSpaces, quote } from "./text.ts";
import {
  type EscapeCharacter,
  splitFirst,
  splitInstruction,
  splitQuoted,
  splitWhitespace,
  type Word,
  wordAt,
} from "./words.ts";

/** One instruction, its arguments as words. */
export interface Statement {
  readonly keyword: Word;
  readonly flags: readonly Word[];
  readonly args: readonly Word[];
  /** For LABEL and ENV instead of `args`. */
  readonly pairs: readonly WrittenPair[];
  /** The arguments are those of an exec form. */
  readonly json: boolean;
  /** For ONBUILD: what is to be done then. */
  readonly inner: Statement | undefined;
  readonly heredocs: readonly Heredoc[];
  readonly comments: readonly string[];
  readonly line: LogicalLine;
  readonly range: Range;
}

export interface WrittenPair {
  readonly key: Word;
  readonly value: Word;
  readonly legacy: boolean;
}

export interface EmptyContinuation {
  readonly range: Range;
}

export interface Statements {
  readonly source: Source;
  readonly escapeCharacter: EscapeCharacter;
  readonly directives: readonly Directive[];
  readonly statements: readonly Statement[];
  /** Instructions with empty lines among their continuation lines. */
  readonly emptyContinuations: readonly EmptyContinuation[];
}

/** Characters of a Dockerfile, and its instructions. */
const longestFile = 16 * 1024 * 1024;
const mostStatements = 20_000;

/** @throws DockerfileError */
export function readStatements(source: Source): Statements {
  return new StatementReader(source).read();
}

class StatementReader {
  readonly #source: Source;
  readonly #scanner: LineScanner;
  readonly #directives = new DirectiveReader();
  readonly #found: Directive[] = [];
  readonly #statements: Statement[] = [];
  readonly #emptyContinuations: EmptyContinuation[] = [];
  #escape: EscapeCharacter = "\\";
  #comments: string[] = [];

  constructor(source: Source) {
    this.#source = source;
    this.#scanner = new LineScanner(source);
  }

  read(): Statements {
    if (this.#source.text.length > longestFile) {
      throw this.#error(`the Dockerfile is larger than ${longestFile} characters`, 1, 1);
    }
    for (let line = this.#scanner.next(); line !== undefined; line = this.#scanner.next()) {
      this.#readStatement(line);
    }
    if (this.#statements.length === 0) throw this.#error("file with no instructions", 1, 1);
    if (this.#scanner.failed) throw this.#error(tooLongLine, this.#scanner.line + 1, this.#scanner.line + 1);
    return {
      source: this.#source,
      escapeCharacter: this.#escape,
      directives: this.#found,
      statements: this.#statements,
      emptyContinuations: this.#emptyContinuations,
    };
  }

  #readStatement(first: string): void {
    const hasMark = this.#scanner.line === 1 && first.startsWith("\ufeff");
    const raw = hasMark ? first.slice(1) : first;
    const comment = commentOf(raw);
    const indent = leadingSpaces(withoutLineBreak(raw));
    const text = withoutLineBreak(raw).slice(indent);
    const isDirective = this.#readDirective(text);
    if (comment === "") this.#comments = [];
    else if (comment !== undefined && !isDirective) this.#comments.push(comment);
    if (text === "" || text.startsWith("#")) return;

    if (this.#statements.length === mostStatements) {
      const { line } = this.#scanner;
      throw this.#error(`the Dockerfile has more than ${mostStatements} instructions`, line, line);
    }
    const offset = this.#scanner.offset + (hasMark ? 1 : 0) + indent;
    const line = this.#readContinuations(text, offset);
    const parts = this.#located(line, () => parseStatement(line, wordAt(line.text, 0), this.#escape));
    const heredocs = this.#readHeredocs(parts, line);
    const last = this.#scanner.line;
    this.#statements.push({
      ...parts,
      heredocs,
      comments: this.#comments,
      range: this.#source.range(offset, this.#source.lineEnd(last)),
    });
    this.#comments = [];
  }

  #readDirective(line: string): boolean {
    if (this.#directives.done) return false;
    try {
      const directive = this.#directives.read(line);
      if (directive === undefined) return false;
      this.#found.push({ ...directive, line: this.#scanner.line });
      if (directive.name === "escape") this.#escape = checkedEscape(directive.value);
      return true;
    } catch (error) {
      if (!(error instanceof LineFault)) throw error;
      throw this.#error(error.message, this.#scanner.line, this.#scanner.line);
    }
  }

  /** The first line and all that continue it. */
  #readContinuations(text: string, offset: number): LogicalLine {
    const firstLine = this.#scanner.line;
    let { kept, continues } = this.#cutContinuation(text);
    const pieces: Piece[] = [{ text: kept, offset }];
    let hasEmptyLine = false;
    while (continues) {
      const next = this.#scanner.next();
      if (next === undefined) break;
      const plain = withoutLineBreak(next);
      const indent = leadingSpaces(plain);
      if (plain.charAt(indent) === "#") continue;
      if (indent === plain.length) {
        hasEmptyLine = true;
        continue;
      }
      ({ kept, continues } = this.#cutContinuation(plain));
      pieces.push({ text: kept, offset: this.#scanner.offset });
    }
    const last = this.#scanner.line;
    if (hasEmptyLine) this.#emptyContinuations.push({ range: this.#source.linesRange(last, last) });
    return new LogicalLine(this.#source, pieces, firstLine, last);
  }

  /**
   * The escape character at the end of a line, white space behind it allowed, continues the line, unless another
   * stands before it.
   */
  #cutContinuation(line: string): { kept: string; continues: boolean } {
    let end = line.length - 1;
    while (line.charAt(end) === " " || line.charAt(end) === "\t") end -= 1;
    if (line.charAt(end) !== this.#escape || (end > 0 && line.charAt(end - 1) === this.#escape)) {
      return { kept: line, continues: false };
    }
    return { kept: line.slice(0, Math.max(end, 0)), continues: true };
  }

  #readHeredocs(statement: Omit<Statement, "heredocs" | "comments" | "range">, line: LogicalLine): Heredoc[] {
    if (!mayHaveHeredocs(statement) || !line.text.includes("<<")) return [];
    const marks = this.#located(line, () => heredocMarksIn(line.text));
    return marks.map((mark) => this.#readHeredoc(mark, line));
  }

  #readHeredoc(mark: HeredocMark, line: LogicalLine): Heredoc {
    const first = this.#scanner.line + 1;
    const start = this.#source.lineStart(first);
    for (let next = this.#scanner.next(); next !== undefined; next = this.#scanner.next()) {
      const plain = withoutLineBreak(next);
      if ((mark.chomp ? plain.replace(/^\t+/, "") : plain) !== mark.name) continue;
      const content = this.#source.text.slice(start, this.#scanner.offset);
      return { ...mark, content, range: this.#source.linesRange(first, this.#scanner.line) };
    }
    throw this.#error("unterminated heredoc", line.firstLine, this.#scanner.line);
  }

  /** Gives a fault in one logical line its place in the file. */
  #located<T>(line: LogicalLine, act: () => T): T {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof LineFault)) throw error;
      const lines = this.#source.linesRange(line.firstLine, line.lastLine);
      const point = error.span === undefined ? undefined : line.range(error.span);
      throw new DockerfileError(messageOf(error), this.#source, lines, point);
    }
  }

  #error(message: string, first: number, last: number): DockerfileError {
    return new DockerfileError(message, this.#source, this.#source.linesRange(first, last));
  }
}

function checkedEscape(value: string): EscapeCharacter {
  if (value === "\\" || value === "`") return value;
  throw new LineFault(`invalid escape token '${value}' does not match \` or \\`);
}

type StatementParts = Omit<Statement, "heredocs" | "comments" | "range">;

function mayHaveHeredocs(statement: StatementParts): boolean {
  const { keyword, inner, json } = statement;
  const isOnbuild = keyword.text.toLowerCase() === "onbuild" && inner !== undefined;
  const kind = (isOnbuild ? inner.keyword : keyword).text.toLowerCase();
  return ["run", "copy", "add"].includes(kind) && !(isOnbuild ? inner.json : json);
}

/** How the arguments of each instruction fall into words. */
type Shape = "text" | "words" | "command" | "list" | "pairs" | "definitions" | "healthcheck" | "statement";

const shapes: Readonly<Record<InstructionKind, Shape>> = {
  add: "list",
  arg: "definitions",
  cmd: "command",
  copy: "list",
  entrypoint: "command",
  env: "pairs",
  expose: "words",
  from: "words",
  healthcheck: "healthcheck",
  label: "pairs",
  maintainer: "text",
  onbuild: "statement",
  run: "command",
  shell: "command",
  stopsignal: "text",
  user: "text",
  volume: "list",
  workdir: "text",
};

export function isInstructionKind(keyword: string): keyword is InstructionKind {
  return Object.hasOwn(shapes, keyword);
}

export const instructionKinds: readonly InstructionKind[] = Object.keys(shapes).filter(isInstructionKind);

/** ONBUILD within ONBUILD is refused later, but read before: that must not go arbitrarily deep. */
const deepestTrigger = 8;

function parseStatement(
  line: LogicalLine,
  text: Word,
  escapeCharacter: EscapeCharacter,
  depth = 0,
): StatementParts {
  const { keyword, flags, rest } = splitInstruction(text.text, escapeCharacter);
  const at = text.span.start;
  const shifted = (word: Word): Word => ({
    text: word.text,
    span: { start: word.span.start + at, end: word.span.end + at },
  });
  const kind = keyword.text.toLowerCase();
  const nothing = { args: [], pairs: [], json: false, inner: undefined };
  const parsed = isInstructionKind(kind)
    ? parseArguments(kind, shifted(rest), line, escapeCharacter, depth)
    : {};
  return { ...nothing, keyword: shifted(keyword), flags: flags.map(shifted), line, ...parsed };
}

function parseArguments(
  kind: InstructionKind,
  rest: Word,
  line: LogicalLine,
  escapeCharacter: EscapeCharacter,
  depth: number,
): Partial<StatementParts> {
  switch (shapes[kind]) {
    case "text":
      return { args: rest.text === "" ? [] : [rest] };
    case "words":
      return { args: splitWhitespace(rest) };
    case "command":
      return parseCommand(rest);
    case "list": {
      const array = parseJsonArray(rest);
      return array === undefined ? { args: splitWhitespace(rest) } : { args: array, json: true };
    }
    case "pairs":
      return { pairs: parsePairs(rest, kind.toUpperCase(), escapeCharacter) };
    case "definitions":
      return { args: splitQuoted(rest, escapeCharacter) };
    case "healthcheck": {
      const [type, command] = splitType(rest);
      if (type.text === "") return {};
      const { args = [], json = false } = parseCommand(command);
      return { args: [type, ...args], json };
    }
    case "statement": {
      if (rest.text === "") return {};
      if (depth === deepestTrigger) {
        throw new LineFault("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", rest.span);
      }
      return { inner: { ...parseStatement(line, rest, escapeCharacter, depth + 1), ...detached(line) } };
    }
  }
}

/** What an inner statement has from its outer one. */
function detached(line: LogicalLine): Pick<Statement, "heredocs" | "comments" | "range"> {
  return { heredocs: [], comments: [], range: line.range({ start: 0, end: line.text.length }) };
}

function parseCommand(rest: Word): { args?: readonly Word[]; json?: boolean } {
  if (rest.text === "") return {};
  const array = parseJsonArray(rest);
  return array === undefined ? { args: [rest] } : { args: array, json: true };
}

/** HEALTHCHECK's first word, up to any white space, and what follows. */
function splitType(rest: Word): readonly [Word, Word] {
  let end = 0;
  while (end < rest.text.length && leadingSpaces(rest.text.charAt(end)) === 0) end += 1;
  const behind = end + leadingSpaces(rest.text.slice(end));
  return [
    wordAt(rest.text.slice(0, end), rest.span.start),
    wordAt(rest.text.slice(behind), rest.span.start + behind),
  ];
}

/** `name=value …`, or the older `name value`: what the first word has decides. */
function parsePairs(rest: Word, instruction: string, escapeCharacter: EscapeCharacter): WrittenPair[] {
  const words = splitQuoted(rest, escapeCharacter);
  const [first] = words;
  if (first === undefined) return [];
  if (!first.text.includes("=")) {
    const split = splitFirst(rest);
    if (split === undefined) throw new LineFault(`${instruction} must have two arguments`, rest.span);
    return [{ key: split[0], value: split[1], legacy: true }];
  }
  return words.map((word) => {
    const at = word.text.indexOf("=");
    if (at < 0) throw new LineFault(missingEquals(word.text), word.span);
    return {
      key: wordAt(word.text.slice(0, at), word.span.start),
      value: { text: word.text.slice(at + 1), span: { start: word.span.start + at + 1, end: word.span.end } },
      legacy: false,
    };
  });
}

function missingEquals(word: string): string {
  return `Syntax error - can't find = in ${quote(word)}. Must be of the form: name=value`;
}
