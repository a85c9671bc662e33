/**
 * Paths as text, with the results of `node:path`, which takes 0.7 ms to load. What comes from outside is never
 * resolved here, but by the kernel (src/linux/paths.ts).
 */

/** `a//b/./c/../d` → `a/b/d`; `.` for nothing. A slash at the end stays. */
export function normalize(path: string): string {
  if (path === "") return ".";
  const absolute = isAbsolute(path);
  const kept: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!absolute) kept.push(part);
  }
  const text = kept.join("/");
  const end = path.endsWith("/") ? "/" : "";
  if (absolute) return text === "" ? "/" : `/${text}${end}`;
  return text === "" ? `.${end}` : `${text}${end}`;
}

export function join(...parts: string[]): string {
  return normalize(parts.filter((part) => part !== "").join("/"));
}

/** Absolute: from the right, up to the first that begins with `/`, else below the working directory. */
export function resolve(...parts: string[]): string {
  let path = "";
  for (const part of parts.toReversed()) {
    if (part === "") continue;
    path = path === "" ? part : `${part}/${path}`;
    if (isAbsolute(part)) break;
  }
  if (!isAbsolute(path)) path = `${process.cwd()}/${path}`;
  const whole = normalize(path);
  return whole.length > 1 && whole.endsWith("/") ? whole.slice(0, -1) : whole;
}

export function isAbsolute(path: string): boolean {
  return path.startsWith("/");
}

/** What is before the last name: `/a/b/` → `/a`; `.` where there is nothing. */
export function dirname(path: string): string {
  const end = endOf(path);
  const slash = path.lastIndexOf("/", end - 1);
  if (slash < 0) return isAbsolute(path) ? "/" : ".";
  // Of several slashes in a row, node drops one only.
  if (slash === 0) return "/";
  return slash === 1 && path.startsWith("//") ? "//" : path.slice(0, slash);
}

/** The last name: `/a/b/` → `b`. */
export function basename(path: string): string {
  const end = endOf(path);
  return path.slice(path.lastIndexOf("/", end - 1) + 1, end);
}

/** Where the last name ends: before the slashes at the end. */
function endOf(path: string): number {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end -= 1;
  return end;
}
