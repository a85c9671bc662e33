/** Text as Go's standard library treats it: BuildKit's rules are written in these words. */
export { parseBool, quote } from "../../core/strconv.ts";

const spaces = "\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const space = new RegExp(`[${spaces}]`);
const leading = new RegExp(`^[${spaces}]+`);

/** unicode.IsSpace. */
export function isSpace(character: string): boolean {
  return space.test(character);
}

/** How many characters of white space `text` begins with. */
export function leadingSpaces(text: string): number {
  return leading.exec(text)?.[0].length ?? 0;
}

/** strings.TrimSpace; String.trim knows other characters. */
export function trimSpace(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text.charAt(end - 1))) end -= 1;
  return text.slice(Math.min(leadingSpaces(text), end), end);
}

/** path.Clean. */
export function cleanPath(path: string): string {
  const rooted = path.startsWith("/");
  const kept: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!rooted) kept.push("..");
  }
  const joined = kept.join("/");
  return rooted ? `/${joined}` : joined || ".";
}

/** path.Join: empty parts are left out; the result is clean. */
export function joinPath(...parts: readonly string[]): string {
  const filled = parts.filter((part) => part !== "");
  return filled.length === 0 ? "" : cleanPath(filled.join("/"));
}

/** path.Base. */
export function baseName(path: string): string {
  if (path === "") return ".";
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end -= 1;
  return end === 0 ? "/" : path.slice(path.lastIndexOf("/", end - 1) + 1, end);
}
