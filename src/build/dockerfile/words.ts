/** How an instruction's line falls into keyword, flags and words: BuildKit's rules, with the place of each. */
import type { Span } from "./errors.ts";
import { isSpace, leadingSpaces, trimSpace } from "./text.ts";

export interface Word {
  readonly text: string;
  readonly span: Span;
}

export type EscapeCharacter = "\\" | "`";

const separators = /[\t\v\f\r ]+/;

export interface Split {
  readonly keyword: Word;
  readonly flags: readonly Word[];
  /** What follows the flags, without white space around it. */
  readonly rest: Word;
}

/** Splits `KEYWORD --flag=… rest`. */
export function splitInstruction(line: string, escapeCharacter: EscapeCharacter): Split {
  const start = leadingSpaces(line);
  const trimmed = trimSpace(line);
  const gap = separators.exec(trimmed);
  const keyword = wordAt(trimmed.slice(0, gap?.index ?? trimmed.length), start);
  if (gap === null) return { keyword, flags: [], rest: wordAt("", start + trimmed.length) };
  const behind = gap.index + gap[0].length;
  const { flags, at } = extractFlags(trimmed.slice(behind), escapeCharacter);
  const rest = trimmed.slice(behind + at);
  return {
    keyword,
    flags: flags.map(({ text, span }) => ({ text, span: shift(span, start + behind) })),
    rest: wordAt(trimSpace(rest), start + behind + at + leadingSpaces(rest)),
  };
}

/** Words that begin with `--`, up to the first that does not or `--` itself. Quotes are taken off them. */
function extractFlags(line: string, escapeCharacter: EscapeCharacter): { flags: Word[]; at: number } {
  const flags: Word[] = [];
  let at = 0;
  for (;;) {
    at += leadingSpaces(line.slice(at));
    if (at >= line.length) return { flags, at: line.length };
    if (!line.startsWith("--", at)) return { flags, at };
    const { text, end } = unquotedWord(line, at, escapeCharacter);
    if (text === "--") return { flags, at: end };
    flags.push({ text, span: { start: at, end } });
    at = end;
  }
}

function unquotedWord(
  line: string,
  start: number,
  escapeCharacter: EscapeCharacter,
): { text: string; end: number } {
  let text = "";
  let quoted = "";
  let at = start;
  for (; at < line.length; at += 1) {
    const character = line.charAt(at);
    if (character === escapeCharacter) {
      // At the very end it is left out.
      at += 1;
      text += line.charAt(at);
    } else if (quoted !== "") {
      if (character === quoted) quoted = "";
      else text += character;
    } else if (isSpace(character)) break;
    else if (character === "'" || character === '"') quoted = character;
    else text += character;
  }
  return { text, end: Math.min(at, line.length) };
}

/** Words between white space, as `EXPOSE` and the shell form of `COPY` have them. */
export function splitWhitespace(rest: Word): Word[] {
  if (rest.text === "") return [];
  const words: Word[] = [];
  let at = 0;
  for (const gap of rest.text.matchAll(/[\t\v\f\r ]+/g)) {
    words.push(wordAt(rest.text.slice(at, gap.index), rest.span.start + at));
    at = gap.index + gap[0].length;
  }
  words.push(wordAt(rest.text.slice(at), rest.span.start + at));
  return words;
}

/** The first word and all that follows it. */
export function splitFirst(rest: Word): readonly [Word, Word] | undefined {
  const gap = separators.exec(rest.text);
  if (gap === null) return undefined;
  const behind = gap.index + gap[0].length;
  return [
    wordAt(rest.text.slice(0, gap.index), rest.span.start),
    wordAt(rest.text.slice(behind), rest.span.start + behind),
  ];
}

/** Words between white space outside quotes; quotes and escapes stay in them, for the expansion to take off. */
export function splitQuoted(rest: Word, escapeCharacter: EscapeCharacter): Word[] {
  const words: Word[] = [];
  const line = rest.text;
  let start = -1;
  let text = "";
  let quoted = "";
  const finish = (end: number) => {
    // A lone escape character at the end of the line leaves an empty word behind, which is none.
    if (text !== "") words.push({ text, span: shift({ start, end }, rest.span.start) });
    start = -1;
    text = "";
  };
  for (let at = 0; at < line.length; at += 1) {
    const character = line.charAt(at);
    if (quoted === "" && isSpace(character)) {
      if (start >= 0) finish(at);
      continue;
    }
    if (start < 0) start = at;
    if (character === escapeCharacter && quoted !== "'") {
      if (at + 1 === line.length) continue;
      at += 1;
      text += character + line.charAt(at);
      continue;
    }
    if (quoted === "" && (character === "'" || character === '"')) quoted = character;
    else if (character === quoted) quoted = "";
    text += character;
  }
  if (start >= 0) finish(line.length);
  return words;
}

export function wordAt(text: string, start: number): Word {
  return { text, span: { start, end: start + text.length } };
}

function shift(span: Span, by: number): Span {
  return { start: span.start + by, end: span.end + by };
}
