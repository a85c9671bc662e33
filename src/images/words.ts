/** Words of a Dockerfile instruction: quotes, escapes and variables, as Docker's own shell-like lexer has them. */
import { InvalidParameter } from "../core/errors.ts";

/** Splits at blanks outside quotes. Quotes and escapes stay in, for `expandWords`. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  let inWord = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (quote === "" && /\s/.test(character)) {
      if (inWord) words.push(word);
      word = "";
      inWord = false;
      continue;
    }
    inWord = true;
    word += character;
    if (character === "\\" && quote !== "'") word += text.charAt(++at);
    else if (character === quote) quote = "";
    else if (quote === "" && (character === '"' || character === "'")) quote = character;
  }
  if (inWord) words.push(word);
  return words;
}

/**
 * Removes quotes and puts variables in: `$name`, `${name}`, `${name:-default}`, `${name:+other}`.
 * @param environment `NAME=value` entries.
 * @throws InvalidParameter for a quote or brace that is not closed.
 */
export function expandWords(words: readonly string[], environment: readonly string[]): string[] {
  const variables = new Map(
    environment.map((entry) => {
      const equals = entry.indexOf("=");
      return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
  return words.map((word) => expand(word, variables));
}

function expand(word: string, variables: ReadonlyMap<string, string>): string {
  let result = "";
  let quote = "";
  for (let at = 0; at < word.length; at += 1) {
    const character = word.charAt(at);
    if (quote === "'") {
      if (character === "'") quote = "";
      else result += character;
    } else if (character === "\\") {
      const next = word.charAt(++at);
      // Inside double quotes a backslash escapes only what would mean something there.
      result += quote === '"' && !['"', "\\", "$"].includes(next) ? `\\${next}` : next;
    } else if (character === "$") {
      const found = variableAt(word, at, variables);
      result += found.value;
      at = found.end - 1;
    } else if (character === quote) quote = "";
    else if (quote === "" && (character === '"' || character === "'")) quote = character;
    else result += character;
  }
  if (quote !== "")
    throw new InvalidParameter(`unexpected end of statement while looking for matching ${quote}`);
  return result;
}

function variableAt(
  word: string,
  start: number,
  variables: ReadonlyMap<string, string>,
): { value: string; end: number } {
  const plain = /^\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?!$-])/.exec(word.slice(start));
  if (plain !== null) {
    return { value: variables.get(plain[1] ?? "") ?? "", end: start + plain[0].length };
  }
  if (word.charAt(start + 1) !== "{") return { value: "$", end: start + 1 };
  const braced = /^\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([-+])([^}]*))?\}/.exec(word.slice(start));
  if (braced === null)
    throw new InvalidParameter(`syntax error: bad substitution in ${JSON.stringify(word)}`);
  const [all, name = "", operator, other = ""] = braced;
  const value = variables.get(name) ?? "";
  const end = start + all.length;
  if (operator === "-") return { value: value === "" ? expand(other, variables) : value, end };
  if (operator === "+") return { value: value === "" ? "" : expand(other, variables), end };
  return { value, end };
}
