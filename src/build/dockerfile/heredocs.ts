/** Here documents: `<<EOF`, `<<-EOF`, `<<"EOF"`. */
import { LineFault } from "./errors.ts";
import { type ExpansionOptions, expand } from "./expansion/expand.ts";
import { noVariables } from "./expansion/variables.ts";
import type { Range } from "./source.ts";

/** What a mark such as `<<-"EOF"` says. */
export interface HeredocMark {
  readonly name: string;
  /** `3` in `3<<EOF`; 0 when none is written. */
  readonly descriptor: number;
  /** Variables in it are expanded: no part of the name is quoted. */
  readonly expand: boolean;
  /** `<<-`: tabs at the beginning of lines are taken off. */
  readonly chomp: boolean;
}

export interface Heredoc extends HeredocMark {
  /** As it is in the file, tabs included. */
  readonly content: string;
  /** Of the content, its terminator's line included. */
  readonly range: Range;
}

const mark = /^([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)$/;

/** The heredoc that a word stands for, if it does. @throws LineFault for broken quotes in its name. */
function parseHeredocMark(word: string): HeredocMark | undefined {
  const [, digits = "", dash, rest = ""] = mark.exec(word) ?? [];
  if (rest === "") return undefined;
  const plain: ExpansionOptions = { escapeCharacter: "\\", keepUnset: true, splitWords: true };
  const words = expand(rest, noVariables, plain).words;
  const [name] = words;
  if (words.length !== 1 || name === undefined) return undefined;
  const [raw = ""] = expand(rest, noVariables, { ...plain, keepQuotes: true }).words;
  return { name, descriptor: Number(digits), expand: quotes(name) === quotes(raw), chomp: dash === "-" };
}

/** As above; broken quotes make it an ordinary word. */
export function heredocMarkOrNone(word: string): HeredocMark | undefined {
  try {
    return parseHeredocMark(word);
  } catch (error) {
    if (error instanceof LineFault) return undefined;
    throw error;
  }
}

/** All marks on an instruction's line, outside quotes. */
export function heredocMarksIn(line: string): HeredocMark[] {
  const marks: HeredocMark[] = [];
  for (const word of wordsOf(line)) {
    const found = parseHeredocMark(word);
    if (found !== undefined) marks.push(found);
  }
  return marks;
}

function wordsOf(line: string): readonly string[] {
  try {
    return expand(line, noVariables, {
      escapeCharacter: "\\",
      keepQuotes: true,
      keepEscapes: true,
      keepUnset: true,
      splitWords: true,
    }).words;
  } catch (error) {
    // A line whose quotes do not match has no heredocs; the shell will say what it thinks of it.
    if (error instanceof LineFault) return [];
    throw error;
  }
}

/** `<<-`: the content without the tabs that lines begin with. */
export function withoutLeadingTabs(content: string): string {
  return content.replace(/(^|\n)\t+/g, "$1");
}

function quotes(text: string): number {
  return text.replace(/[^'"]/g, "").length;
}
