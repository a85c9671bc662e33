/** What `${x#pattern}`, `${x%pattern}` and `${x/pattern/replacement}` make of a value. */
import { LineFault } from "../errors.ts";
import { compilePattern, matchAt, type Pattern, search } from "./pattern.ts";

/** Characters that a replacement may make of a value. */
const longestResult = 1 << 20;

export function removePrefix(pattern: string, value: string, greedy: boolean): string {
  const compiled = compile(pattern);
  const characters = [...value];
  const end = matchAt(compiled, characters, 0, greedy);
  return end === undefined ? value : characters.slice(end).join("");
}

/** Both are read backwards, so that the shortest end is the shortest beginning. */
export function removeSuffix(pattern: string, value: string, greedy: boolean): string {
  const compiled = compile(reversed(pattern));
  const characters = [...value].reverse();
  const end = matchAt(compiled, characters, 0, greedy);
  return end === undefined ? value : characters.slice(end).reverse().join("");
}

export function replace(pattern: string, replacement: string, value: string, all: boolean): string {
  const compiled = compile(pattern);
  const characters = [...value];
  const replaced: string[] = [];
  let at = 0;
  let lastEnd = -1;
  let length = 0;
  for (let from = 0; from <= characters.length; ) {
    const match = search(compiled, characters, from);
    if (match === undefined) break;
    // Go's regexp: no empty match right behind another match.
    if (match.end > match.start || match.start !== lastEnd) {
      const matched = characters.slice(match.start, match.end).join("");
      const insert = all ? fromTemplate(replacement, matched) : replacement;
      replaced.push(characters.slice(at, match.start).join(""), insert);
      length += insert.length;
      if (length > longestResult)
        throw new LineFault(`the expansion is longer than ${longestResult} characters`);
      at = match.end;
      lastEnd = match.end;
    }
    if (!all) break;
    from = match.end > match.start ? match.end : match.end + 1;
  }
  return replaced.join("") + characters.slice(at).join("");
}

/**
 * `//` replaces by a template of Go's regexp: `$0` is the match, other groups there are none, so that `$1` and
 * `${name}` become nothing; `$$` becomes `$`.
 */
function fromTemplate(replacement: string, matched: string): string {
  return replacement.replace(/\$(?:\$|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))/gu, (all, braced, plain) => {
    if (all === "$$") return "$";
    return (braced ?? plain) === "0" ? matched : "";
  });
}

function compile(pattern: string): Pattern {
  try {
    return compilePattern(pattern);
  } catch (error) {
    if (!(error instanceof LineFault)) throw error;
    throw new LineFault(`invalid pattern (${pattern}) in substitution: ${error.message}`);
  }
}

/** Backwards, but for escapes, which stay before what they escape. */
function reversed(pattern: string): string {
  const parts = [...pattern];
  const pairs: string[] = [];
  for (let at = 0; at < parts.length; at += 1) {
    const isEscape = parts[at] === "\\" && at + 1 < parts.length;
    pairs.push(isEscape ? `\\${parts[++at]}` : (parts[at] ?? ""));
  }
  return pairs.reverse().join("");
}
