/** Sources and destinations of `copy` and `add`, as they are written. */

import { LineFault } from "../../build/dockerfile/errors.ts";
import { parseGitReference } from "../../build/dockerfile/stages/git-source.ts";
import type { FileSource } from "../../build/dockerfile/stages/model.ts";
import { InvalidParameter } from "../../core/errors.ts";
import { resolve } from "../../core/paths.ts";
import type { WorkingCopyRequest } from "../working.ts";

/** @throws InvalidParameter for a git repository with a query that means nothing */
export function fileSources(request: WorkingCopyRequest): FileSource[] {
  return request.sources.map((source): FileSource => {
    const git = request.from === undefined ? gitOf(source) : undefined;
    if (git !== undefined) {
      return {
        kind: "git",
        ...git,
        keepGitDirectory: git.keepGitDirectory ?? false,
        submodules: git.submodules ?? true,
      };
    }
    if (request.from === undefined && /^https?:\/\//.test(source)) return urlSource(source);
    return {
      kind: "path",
      path: pathOf(source, request),
      pattern: undefined,
      required: undefined,
      unpack: request.unpack,
    };
  });
}

function gitOf(source: string) {
  try {
    return parseGitReference(source);
  } catch (error) {
    if (error instanceof LineFault) throw new InvalidParameter(error.message, { cause: error });
    throw error;
  }
}

/** What comes from the net is never unpacked, as in Buildah. */
function urlSource(url: string): FileSource {
  const path = URL.canParse(url) ? new URL(url).pathname : "";
  const fileName =
    path
      .split("/")
      .filter((part) => part !== "")
      .at(-1) ?? "__unnamed__";
  return { kind: "url", url, fileName: safely(fileName), checksum: "", unpack: false };
}

function safely(name: string): string {
  try {
    const decoded = decodeURIComponent(name);
    return decoded.includes("/") || decoded === "." || decoded === ".." ? "__unnamed__" : decoded;
  } catch (error) {
    if (error instanceof URIError) return name;
    throw error;
  }
}

/** From the top of the tree that is copied from. */
function pathOf(source: string, { from, contextDirectory, currentDirectory }: WorkingCopyRequest): string {
  const isOfTree = from !== undefined || contextDirectory !== undefined;
  const path = isOfTree ? resolve("/", source) : resolve(currentDirectory, source);
  // A slash or a dot at the end says that it is a directory's content.
  return /\/\.?$/.test(source) && path !== "/" ? `${path}/` : path;
}

/** Absolute. Of several sources, it is a directory. */
export function destinationOf(
  { destination, sources }: WorkingCopyRequest,
  workingDirectory: string,
): string {
  const base = resolve("/", workingDirectory);
  const path = resolve(base, destination);
  const isDirectory = destination === "" || /\/\.?$/.test(destination) || sources.length > 1;
  return isDirectory && path !== "/" ? `${path}/` : path;
}
