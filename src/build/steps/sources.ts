/** The sources of COPY and ADD as they are found: each a scan, some bytes, or a fetched file. */

import { readDirectory } from "../../linux/directories.ts";
import { closeFile } from "../../linux/paths.ts";
import { isDirectory } from "../../linux/walk.ts";
import { IgnoreMatcher } from "../context/ignore.ts";
import { addScanToKey, type Scan, scan } from "../context/scan.ts";
import { type FileTree, findInTree, openInTree } from "../context/tree.ts";
import { compileWildcard, hasWildcards, splitWildcards } from "../context/wildcard.ts";
import type { FileSource } from "../dockerfile/stages/model.ts";
import { StepFailure } from "./failure.ts";

type PathSource = Extract<FileSource, { kind: "path" }>;

/** Something to be put at the destination. */
export type FoundSource =
  | {
      readonly kind: "scan";
      readonly scan: Scan;
      /** Below the destination, when that is a directory and this is none. */
      readonly name: string;
      /** A directory's content goes into the destination itself. */
      readonly isDirectory: boolean;
      /** A local tar is unpacked. */
      readonly unpack: boolean;
    }
  | { readonly kind: "inline"; readonly name: string; readonly content: string };

/** @throws StepFailure `"/x": not found` */
export async function findSources(
  tree: FileTree,
  sources: readonly FileSource[],
  options: { readonly exclude: readonly string[]; readonly signal: AbortSignal },
): Promise<FoundSource[]> {
  const exclude = options.exclude.length === 0 ? undefined : new IgnoreMatcher(options.exclude);
  const found: FoundSource[] = [];
  for (const source of sources) {
    if (source.kind === "inline") found.push({ kind: "inline", name: source.name, content: source.content });
    else if (source.kind === "path") {
      const scanning = { signal: options.signal, ...(exclude === undefined ? {} : { exclude }) };
      found.push(...(await findPaths(tree, source, scanning)));
    }
  }
  return found;
}

async function findPaths(
  tree: FileTree,
  source: PathSource,
  options: { exclude?: IgnoreMatcher; signal: AbortSignal },
): Promise<FoundSource[]> {
  const { path, pattern, required, unpack } = source;
  const include = pattern === undefined ? undefined : new IgnoreMatcher([pattern]);
  const found: FoundSource[] = [];
  for (const top of expand(tree, path)) {
    const node = findInTree(tree, top);
    const scanning = include === undefined ? options : { ...options, include };
    const scanned = node === undefined ? undefined : await scan(tree, node.path, scanning);
    if (node === undefined || scanned === undefined) continue;
    found.push({
      kind: "scan",
      scan: scanned,
      name: lastName(top),
      isDirectory: isDirectory(node.status),
      unpack,
    });
  }
  if (required !== undefined && !(await isThere(tree, required, options.signal))) throw notFound(required);
  if (found.length === 0 && pattern === undefined && !hasWildcards(path)) throw notFound(path);
  return found;
}

async function isThere(tree: FileTree, path: string, signal: AbortSignal): Promise<boolean> {
  const node = findInTree(tree, path);
  if (node === undefined) return false;
  const nothingBelow = new IgnoreMatcher([]);
  return (await scan(tree, node.path, { include: nothingBelow, signal })) !== undefined;
}

function notFound(path: string): StepFailure {
  return new StepFailure(
    `failed to compute cache key: failed to calculate checksum: ${JSON.stringify(path)}: not found`,
  );
}

function join(directory: string, name: string): string {
  return directory.endsWith("/")
    ? `${directory}${name.replace(/^\//, "")}`
    : `${directory}/${name.replace(/^\//, "")}`;
}

function lastName(path: string): string {
  return path.replace(/\/+$/, "").split("/").at(-1) ?? "";
}

/** Paths that a pattern stands for, sorted; the path itself where it holds no wildcard. */
function expand(tree: FileTree, path: string): string[] {
  const { fixed, pattern } = splitWildcards(path);
  if (pattern === "") return [fixed === "" ? "/" : fixed];
  let paths = [fixed === "" ? "/" : fixed];
  for (const part of pattern.split("/")) {
    if (part === "" || part === ".") continue;
    paths = hasWildcards(part)
      ? paths.flatMap((directory) => matching(tree, directory, part))
      : paths.map((directory) => join(directory, part.replace(/\\(.)/g, "$1")));
  }
  return paths;
}

function matching(tree: FileTree, directory: string, pattern: string): string[] {
  const wildcard = compileWildcard(pattern);
  const found = findInTree(tree, directory);
  if (found === undefined || !isDirectory(found.status)) return [];
  const fd = openInTree(tree, found.path);
  try {
    return readDirectory(fd)
      .map(({ name }) => name)
      .filter((name) => wildcard.matches(name))
      .sort()
      .map((name) => join(directory, name));
  } finally {
    closeFile(fd);
  }
}

/** What sources stand for in a key: names and content. */
export function keyOfSources(found: readonly FoundSource[]): string {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const source of found) {
    hasher.update(JSON.stringify([source.kind, source.name]));
    if (source.kind === "inline") hasher.update(JSON.stringify(source.content));
    else {
      hasher.update(JSON.stringify([source.isDirectory, source.unpack]));
      addScanToKey(hasher, source.scan);
    }
  }
  return hasher.digest("hex");
}
