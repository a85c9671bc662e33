/** Opens what files of a build come from, and reads its Dockerfile and ignore file. */

import { hasErrno, InvalidParameter, NotFound } from "../../core/errors.ts";
import { readFileSync } from "../../linux/files.ts";
import { nodeType, readAt, statusAt } from "../../linux/nodes.ts";
import { closeFile, openDirectory, openFlag, openInRoot } from "../../linux/paths.ts";
import { knownDigests } from "./digests.ts";
import { IgnoreMatcher, ignoreFileNames, largestIgnoreFile, parseIgnoreFile } from "./ignore.ts";
import type { Material } from "./material.ts";
import type { FileTree } from "./tree.ts";

/** An open context. Dispose of it when nothing is copied any more. */
export interface OpenContext extends Disposable {
  /** Open directory. */
  readonly root: number;
  /** Where it came from, when that was no directory of the user's. */
  readonly material?: Material;
}

/** @throws NotFound, InvalidParameter when it is no directory */
export function openContextDirectory(path: string): OpenContext {
  try {
    const root = openDirectory(path);
    return { root, [Symbol.dispose]: () => closeFile(root) };
  } catch (error) {
    if (hasErrno(error, "ENOENT"))
      throw new NotFound(`unable to prepare context: path ${JSON.stringify(path)} not found`);
    if (hasErrno(error, "ENOTDIR")) {
      throw new InvalidParameter(`unable to prepare context: context must be a directory: ${path}`);
    }
    throw error;
  }
}

/** Its files without what is ignored. @param dataRoot where digests of unchanged files are kept */
export function contextTree(
  { root }: Pick<OpenContext, "root">,
  ignore: IgnoreMatcher | undefined,
  dataRoot: string,
): FileTree {
  return { root, ignore, belongsToRoot: true, digests: knownDigests(dataRoot, root) };
}

/** Bytes of a Dockerfile. */
const largestDockerfile = 16 * 1024 * 1024;

/** A text file of the context. @returns undefined when it is not there. @throws InvalidParameter */
export function readContextFile(
  { root }: Pick<OpenContext, "root">,
  path: string,
  largest: number = largestDockerfile,
): string | undefined {
  let fd: number;
  try {
    fd = openInRoot(root, path, openFlag.readOnly | openFlag.nonBlocking);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
  try {
    const { mode, size } = statusAt(fd, "");
    if ((mode & nodeType.mask) !== nodeType.file) throw new InvalidParameter(`${path} is not a file`);
    if (size > largest) throw new InvalidParameter(`${path} is larger than ${largest} bytes`);
    const bytes = Buffer.alloc(size);
    let end = 0;
    while (end < size) {
      const got = readAt(fd, bytes.subarray(end), end, path);
      if (got === 0) break;
      end += got;
    }
    return bytes.toString("utf8", 0, end);
  } finally {
    closeFile(fd);
  }
}

/** The ignore patterns for a Dockerfile of the context. @throws InvalidParameter */
export function ignoreOfContext(
  context: Pick<OpenContext, "root">,
  dockerfile: string,
): IgnoreMatcher | undefined {
  for (const name of ignoreFileNames(dockerfile)) {
    const text = readContextFile(context, name, largestIgnoreFile);
    if (text !== undefined) return matcherOf(text);
  }
  return undefined;
}

/** For a Dockerfile that lies elsewhere on this host: its own ignore file, or else the context's. */
export function ignoreOfFile(
  context: Pick<OpenContext, "root">,
  dockerfile: string,
): IgnoreMatcher | undefined {
  const own = readIfThere(`${dockerfile}.dockerignore`);
  if (own !== undefined) return matcherOf(own);
  const text = readContextFile(context, ".dockerignore", largestIgnoreFile);
  return text === undefined ? undefined : matcherOf(text);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function matcherOf(text: string): IgnoreMatcher | undefined {
  const patterns = parseIgnoreFile(text);
  return patterns.length === 0 ? undefined : new IgnoreMatcher(patterns);
}
