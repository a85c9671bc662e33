/** The known word that a mistyped one was meant to be, by BuildKit's measure: at most two edits away. */

const tooFar = 3;
/** Words that are looked at. */
const mostCandidates = 2000;

/**
 * The nearest of `known`, or undefined when none is near, or when `word` is one of them and so not the mistake.
 * Without `caseSensitive`, a suggestion is written in the case of `word`.
 */
export function suggestion(word: string, known: Iterable<string>, caseSensitive = true): string | undefined {
  const wanted = caseSensitive ? word : word.toLowerCase();
  let match: string | undefined;
  let nearest = tooFar;
  let left = mostCandidates;
  for (const candidate of known) {
    left -= 1;
    if (left < 0) break;
    const option = caseSensitive ? candidate : candidate.toLowerCase();
    if (option === wanted) return undefined;
    const far = distance(wanted, option, nearest);
    if (far < nearest) {
      match = caseSensitive ? option : inCaseOf(word, option);
      nearest = far;
    }
  }
  return match === "" ? undefined : match;
}

/** `message (did you mean WORD?)`, or the message alone. */
export function withSuggestion(
  message: string,
  word: string,
  known: Iterable<string>,
  caseSensitive = true,
): string {
  const match = suggestion(word, known, caseSensitive);
  return match === undefined ? message : `${message} (did you mean ${match}?)`;
}

function inCaseOf(original: string, word: string): string {
  if (original === original.toLowerCase()) return word.toLowerCase();
  return original === original.toUpperCase() ? word.toUpperCase() : word;
}

/** Levenshtein's distance in characters; `limit` or more once it cannot be less. */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit * 2) return limit;
  const left = [...a];
  const right = [...b];
  if (Math.abs(left.length - right.length) >= limit) return limit;
  let last = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (const [row, character] of left.entries()) {
    const current = [row + 1];
    let least = row + 1;
    for (const [column, other] of right.entries()) {
      const cost = Math.min(
        at(last, column + 1) + 1,
        at(current, column) + 1,
        at(last, column) + (character === other ? 0 : 1),
      );
      current.push(cost);
      least = Math.min(least, cost);
    }
    if (least >= limit) return limit;
    last = current;
  }
  return at(last, right.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? tooFar;
}
