/** Files that the user names, with failures in the words that Go gives them. */

import { hasErrno, messageOf } from "../core/errors.ts";
import { resolve } from "../core/paths.ts";
import { readFileSync } from "../linux/files.ts";
import { CommandError } from "./command.ts";
import type { Io } from "./io.ts";

const words: Record<string, string> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EISDIR: "is a directory",
  ENOTDIR: "not a directory",
  EEXIST: "file exists",
  ENOSPC: "no space left on device",
  EROFS: "read-only file system",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "file name too long",
};

/** `open /x: no such file or directory`. */
export function fileFailure(error: unknown, act: string, path: string): Error {
  const code = Object.keys(words).find((name) => hasErrno(error, name));
  return new FileFailure(`${act} ${path}: ${code === undefined ? messageOf(error) : words[code]}`, {
    cause: error,
  });
}

/** A file of the user that could not be used. */
export class FileFailure extends Error {
  override readonly name = "FileFailure";
}

/** The whole of a small text file. @param limit bytes it may have */
export function readTextFile(io: Io, path: string, limit: number): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(resolve(io.cwd, path));
  } catch (error) {
    throw fileFailure(error, hasErrno(error, "EISDIR") ? "read" : "open", path);
  }
  if (bytes.length > limit) throw new CommandError(`${path} is too large (more than ${limit} bytes)`);
  return bytes.toString();
}
