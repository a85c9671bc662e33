/** A configuration file in JSON that a person wrote: what is wrong with it is said by file, line and column. */

import { hasErrno, InvalidParameter } from "../core/errors.ts";
import { JsonReader } from "../images/json.ts";
import { readFileSync } from "../linux/files.ts";

const largestFile = 4 * 1024 * 1024;

/** Undefined when there is no such file; an empty one is `{}`. @throws InvalidParameter naming file and position. */
export function parseJsonFile(path: string): JsonReader | undefined {
  let text: string;
  try {
    const bytes = readFileSync(path);
    if (bytes.byteLength > largestFile)
      throw new InvalidParameter(`${path} has more than ${largestFile} bytes`);
    text = bytes.toString().replace(/^\uFEFF/, "");
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  if (text.trim() === "") return new JsonReader({}, path);
  try {
    return new JsonReader(JSON.parse(text), path);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error;
    throw new InvalidParameter(`${path}${positionOfFault(text)}: not valid JSON: ${error.message}`, {
      cause: error,
    });
  }
}

/** `:3:14`: line and column of the first character with which the text cannot go on to be JSON. */
function positionOfFault(text: string): string {
  const at = firstFault(text);
  const before = text.slice(0, at).split("\n");
  return `:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
}

/**
 * JSON.parse does not say where it failed. This walks over whole tokens and keeps an account of what may come next: an
 * error is where the account is broken, or at the end.
 */
function firstFault(text: string): number {
  const tokens =
    /[ \t\r\n]+|[{}[\],:]|"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
  const open: ("{" | "[")[] = [];
  let expected: "value" | "value or end" | "key" | "key or end" | "colon" | "comma or end" | "nothing" =
    "value";
  for (let at = 0; at < text.length; at = tokens.lastIndex) {
    tokens.lastIndex = at;
    const token = tokens.exec(text)?.[0];
    if (token === undefined) return at;
    if (/^[ \t\r\n]/.test(token)) continue;
    const wantsValue = expected === "value" || expected === "value or end";
    if (token === "{" || token === "[") {
      if (!wantsValue) return at;
      open.push(token);
      expected = token === "{" ? "key or end" : "value or end";
    } else if (token === "}" || token === "]") {
      const mayEnd =
        expected === "comma or end" || expected === (token === "}" ? "key or end" : "value or end");
      if (!mayEnd || open.pop() !== (token === "}" ? "{" : "[")) return at;
      expected = open.length === 0 ? "nothing" : "comma or end";
    } else if (token === ",") {
      if (expected !== "comma or end") return at;
      expected = open.at(-1) === "{" ? "key" : "value";
    } else if (token === ":") {
      if (expected !== "colon") return at;
      expected = "value";
    } else if (expected === "key" || expected === "key or end") {
      if (!token.startsWith('"')) return at;
      expected = "colon";
    } else {
      if (!wantsValue) return at;
      expected = open.length === 0 ? "nothing" : "comma or end";
    }
  }
  return text.length;
}
