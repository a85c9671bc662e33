/** `.dockerignore`: what of a context a build does not see. */
import { InvalidParameter } from "../../core/errors.ts";
import { cleanPath, trimSpace } from "../dockerfile/text.ts";
import { compileIgnorePattern, type IgnorePattern } from "./ignore-pattern.ts";

/** Bytes of an ignore file, and of one line of it (as BuildKit's scanner has it). */
export const largestIgnoreFile = 1024 * 1024;
const longestLine = 64 * 1024;

/**
 * The patterns of an ignore file: comments and blank lines left out, paths cleaned and made relative.
 * @throws InvalidParameter
 */
export function parseIgnoreFile(text: string): string[] {
  if (text.length > largestIgnoreFile) {
    throw new InvalidParameter(`the ignore file is larger than ${largestIgnoreFile} bytes`);
  }
  const patterns: string[] = [];
  for (const line of text.replace(/^\ufeff/, "").split("\n")) {
    if (Buffer.byteLength(line) >= longestLine) throw new InvalidParameter("bufio.Scanner: token too long");
    if (line.startsWith("#")) continue;
    const written = trimSpace(line);
    if (written === "") continue;
    const isException = written.startsWith("!");
    let pattern = isException ? trimSpace(written.slice(1)) : written;
    if (pattern !== "") pattern = cleanPath(pattern);
    if (pattern.length > 1 && pattern.startsWith("/")) pattern = pattern.slice(1);
    patterns.push(isException ? `!${pattern}` : pattern);
  }
  return patterns;
}

/** Which patterns have matched a directory or one above it: what is below it inherits that. */
export type InheritedMatches = readonly boolean[];

export interface Verdict {
  readonly ignored: boolean;
  /** Of a directory: everything below it is ignored too, so that it need not be read. */
  readonly ignoredWithAllBelow: boolean;
  readonly matches: InheritedMatches;
}

export class IgnoreMatcher {
  readonly patterns: readonly IgnorePattern[];
  readonly #hasExceptions: boolean;

  /** @throws InvalidParameter for a pattern that is none */
  constructor(patterns: readonly string[]) {
    this.patterns = patterns.flatMap((written) => {
      const pattern = trimSpace(written);
      if (pattern === "") return [];
      const clean = cleanPath(pattern);
      if (clean === "!") throw new InvalidParameter('illegal exclusion pattern: "!"');
      const isException = clean.startsWith("!");
      return [compileIgnorePattern(isException ? clean.slice(1) : clean, isException)];
    });
    this.#hasExceptions = this.patterns.some((pattern) => pattern.exception);
  }

  /** Some pattern begins with `!`. */
  get hasExceptions(): boolean {
    return this.#hasExceptions;
  }

  /**
   * Whether a path is ignored, by its own name or that of a directory above it. Relative, with slashes. This is how
   * the check CopyIgnoredFile asks; what a build sees is for `judge` to say, and moby's two differ in rare cases.
   */
  ignores(path: string): boolean {
    let ignored = false;
    for (const pattern of this.patterns) {
      if (pattern.exception !== ignored) continue;
      if (pattern.matchesOrAbove(path)) ignored = !pattern.exception;
    }
    return ignored;
  }

  /**
   * Whether a walk from the top leaves a path out.
   * @param above the `matches` of the directory above; none at the top
   */
  judge(path: string, above?: InheritedMatches): Verdict {
    let ignored = false;
    const matches = this.patterns.map((pattern, index) => {
      // Inherited matches count; others are tried only where they would change the verdict so far.
      const inherited = above?.[index] ?? false;
      const matched = inherited || (pattern.exception === ignored && pattern.matches(path));
      if (matched) ignored = !pattern.exception;
      return matched;
    });
    return { ignored, ignoredWithAllBelow: ignored && this.#ignoresAllBelow(path, matches), matches };
  }

  /** No exception that comes after the last ignoring pattern may match below. */
  #ignoresAllBelow(path: string, matches: InheritedMatches): boolean {
    if (!this.#hasExceptions) return true;
    const last = matches.findLastIndex((matched, index) => matched && !this.patterns[index]?.exception);
    return this.patterns
      .slice(last + 1)
      .every((pattern) => !pattern.exception || pattern.below(path) === "nothing");
  }
}

/** Where the patterns for a Dockerfile are: beside it under its own name first, or else in the context's root. */
export function ignoreFileNames(dockerfile: string): readonly [string, string] {
  return [`${dockerfile}.dockerignore`, ".dockerignore"];
}
