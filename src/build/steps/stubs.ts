/**
 * A runtime makes a file or directory wherever something is to be mounted and nothing is there. These would end up in
 * the layer: what was made for that, and is still empty after the step, is taken away again.
 */
import { hasErrno } from "../../core/errors.ts";
import { removeDirectoryAt, setTimesAt, statusAt, unlinkAt } from "../../linux/nodes.ts";
import { closeFile, openDirectory, openFlag, resolve, tryOpenResolved } from "../../linux/paths.ts";
import { isDirectory } from "../../linux/walk.ts";
import { TargetTree } from "./target.ts";

const how = resolve.inRoot | resolve.noMagicLinks;

export interface Stubs {
  /** Takes away what is still empty, and gives the directories that hold it their times back. */
  remove(): void;
}

/** Something that is to be mounted on, and is not there. */
export interface Missing {
  readonly path: string;
  /** The directory that it would be made in, if that is there: its times. */
  readonly above: { readonly path: string; readonly atime: bigint; readonly mtime: bigint } | undefined;
}

/** @param root of the step. @param destinations absolute, in the container. */
export function noteStubs(root: string, destinations: readonly string[]): Stubs {
  const missing = missingIn(root, destinations);
  makeAbove(root, missing);
  return { remove: () => removeStubs(root, missing) };
}

/** Directories above what is mounted may stay, if something is put into them: each runtime gives them other modes. */
function makeAbove(root: string, missing: readonly Missing[]): void {
  const above = missing.filter(({ path }) => missing.some((other) => other.path.startsWith(`${path}/`)));
  if (above.length === 0) return;
  using tree = new TargetTree(root, undefined);
  for (const { path } of above) closeFile(tree.open(path));
}

/** What a runtime will make in the tree so as to mount something on it. */
export function missingIn(root: string, destinations: readonly string[]): Missing[] {
  const missing = new Map<string, Missing>();
  const fd = openDirectory(root, openFlag.path);
  try {
    for (const destination of destinations) {
      for (const found of missingOn(fd, destination)) missing.set(found.path, found);
    }
    return [...missing.values()];
  } finally {
    closeFile(fd);
  }
}

/** Takes away what is still empty. Nothing may be mounted on it any more. */
export function removeStubs(root: string, missing: readonly Missing[]): void {
  const top = openDirectory(root, openFlag.path);
  try {
    const deepest = [...missing].sort((left, right) => right.path.length - left.path.length);
    for (const stub of deepest) removeStub(top, stub);
  } finally {
    closeFile(top);
  }
}

/** The parts of a path that are not there. */
function missingOn(root: number, destination: string): Missing[] {
  const parts = destination.split("/").filter((part) => part !== "" && part !== ".");
  const found: Missing[] = [];
  for (let count = 1; count <= parts.length; count += 1) {
    const path = parts.slice(0, count).join("/");
    const fd = tryOpenResolved(root, path, openFlag.path, how);
    if (fd >= 0) {
      closeFile(fd);
      continue;
    }
    found.push({
      path,
      above: found.length > 0 ? undefined : timesOf(root, parts.slice(0, count - 1).join("/")),
    });
  }
  return found;
}

function timesOf(root: number, path: string): Missing["above"] {
  const fd = tryOpenResolved(root, path || ".", openFlag.path | openFlag.directory, how);
  if (fd < 0) return undefined;
  try {
    const { atime, mtime } = statusAt(fd, "");
    return { path, atime, mtime };
  } finally {
    closeFile(fd);
  }
}

function removeStub(root: number, { path, above }: Missing): void {
  const slash = path.lastIndexOf("/");
  const name = path.slice(slash + 1);
  const parent = tryOpenResolved(
    root,
    path.slice(0, Math.max(0, slash)) || ".",
    openFlag.path | openFlag.directory,
    how,
  );
  if (parent < 0) return;
  try {
    const status = statusAt(parent, name);
    if (isDirectory(status)) removeDirectoryAt(parent, name);
    else if (status.size === 0) unlinkAt(parent, name);
    else return;
    if (above !== undefined) setTimesAt(parent, ".", above.atime, above.mtime);
  } catch (error) {
    // The step has put something in, or has taken it away itself.
    if (!hasErrno(error, "ENOENT", "ENOTEMPTY", "EEXIST", "ENOTDIR", "EBUSY")) throw error;
  } finally {
    closeFile(parent);
  }
}
