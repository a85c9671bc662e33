/** Names as archives hold them, made into paths below a root. What is done with them there the kernel guards. */
import { InvalidParameter } from "../../core/errors.ts";

const oddComponent = /(?:^|\/)\.{0,2}(?:\/|$)/;
const longestQuote = 200;

/** For messages: a hostile name may be a megabyte of anything. */
export function quote(name: string): string {
  return JSON.stringify(name.length > longestQuote ? `${name.slice(0, longestQuote)}…` : name);
}

/**
 * The path below the root, without slashes at its ends and without `.` and `..`; empty for the root itself. An
 * absolute name counts from the root; `..` above `/` stays there, as in a chroot.
 * @returns undefined when a relative name leaves the root.
 */
export function cleanPath(name: string): string | undefined {
  let trimmed = name.startsWith("./") ? name.slice(2) : name;
  if (trimmed.endsWith("/")) trimmed = trimmed.slice(0, -1);
  if (trimmed !== "" && !oddComponent.test(trimmed)) return trimmed;
  const components: string[] = [];
  for (const component of name.split("/")) {
    if (component === "" || component === ".") continue;
    if (component !== "..") components.push(component);
    else if (components.pop() === undefined && !name.startsWith("/")) return undefined;
  }
  return components.join("/");
}

/** As `cleanPath`. @throws InvalidParameter for a name that leaves the root. */
export function entryPath(name: string): string {
  const path = cleanPath(name);
  if (path === undefined) throw new InvalidParameter(`invalid path: ${quote(name)} is outside of "/"`);
  return path;
}

/** Directory and last component of a clean path. */
export function splitPath(path: string): { parent: string; base: string } {
  const slash = path.lastIndexOf("/");
  return slash < 0
    ? { parent: "", base: path }
    : { parent: path.slice(0, slash), base: path.slice(slash + 1) };
}
