/**
 * Reads a command line as pflag, Docker's flag library, does: short clusters (`-it`), values beside (`-n5`),
 * behind `=` or in the next word, `--` for the end of flags, and for commands that run another command an end
 * of flags at the first word that is none.
 */
import { messageOf } from "../../core/errors.ts";
import { quote } from "../../core/strconv.ts";
import { nearest } from "../suggest.ts";
import type { Flag, FlagSet } from "./flag-set.ts";

/** A command line that cannot be understood. Exit status 125, as docker. */
export class FlagError extends Error {
  override readonly name = "FlagError";
}

export interface ParsedArguments {
  positional: string[];
  /** Deprecated flags that were used, as lines to print. */
  warnings: string[];
  /** `--help` was among them. */
  help: boolean;
}

/** Fills the options of `flags` from `words`. @throws FlagError */
export function parseFlags(flags: FlagSet, words: readonly string[], interspersed: boolean): ParsedArguments {
  const parsed: ParsedArguments = { positional: [], warnings: [], help: false };
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") {
      parsed.positional.push(...rest);
      return parsed;
    }
    if (!word.startsWith("-") || word === "-") {
      parsed.positional.push(word);
      if (interspersed) continue;
      parsed.positional.push(...rest);
      return parsed;
    }
    if (word.startsWith("--")) parseLong(flags, word, rest, parsed);
    else parseCluster(flags, word.slice(1), rest, parsed);
  }
  return parsed;
}

function parseLong(flags: FlagSet, word: string, rest: string[], parsed: ParsedArguments): void {
  const text = word.slice(2);
  if (text.startsWith("-") || text.startsWith("=")) throw new FlagError(`bad flag syntax: ${word}`);
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  const flag = flags.find(name);
  if (flag === undefined) {
    if (name === "help") {
      parsed.help = true;
      return;
    }
    throw unknownFlag(flags, name);
  }
  const value = equals >= 0 ? text.slice(equals + 1) : (flag.bareValue ?? rest.shift());
  if (value === undefined) throw new FlagError(`flag needs an argument: --${name}`);
  assign(flag, value, parsed);
}

function parseCluster(flags: FlagSet, cluster: string, rest: string[], parsed: ParsedArguments): void {
  for (let letters = cluster; letters !== ""; letters = letters.slice(1)) {
    const letter = letters.charAt(0);
    const flag = flags.findShort(letter);
    if (flag === undefined) {
      if (letter === "h") {
        parsed.help = true;
        parsed.warnings.push("Flag shorthand -h has been deprecated, use --help");
        continue;
      }
      throw new FlagError(`unknown shorthand flag: '${letter}' in -${letters}`);
    }
    const hasEquals = letters.length > 2 && letters.charAt(1) === "=";
    if (flag.bareValue !== undefined && !hasEquals) {
      assign(flag, flag.bareValue, parsed);
      continue;
    }
    const beside = hasEquals ? letters.slice(2) : letters.slice(1);
    const value = beside === "" ? rest.shift() : beside;
    if (value === undefined) throw new FlagError(`flag needs an argument: '${letter}' in -${letters}`);
    assign(flag, value, parsed);
    return;
  }
}

function assign(flag: Flag, text: string, parsed: ParsedArguments): void {
  if (flag.unsupported) throw new FlagError(`--${flag.name} is not supported yet by davit`);
  try {
    flag.set(text);
  } catch (error) {
    const shown = flag.short === undefined ? `--${flag.name}` : `-${flag.short}, --${flag.name}`;
    throw new FlagError(`invalid argument ${quote(text)} for ${quote(shown)} flag: ${messageOf(error)}`);
  }
  if (flag.deprecated !== undefined) {
    parsed.warnings.push(`Flag --${flag.name} has been deprecated, ${flag.deprecated}`);
  }
}

function unknownFlag(flags: FlagSet, name: string): FlagError {
  const known = flags.all.filter((flag) => !flag.hidden && !flag.unsupported).map((flag) => flag.name);
  const [best] = nearest(name, known);
  const hint = best === undefined ? "" : `\nDid you mean --${best}?`;
  return new FlagError(`unknown flag: --${name}${hint}`);
}
