/** Patterns as Go's path.Match has them: `*` and `?` do not cross a slash. */
import { InvalidParameter } from "../core/errors.ts";

/** @throws InvalidParameter `syntax error in pattern`. */
export function globPattern(pattern: string): RegExp {
  let source = "";
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern.charAt(at);
    if (character === "*") source += "[^/]*";
    else if (character === "?") source += "[^/]";
    else if (character === "\\") source += literal(pattern.charAt(++at));
    else if (character === "[") {
      const end = pattern.indexOf("]", at + 2);
      if (end < 0) throw new InvalidParameter("syntax error in pattern");
      source += `[${pattern.slice(at + 1, end).replace(/[\\\]]/g, "\\$&")}]`;
      at = end;
    } else source += literal(character);
  }
  try {
    return new RegExp(`^${source}$`, "u");
  } catch (error) {
    if (error instanceof SyntaxError) throw new InvalidParameter("syntax error in pattern", { cause: error });
    throw error;
  }
}

function literal(character: string): string {
  if (character === "") throw new InvalidParameter("syntax error in pattern");
  return character.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");
}
