/**
 * Variable expansion and word splitting, as BuildKit's `shell` package does them: quotes, escapes, `$x`, `${x}` and the
 * modifiers `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`.
 */
import { LineFault } from "../errors.ts";
import { isSpace, quote } from "../text.ts";
import type { EscapeCharacter } from "../words.ts";
import { removePrefix, removeSuffix, replace } from "./modifiers.ts";
import type { Variables } from "./variables.ts";

export interface ExpansionOptions {
  readonly escapeCharacter: EscapeCharacter;
  /** Quotes stay in the result. */
  readonly keepQuotes?: boolean;
  /** Escapes stay in the result. */
  readonly keepEscapes?: boolean;
  /** Quotes are characters like others: for files in heredocs. */
  readonly ignoreQuotes?: boolean;
  /** What refers to a variable that is not set stays as it is written. */
  readonly keepUnset?: boolean;
  /** `words` is wanted too. */
  readonly splitWords?: boolean;
}

export interface Expansion {
  readonly text: string;
  /** The text split at white space outside quotes, after expansion; empty unless it is asked for. */
  readonly words: readonly string[];
  /** Variables that it refers to: those that are set, and those that are not. */
  readonly matched: ReadonlySet<string>;
  readonly unmatched: ReadonlySet<string>;
}

/** UTF-16 units that a word may grow to. BuildKit has no limit, and so no defence against `ENV a=$a$a`. */
export const longestExpansion = 1 << 20;
const deepestNesting = 200;
const longestQuoted = 1000;

/** A word that cannot be expanded; the variables that are missing in it are known as far as it was read. */
export class ExpansionFault extends LineFault {
  readonly unmatched: ReadonlySet<string>;
  constructor(message: string, unmatched: ReadonlySet<string>) {
    super(message);
    this.unmatched = unmatched;
  }
}

/** @throws ExpansionFault in BuildKit's words: `failed to process "…": …`. */
export function expand(word: string, variables: Variables, options: ExpansionOptions): Expansion {
  const expander = new Expander(word, variables, options);
  try {
    const { text, words } = expander.untilEnd();
    return { text, words, matched: expander.matched, unmatched: expander.unmatched };
  } catch (error) {
    if (!(error instanceof LineFault)) throw error;
    const shown = word.length > longestQuoted ? `${word.slice(0, longestQuoted)}…` : word;
    throw new ExpansionFault(`failed to process ${quote(shown)}: ${error.message}`, expander.unmatched);
  }
}

/** What Go's scanner gives behind the last character, and how that looks in a message. */
const end = "";
const replacementCharacter = "\ufffd";
const specialParameters = "@*#?-$!0";
const missingSlash = `syntax error: missing '/' in $\{}`;
const missingBrace = "syntax error: missing '}'";

class Expander {
  readonly matched = new Set<string>();
  readonly unmatched = new Set<string>();
  readonly #characters: readonly string[];
  readonly #variables: Variables;
  readonly #options: ExpansionOptions;
  #at = 0;
  #depth = 0;
  #keepEscapes: boolean;
  /** One for all levels, as in BuildKit: a nested `${x:-y}` begins a new word there. */
  #wordSoFar = "";
  #length = 0;

  constructor(word: string, variables: Variables, options: ExpansionOptions) {
    // Go's scanner drops a byte order mark.
    this.#characters = [...(word.startsWith("\ufeff") ? word.slice(1) : word)];
    this.#variables = variables;
    this.#options = options;
    this.#keepEscapes = options.keepEscapes ?? false;
  }

  untilEnd(): { text: string; words: string[] } {
    return this.#until(end, this.#keepEscapes, false);
  }

  #peek(): string {
    return this.#characters[this.#at] ?? end;
  }

  #next(): string {
    const character = this.#peek();
    this.#at += 1;
    return character;
  }

  /**
   * Reads up to `stop`. `inPattern` doubles escapes inside quotes, so that the text can be parsed again as a pattern.
   */
  #until(stop: string, keepEscapes: boolean, inPattern: boolean): { text: string; words: string[] } {
    const before = this.#keepEscapes;
    this.#keepEscapes = keepEscapes;
    this.#depth += 1;
    if (this.#depth > deepestNesting) throw new LineFault("substitutions are nested too deeply");
    this.#wordSoFar = "";
    const words: string[] = [];
    let inWord = false;
    let text = "";
    const add = (piece: string, isWhole: boolean) => {
      text += piece;
      this.#count(piece);
      if (!this.#options.splitWords) return;
      if (isWhole) {
        this.#wordSoFar += piece;
        inWord = true;
        return;
      }
      for (const character of piece) {
        if (!isSpace(character)) {
          this.#wordSoFar += character;
          inWord = true;
        } else if (inWord && this.#wordSoFar !== "") {
          words.push(this.#wordSoFar);
          this.#wordSoFar = "";
          inWord = false;
        }
      }
    };
    try {
      for (let character = this.#peek(); character !== end; character = this.#peek()) {
        if (character === stop) {
          this.#at += 1;
          this.#finishWord(words);
          return { text, words };
        }
        if (character === "$") add(this.#dollar(), false);
        else if (character === "<") add(this.#angle(), true);
        else if (character === "'" && !this.#options.ignoreQuotes) add(this.#singleQuoted(inPattern), true);
        else if (character === '"' && !this.#options.ignoreQuotes) add(this.#doubleQuoted(inPattern), true);
        else {
          this.#at += 1;
          if (character !== this.#options.escapeCharacter) {
            add(character, false);
            continue;
          }
          if (this.#keepEscapes) add(character, true);
          const escaped = this.#next();
          if (escaped === end) break;
          add(escaped, true);
        }
      }
    } finally {
      this.#keepEscapes = before;
      this.#depth -= 1;
    }
    if (stop !== end) {
      throw new LineFault(`unexpected end of statement while looking for matching ${stop}`);
    }
    this.#finishWord(words);
    return { text, words };
  }

  #finishWord(words: string[]): void {
    if (this.#wordSoFar !== "") words.push(this.#wordSoFar);
    this.#wordSoFar = "";
  }

  #count(piece: string): void {
    this.#length += piece.length;
    if (
      piece.length > longestExpansion ||
      this.#length > longestExpansion * 4 + this.#characters.length * 4
    ) {
      throw new LineFault(`the expansion is longer than ${longestExpansion} characters`);
    }
  }

  #singleQuoted(inPattern: boolean): string {
    this.#at += 1;
    let text = this.#options.keepQuotes ? "'" : "";
    for (;;) {
      const character = this.#next();
      if (character === end) {
        throw new LineFault("unexpected end of statement while looking for matching single-quote");
      }
      if (character === "'") return this.#options.keepQuotes ? `${text}'` : text;
      if (inPattern && character === this.#options.escapeCharacter) text += character;
      text += character;
    }
  }

  #doubleQuoted(inPattern: boolean): string {
    this.#at += 1;
    const { escapeCharacter, keepQuotes = false } = this.#options;
    let text = keepQuotes ? '"' : "";
    for (;;) {
      const character = this.#peek();
      if (character === end) {
        throw new LineFault("unexpected end of statement while looking for matching double-quote");
      }
      if (character === "$") {
        text += this.#dollar();
        this.#count(text);
        continue;
      }
      this.#at += 1;
      if (character === '"') return keepQuotes ? `${text}"` : text;
      if (character !== escapeCharacter) {
        text += character;
        continue;
      }
      const escaped = this.#peek();
      if (escaped === end) continue;
      if (escaped !== '"' && escaped !== "$" && escaped !== escapeCharacter) {
        // The escape is a character of its own; a pattern needs it doubled.
        if (this.#keepEscapes && (!keepQuotes || inPattern)) text += character;
        text += character;
        continue;
      }
      this.#at += 1;
      text += this.#keepEscapes ? character + escaped : escaped;
    }
  }

  /** `<<` with the white space behind it stays one word with what follows: a heredoc's mark. */
  #angle(): string {
    this.#at += 1;
    if (this.#peek() !== "<") return "<";
    this.#at += 1;
    let text = "<<";
    while (/^[\t\r ]$/.test(this.#peek())) text += this.#next();
    return text;
  }

  #dollar(): string {
    this.#at += 1;
    if (this.#peek() !== "{") {
      const name = this.#name();
      if (name === "") return "$";
      const value = this.#value(name);
      return value ?? (this.#options.keepUnset ? `$${name}` : "");
    }
    this.#at += 1;
    const first = this.#peek();
    if (first === end) throw new LineFault(missingBrace);
    if (first === "{" || first === "}" || first === ":") {
      throw new LineFault("syntax error: bad substitution");
    }
    return this.#braced(this.#name());
  }

  #braced(name: string): string {
    const character = this.#next();
    switch (character) {
      case "}": {
        const value = this.#value(name);
        return value ?? (this.#options.keepUnset ? `\${${name}}` : "");
      }
      case ":":
        return this.#withWord(name, this.#next(), true);
      case "+":
      case "-":
      case "?":
      case "#":
      case "%":
        return this.#withWord(name, character, false);
      case "/":
        return this.#replaced(name);
      default:
        throw unsupported(character || replacementCharacter);
    }
  }

  /** `${name` and a modifier with a word. With the colon, an empty value counts as none. */
  #withWord(name: string, operator: string, colon: boolean): string {
    const modifier = (colon ? ":" : "") + (operator || replacementCharacter);
    const isPattern = operator === "#" || operator === "%";
    if (colon && isPattern) throw unsupported(modifier);
    const word = this.#operand("}", isPattern, isPattern, missingBrace);
    const value = this.#value(name);
    if (value === undefined && this.#options.keepUnset) return `\${${name}${modifier}${word}}`;
    const isThere = value !== undefined && !(colon && value === "");
    switch (operator) {
      case "-":
        return isThere ? value : word;
      case "+":
        return isThere ? word : "";
      case "?": {
        if (isThere) return value;
        const state = value === undefined ? "unset" : "empty";
        throw new LineFault(`${name}: ${word || `is not allowed to be ${state}`}`);
      }
      case "#":
      case "%": {
        const greedy = word.startsWith(operator);
        const pattern = greedy ? word.slice(1) : word;
        const remove = operator === "#" ? removePrefix : removeSuffix;
        return remove(pattern, value ?? "", greedy);
      }
      default:
        throw unsupported(modifier);
    }
  }

  #replaced(name: string): string {
    const all = this.#peek() === "/";
    if (all) this.#at += 1;
    const pattern = this.#operand("/", true, true, missingSlash);
    const replacement = this.#operand("}", true, false, missingBrace);
    const value = this.#value(name);
    if (value === undefined && this.#options.keepUnset) return `\${${name}/${pattern}/${replacement}}`;
    return replace(pattern, replacement, value ?? "", all);
  }

  #operand(stop: string, keepEscapes: boolean, inPattern: boolean, unfinished: string): string {
    try {
      return this.#until(stop, keepEscapes, inPattern).text;
    } catch (error) {
      if (error instanceof LineFault && this.#peek() === end) throw new LineFault(unfinished);
      throw error;
    }
  }

  /** Letters, digits and `_`; or digits alone; or one special parameter. May be empty. */
  #name(): string {
    const first = this.#peek();
    let name = "";
    if (/^\p{Nd}$/u.test(first)) {
      while (/^\p{Nd}$/u.test(this.#peek())) name += this.#next();
      return name;
    }
    if (first !== end && specialParameters.includes(first)) return this.#next();
    while (/^[\p{L}\p{Nd}_]$/u.test(this.#peek())) name += this.#next();
    return name;
  }

  #value(name: string): string | undefined {
    const value = this.#variables.get(name);
    (value === undefined ? this.unmatched : this.matched).add(name);
    return value;
  }
}

function unsupported(modifier: string): LineFault {
  return new LineFault(`unsupported modifier (${modifier}) in substitution`);
}
