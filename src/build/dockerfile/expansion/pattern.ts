/**
 * The wildcards of `${x#pattern}`, `${x%pattern}` and `${x/pattern/…}`: `*` and `?`, neither of which crosses a line
 * break. A regular expression would do it as BuildKit's does, but JavaScript's may take exponential time.
 */
import { LineFault } from "../errors.ts";

type Atom = { readonly literal: string } | "any";

/** Runs of atoms, with a `*` between each two. */
export interface Pattern {
  readonly segments: readonly (readonly Atom[])[];
  /** Comparisons that may still be made with it. */
  readonly work: { left: number };
}

/** More than a Dockerfile needs, about a second. */
const mostWork = 1 << 25;

/** @throws LineFault for an escape before what needs none. */
export function compilePattern(text: string): Pattern {
  const segments: Atom[][] = [[]];
  const characters = [...text];
  const literal = (character: string) => segments.at(-1)?.push({ literal: character });
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at] ?? "";
    if (character === "*") segments.push([]);
    else if (character === "?") segments.at(-1)?.push("any");
    else if (character !== "\\") literal(character);
    else {
      const next = characters[at + 1];
      // Escaped for the sake of ${…}; the escape is none of the pattern's.
      if (next === "}" || next === "/") continue;
      if (next !== "*" && next !== "?" && next !== "\\") {
        throw new LineFault(`invalid escape '\\${next ?? "\ufffd"}'`);
      }
      at += 1;
      literal(next);
    }
  }
  return { segments, work: { left: mostWork } };
}

export interface Match {
  readonly start: number;
  readonly end: number;
}

/** The end of the match that begins at `start`: the longest if `greedy`, the shortest if not. */
export function matchAt(
  pattern: Pattern,
  text: readonly string[],
  start: number,
  greedy: boolean,
): number | undefined {
  spend(pattern);
  const [first = [], ...others] = pattern.segments;
  if (!fits(pattern, first, text, start)) return undefined;
  let at = start + first.length;
  for (const [index, segment] of others.entries()) {
    const isLast = index === others.length - 1;
    const line = lineEnd(text, at);
    const found =
      isLast && greedy ? lastIn(pattern, segment, text, at, line) : firstIn(pattern, segment, text, at, line);
    if (found === undefined) return undefined;
    at = found + segment.length;
  }
  return at;
}

/** The leftmost match at or behind `from`, the longest there. */
export function search(pattern: Pattern, text: readonly string[], from: number): Match | undefined {
  for (let start = from; start <= text.length; start += 1) {
    const end = matchAt(pattern, text, start, true);
    if (end !== undefined) return { start, end };
  }
  return undefined;
}

/** @throws LineFault when matching takes unreasonably long. */
function spend(pattern: Pattern): void {
  pattern.work.left -= 1;
  if (pattern.work.left < 0) throw new LineFault("pattern and value are too large for a substitution");
}

function fits(pattern: Pattern, segment: readonly Atom[], text: readonly string[], at: number): boolean {
  return segment.every((atom, index) => {
    spend(pattern);
    const character = text[at + index];
    if (character === undefined) return false;
    return atom === "any" ? character !== "\n" : character === atom.literal;
  });
}

function firstIn(
  pattern: Pattern,
  segment: readonly Atom[],
  text: readonly string[],
  from: number,
  to: number,
): number | undefined {
  for (let at = from; at <= to; at += 1) if (fits(pattern, segment, text, at)) return at;
  return undefined;
}

function lastIn(
  pattern: Pattern,
  segment: readonly Atom[],
  text: readonly string[],
  from: number,
  to: number,
): number | undefined {
  for (let at = to; at >= from; at -= 1) if (fits(pattern, segment, text, at)) return at;
  return undefined;
}

function lineEnd(text: readonly string[], from: number): number {
  const at = text.indexOf("\n", from);
  return at < 0 ? text.length : at;
}
