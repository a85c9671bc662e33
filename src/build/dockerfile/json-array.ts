/**
 * The exec form: a JSON array of strings. What is no JSON at all is the shell form; an array that holds
 * something else than strings is an error.
 */
import { LineFault } from "./errors.ts";
import { leadingSpaces } from "./text.ts";
import type { Word } from "./words.ts";

/** Go's decoder gives up on deeper nesting, and so takes such text for the shell form. */
const deepest = 10_000;

/**
 * The strings of the array; undefined when `rest` is not JSON.
 * @throws LineFault when it is an array of other things.
 */
export function parseJsonArray(rest: Word): Word[] | undefined {
  const indent = leadingSpaces(rest.text);
  const text = rest.text.slice(indent);
  if (!text.startsWith("[") || depthOf(text) > deepest) return undefined;
  const items = decode(text);
  if (!Array.isArray(items) || hasHugeNumber(items)) return undefined;
  const spans = text.matchAll(/"(?:[^"\\]|\\.)*"/g);
  const words: Word[] = [];
  for (const item of items) {
    if (typeof item !== "string") {
      throw new LineFault(
        "when using JSON array syntax, arrays must be comprised of strings only",
        rest.span,
      );
    }
    const place = spans.next().value;
    const start = rest.span.start + indent + (place?.index ?? 0);
    words.push({ text: wellFormed(item), span: { start, end: start + (place?.[0].length ?? 0) } });
  }
  return words;
}

function decode(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** A lone surrogate, as `\ud800` may write one, has no UTF-8. */
function wellFormed(text: string): string {
  return text.toWellFormed();
}

/** Go's decoder refuses numbers beyond a float64, which makes the text a shell command. */
function hasHugeNumber(items: readonly unknown[]): boolean {
  const left: unknown[] = [...items];
  for (let item = left.pop(); item !== undefined; item = left.pop()) {
    if (typeof item === "number" && !Number.isFinite(item)) return true;
    if (typeof item === "object" && item !== null) {
      for (const value of Object.values(item)) left.push(value);
    }
  }
  return false;
}

function depthOf(text: string): number {
  let depth = 0;
  let most = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (inString) {
      if (character === "\\") at += 1;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "[" || character === "{") most = Math.max(most, ++depth);
    else if (character === "]" || character === "}") depth -= 1;
  }
  return most;
}
