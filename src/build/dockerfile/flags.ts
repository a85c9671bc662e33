/** The flags of an instruction: `--name`, `--name=value`. */
import { LineFault } from "./errors.ts";
import { withSuggestion } from "./suggest.ts";
import type { Word } from "./words.ts";

export type FlagKind = "boolean" | "string" | "strings";

export interface Flags {
  /** Undefined when it is not given. */
  boolean(name: string): boolean | undefined;
  /** Empty when it is not given. */
  string(name: string): string;
  strings(name: string): readonly Word[];
  isGiven(name: string): boolean;
  /** Where it is written, for messages. */
  word(name: string): Word | undefined;
}

/** @throws LineFault for flags that the instruction does not have, or has otherwise. */
export function parseFlags(words: readonly Word[], known: Readonly<Record<string, FlagKind>> = {}): Flags {
  const given = new Map<string, Word[]>();
  for (const word of words) {
    const { name, written } = splitFlag(word);
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) {
      throw new LineFault(withSuggestion(`unknown flag: ${written}`, name, Object.keys(known)), word.span);
    }
    const before = given.get(name);
    if (before !== undefined && kind !== "strings") {
      throw new LineFault(`duplicate flag specified: ${written}`, word.span);
    }
    checkValue(word, written, kind);
    if (before === undefined) given.set(name, [word]);
    else before.push(word);
  }
  const last = (name: string) => given.get(name)?.at(-1);
  return {
    boolean: (name) => {
      const word = last(name);
      return word === undefined ? undefined : flagValue(word)?.toLowerCase() !== "false";
    },
    string: (name) => flagValue(last(name)) ?? "",
    strings: (name) =>
      (given.get(name) ?? []).map((word) => ({ text: flagValue(word) ?? "", span: word.span })),
    isGiven: (name) => given.has(name),
    word: last,
  };
}

function splitFlag(word: Word): { name: string; written: string } {
  const end = word.text.indexOf("=");
  const written = end < 0 ? word.text : word.text.slice(0, end);
  return { name: written.slice(2), written };
}

function checkValue(word: Word, written: string, kind: FlagKind): void {
  const value = flagValue(word);
  if (kind !== "boolean") {
    if (value === undefined) throw new LineFault(`missing a value on flag: ${written}`, word.span);
    return;
  }
  if (value === "") throw new LineFault(`missing a value on flag: ${written}`, word.span);
  if (value !== undefined && !["true", "false"].includes(value.toLowerCase())) {
    throw new LineFault(`expecting boolean value for flag ${written}, not: ${value}`, word.span);
  }
}

function flagValue(word: Word | undefined): string | undefined {
  const at = word?.text.indexOf("=") ?? -1;
  return at < 0 ? undefined : word?.text.slice(at + 1);
}
