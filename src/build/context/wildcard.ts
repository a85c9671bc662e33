/**
 * Wildcards in the sources of COPY and ADD, as Go's filepath.Match has them: `*`, `?`, `[a-z]`, `[^a]`, `\`. None of
 * them crosses a slash. Takes time in proportion to pattern and name, whatever they are.
 */
import { InvalidParameter } from "../../core/errors.ts";

type Token =
  | { readonly kind: "literal"; readonly character: string }
  | { readonly kind: "any" }
  | { readonly kind: "star" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly CharacterRange[] };

export interface CharacterRange {
  readonly low: string;
  readonly high: string;
}

/** A pattern that is ready to be matched. */
export interface Wildcard {
  matches(name: string): boolean;
}

/** True when a pattern holds anything but the characters it matches: a wildcard or an escape counts. */
export function hasWildcards(pattern: string): boolean {
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern.charAt(at);
    if (character === "\\") at += 1;
    else if ("*?[".includes(character)) return true;
  }
  return false;
}

/** @throws InvalidParameter `syntax error in pattern` */
export function compileWildcard(pattern: string): Wildcard {
  const tokens = tokenize([...pattern]);
  return { matches: (name) => match(tokens, [...name]) };
}

/**
 * A source's leading part without wildcards, and the rest that has some: the part is where a walk begins, the rest
 * is matched against what is below it. An empty rest means that there is nothing to match.
 */
export function splitWildcards(path: string): { fixed: string; pattern: string } {
  const parts = path.split("/");
  const first = parts.findIndex(hasWildcards);
  if (first < 0) return { fixed: unescaped(path), pattern: "" };
  return { fixed: unescaped(parts.slice(0, first).join("/")), pattern: parts.slice(first).join("/") };
}

function unescaped(path: string): string {
  return path.replace(/\\(.)/gsu, "$1");
}

function bad(): InvalidParameter {
  return new InvalidParameter("syntax error in pattern");
}

function tokenize(pattern: readonly string[]): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at] ?? "";
    if (character === "*") tokens.push({ kind: "star" });
    else if (character === "?") tokens.push({ kind: "any" });
    else if (character === "[") {
      const { token, end } = readClass(pattern, at + 1);
      tokens.push(token);
      at = end;
    } else if (character !== "\\") tokens.push({ kind: "literal", character });
    else {
      at += 1;
      const escaped = pattern[at];
      if (escaped === undefined) throw bad();
      tokens.push({ kind: "literal", character: escaped });
    }
  }
  return tokens;
}

/** From behind the `[`; `end` is the `]`. */
function readClass(pattern: readonly string[], start: number): { token: Token; end: number } {
  let at = start;
  const negated = pattern[at] === "^";
  if (negated) at += 1;
  const ranges: CharacterRange[] = [];
  while (pattern[at] !== "]" || ranges.length === 0) {
    const low = readMember(pattern, at);
    at = low.next;
    if (pattern[at] !== "-") {
      ranges.push({ low: low.character, high: low.character });
      continue;
    }
    const high = readMember(pattern, at + 1);
    at = high.next;
    ranges.push({ low: low.character, high: high.character });
  }
  return { token: { kind: "class", negated, ranges }, end: at };
}

function readMember(pattern: readonly string[], at: number): { character: string; next: number } {
  const first = pattern[at];
  if (first === undefined || first === "-" || first === "]") throw bad();
  const isEscape = first === "\\";
  const character = isEscape ? pattern[at + 1] : first;
  const next = isEscape ? at + 2 : at + 1;
  // A class must be closed.
  if (character === undefined || next >= pattern.length) throw bad();
  return { character, next };
}

/** Goes back to the last star only: an earlier one could not do better. */
function match(tokens: readonly Token[], name: readonly string[]): boolean {
  let token = 0;
  let at = 0;
  let star = -1;
  let starAt = 0;
  while (at < name.length) {
    const current = tokens[token];
    const character = name[at] ?? "";
    if (current?.kind === "star") {
      star = token;
      starAt = at;
      token += 1;
    } else if (current !== undefined && accepts(current, character)) {
      token += 1;
      at += 1;
    } else {
      if (star < 0 || name[starAt] === "/") return false;
      starAt += 1;
      at = starAt;
      token = star + 1;
    }
  }
  return tokens.slice(token).every(({ kind }) => kind === "star");
}

function accepts(token: Token, character: string): boolean {
  switch (token.kind) {
    case "literal":
      return token.character === character;
    case "any":
      return character !== "/";
    case "class":
      return character !== "/" && inClass(token.ranges, character) !== token.negated;
    case "star":
      return false;
  }
}

export function inClass(ranges: readonly CharacterRange[], character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  return ranges.some(
    ({ low, high }) => (low.codePointAt(0) ?? 0) <= code && code <= (high.codePointAt(0) ?? 0),
  );
}
