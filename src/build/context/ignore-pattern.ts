/** One pattern of a `.dockerignore`, as moby's patternmatcher reads it. */
import { InvalidParameter } from "../../core/errors.ts";
import { type CharacterRange, compileWildcard, inClass } from "./wildcard.ts";

type Token =
  | { readonly kind: "literal"; readonly character: string }
  /** `?`: any character but a slash. */
  | { readonly kind: "any" }
  /** `*`: any of them, also none. */
  | { readonly kind: "star" }
  /** A `**` with something behind it: nothing, or directories. */
  | { readonly kind: "directories" }
  /** A `**` at the end: anything. */
  | { readonly kind: "anything" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly CharacterRange[] };

/** What a directory's own match tells of what is below it. */
export type Reach = "nothing" | "something";

export interface IgnorePattern {
  /** Cleaned, without its `!`. */
  readonly text: string;
  /** It began with `!`: what it matches is not ignored after all. */
  readonly exception: boolean;
  matches(path: string): boolean;
  /** The same for a path or any directory above it. */
  matchesOrAbove(path: string): boolean;
  /** Whether it could match anything below a directory; `something` when in doubt. */
  below(directory: string): Reach;
}

/**
 * @param text cleaned, without `!`
 * @throws InvalidParameter `syntax error in pattern`
 */
export function compileIgnorePattern(text: string, exception: boolean): IgnorePattern {
  // Only for its verdict on the syntax, as in moby, which mostly overlooks an escape at the end.
  compileWildcard(text.replace(/(?<!\\)((?:\\\\)*)\\$/, "$1"));
  return { text, exception, ...matcherFor(text) };
}

type Matcher = Pick<IgnorePattern, "matches" | "matchesOrAbove" | "below">;

function matcherFor(text: string): Matcher {
  const tokens = tokenize(text);
  // What is escaped is not what the text says.
  if (text.includes("\\")) return automaton(tokens);
  const first = tokens[0]?.kind;
  const others = tokens.slice(1);
  if (tokens.every(isLiteral)) return exactMatcher(text);
  if (tokens.length === 1 && first === "anything")
    return { matches: () => true, matchesOrAbove: () => true, below: () => "something" };
  if (first === "directories" && others.every(isLiteral)) return suffixMatcher(text.slice(2));
  if (tokens.at(-1)?.kind === "anything" && tokens.slice(0, -1).every(isLiteral) && text.endsWith("**")) {
    return prefixMatcher(text.slice(0, -2));
  }
  return automaton(tokens);
}

function isLiteral({ kind }: Token): boolean {
  return kind === "literal";
}

function exactMatcher(text: string): Matcher {
  return {
    matches: (path) => path === text,
    matchesOrAbove: (path) => path === text || path.startsWith(`${text}/`),
    below: (directory) => (text.startsWith(`${directory}/`) ? "something" : "nothing"),
  };
}

/** `a/**`: what begins with `a/`. */
function prefixMatcher(prefix: string): Matcher {
  return {
    matches: (path) => path.startsWith(prefix),
    matchesOrAbove: (path) => path.startsWith(prefix),
    below: (directory) =>
      prefix.startsWith(`${directory}/`) || `${directory}/`.startsWith(prefix) ? "something" : "nothing",
  };
}

/** `**` and `/a`: what ends with `/a`, and `a` itself; `**a`: what ends with `a`. */
function suffixMatcher(suffix: string): Matcher {
  const matches = (path: string) =>
    path.endsWith(suffix) || (suffix.startsWith("/") && path === suffix.slice(1));
  return {
    matches,
    matchesOrAbove: (path) =>
      matches(path) ||
      path.includes(`${suffix}/`) ||
      (suffix.startsWith("/") && path.startsWith(`${suffix.slice(1)}/`)),
    below: () => "something",
  };
}

function tokenize(text: string): Token[] {
  const characters = [...text];
  const tokens: Token[] = [];
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at] ?? "";
    if (character === "*" && characters[at + 1] === "*") {
      at += characters[at + 2] === "/" ? 2 : 1;
      tokens.push({ kind: at + 1 >= characters.length ? "anything" : "directories" });
    } else if (character === "*") tokens.push({ kind: "star" });
    else if (character === "?") tokens.push({ kind: "any" });
    else if (character === "[") {
      const { token, end } = readClass(characters, at + 1);
      tokens.push(token);
      at = end;
    } else if (character === "\\" && at + 1 < characters.length) {
      at += 1;
      tokens.push(escaped(characters[at] ?? ""));
    } else tokens.push({ kind: "literal", character });
  }
  return tokens;
}

const digits = [{ low: "0", high: "9" }];
const wordCharacters = [...digits, { low: "A", high: "Z" }, { low: "_", high: "_" }, { low: "a", high: "z" }];
const spaces = [..."\t\n\f\r "].map((character) => ({ low: character, high: character }));

/** moby hands escapes to Go's regexp, where letters are classes and control characters. */
const letterEscapes: Readonly<Record<string, Token>> = {
  d: { kind: "class", negated: false, ranges: digits },
  D: { kind: "class", negated: true, ranges: digits },
  w: { kind: "class", negated: false, ranges: wordCharacters },
  W: { kind: "class", negated: true, ranges: wordCharacters },
  s: { kind: "class", negated: false, ranges: spaces },
  S: { kind: "class", negated: true, ranges: spaces },
  a: { kind: "literal", character: "\x07" },
  f: { kind: "literal", character: "\f" },
  n: { kind: "literal", character: "\n" },
  r: { kind: "literal", character: "\r" },
  t: { kind: "literal", character: "\t" },
  v: { kind: "literal", character: "\v" },
};

function escaped(character: string): Token {
  if (!/^[A-Za-z0-9]$/.test(character)) return { kind: "literal", character };
  const token = letterEscapes[character];
  if (token === undefined) throw new InvalidParameter("syntax error in pattern");
  return token;
}

/** Its syntax has been checked: there is an end. */
function readClass(characters: readonly string[], start: number): { token: Token; end: number } {
  const negated = characters[start] === "^";
  const ranges: CharacterRange[] = [];
  let at = negated ? start + 1 : start;
  const member = () => {
    if (characters[at] === "\\") at += 1;
    const character = characters[at] ?? "";
    at += 1;
    return character;
  };
  while (at < characters.length && (characters[at] !== "]" || ranges.length === 0)) {
    const low = member();
    if (characters[at] !== "-") ranges.push({ low, high: low });
    else {
      at += 1;
      ranges.push({ low, high: member() });
    }
  }
  return { token: { kind: "class", negated, ranges }, end: at };
}

/** All ways through the tokens that the characters so far allow, and what follows from each further character. */
interface Node {
  readonly states: readonly number[];
  readonly accepts: boolean;
  readonly next: Map<string, Node>;
}

/** Steps that an automaton remembers; with more of them it begins anew. */
const mostSteps = 50_000;

/**
 * Follows all ways through the tokens at once, so that no pattern takes more than its length for a character, and
 * remembers each step, so that commonly one look-up is all.
 */
function automaton(tokens: readonly Token[]): Matcher {
  const nodes = new Map<string, Node>();
  let steps = 0;
  const nodeOf = (states: readonly number[]): Node => {
    const key = states.join();
    const known = nodes.get(key);
    if (known !== undefined) return known;
    const node = { states, accepts: states.includes(tokens.length), next: new Map<string, Node>() };
    nodes.set(key, node);
    return node;
  };
  const follow = (node: Node, character: string): Node => {
    const known = node.next.get(character);
    if (known !== undefined) return known;
    const next = nodeOf(step(tokens, node.states, character));
    node.next.set(character, next);
    steps += 1;
    return next;
  };
  const begin = (): Node => {
    if (steps > mostSteps) {
      nodes.clear();
      steps = 0;
    }
    return nodeOf(closure(tokens, [0]));
  };
  const run = (text: string): Node => {
    let node = begin();
    for (const character of text) {
      node = follow(node, character);
      if (node.states.length === 0) break;
    }
    return node;
  };
  return {
    matches: (path) => run(path).accepts,
    matchesOrAbove: (path) => {
      let node = begin();
      for (const character of path) {
        if (character === "/" && node.accepts) return true;
        node = follow(node, character);
        if (node.states.length === 0) return false;
      }
      return node.accepts;
    },
    below: (directory) => (run(`${directory}/`).states.length > 0 ? "something" : "nothing"),
  };
}

/**
 * A state is the number of tokens behind; those of `directories` come in two: outside, where its optional group is
 * over, and inside (numbered from -1 down), where the group waits for its slash.
 */
function closure(tokens: readonly Token[], states: readonly number[]): readonly number[] {
  const reached = new Set<number>();
  const add = (state: number): void => {
    if (reached.has(state)) return;
    reached.add(state);
    const kind = state < 0 ? undefined : tokens[state]?.kind;
    if (kind === "star" || kind === "anything") add(state + 1);
    if (kind === "directories") {
      add(state + 1);
      add(-1 - state);
    }
  };
  for (const state of states) add(state);
  return [...reached];
}

function step(tokens: readonly Token[], states: readonly number[], character: string): readonly number[] {
  const next: number[] = [];
  for (const state of states) {
    if (state < 0) {
      // Within the directories: more of them, or, after a slash, the end of them.
      if (character !== "\n") next.push(state);
      if (character === "/") next.push(-1 - state + 1);
      continue;
    }
    const token = tokens[state];
    if (token === undefined) continue;
    if (token.kind === "star" && character !== "/") next.push(state);
    else if (token.kind === "anything" && character !== "\n") next.push(state);
    else if (accepts(token, character)) next.push(state + 1);
  }
  return next.length === 0 ? next : closure(tokens, next);
}

function accepts(token: Token, character: string): boolean {
  if (token.kind === "literal") return token.character === character;
  if (token.kind === "any") return character !== "/";
  return token.kind === "class" && inClass(token.ranges, character) !== token.negated;
}
