/** Ignore files and wildcards. */
import { describe, expect, test } from "bun:test";
import { IgnoreMatcher, ignoreFileNames, parseIgnoreFile } from "../../src/build/context/ignore.ts";
import { compileWildcard, hasWildcards, splitWildcards } from "../../src/build/context/wildcard.ts";

describe("An ignore file", () => {
  test("has comments, blanks, spaces around patterns, and paths that need cleaning", () => {
    const text = "\ufeff# comment\n\n  a  \r\n/b/../c/\n! d \n #e\n./f//g\n/\n!\n";
    expect(parseIgnoreFile(text)).toEqual(["a", "c", "!d", "#e", "f/g", "/", "!"]);
  });

  test("is looked for under the Dockerfile's own name first", () => {
    expect(ignoreFileNames("docker/Dockerfile.prod")).toEqual([
      "docker/Dockerfile.prod.dockerignore",
      ".dockerignore",
    ]);
  });

  test("that excepts nothing is refused", () => {
    expect(() => new IgnoreMatcher(["!"])).toThrow('illegal exclusion pattern: "!"');
  });

  test("with a pattern that is none is refused", () => {
    expect(() => new IgnoreMatcher(["[a"])).toThrow("syntax error in pattern");
  });
});

describe("Patterns", () => {
  test.each([
    [["a"], ["a", "a/b"], ["b/a", "ab"]],
    [["*.c"], ["x.c", "x.c/y"], ["d/x.c", "x.cc"]],
    [["**/*.c"], ["x.c", "d/x.c", "d/e/x.c"], ["x.cc"]],
    [["a/**"], ["a/b", "a/b/c"], ["a", "b/a/c"]],
    [["**/a"], ["a", "b/a", "b/c/a/d"], ["ba"]],
    [["a/**/b"], ["a/b", "a/x/b", "a/x/y/b"], ["a", "ab"]],
    [["**"], ["a", "a/b"], []],
    [["?[a-c]"], ["xa", "yb"], ["xd", "a"]],
    [["[^a]x"], ["bx"], ["ax"]],
    [["a\\*"], ["a*"], ["ab"]],
    [
      ["*", "!a"],
      ["b", "c/a"],
      ["a", "a/b"],
    ],
    [
      ["*", "!a", "a/private", "!a/private/not"],
      ["b", "a/private/x"],
      ["a/y", "a/private/not"],
    ],
    [["!a", "a"], ["a"], []],
    [["a.b"], ["a.b"], ["axb"]],
    [["(x)+"], ["(x)+"], ["x"]],
  ])("%p match what they should", (patterns, ignored, seen) => {
    const matcher = new IgnoreMatcher(patterns);
    expect(ignored.filter((path) => !matcher.ignores(path))).toEqual([]);
    expect(seen.filter((path) => matcher.ignores(path))).toEqual([]);
  });

  test("that could take exponential time do not", () => {
    const matcher = new IgnoreMatcher([`${"*a".repeat(40)}b`, `${"**/a/".repeat(30)}b`]);
    expect(matcher.ignores("a".repeat(4000))).toBe(false);
    expect(matcher.ignores("a/".repeat(1000))).toBe(false);
    expect(compileWildcard(`${"*a".repeat(40)}b`).matches("a".repeat(4000))).toBe(false);
  });
});

describe("A walk", () => {
  /** Whether a directory at the top is ignored, and whether the walk may pass it by. */
  function judged(patterns: string[], directory: string): [boolean, boolean] {
    const { ignored, ignoredWithAllBelow } = new IgnoreMatcher(patterns).judge(directory);
    return [ignored, ignoredWithAllBelow];
  }

  test.each([
    [["node_modules"], "node_modules", [true, true]],
    [["*"], "src", [true, true]],
    [["*", "!src/keep"], "src", [true, false]],
    [["*", "!src/keep"], "other", [true, true]],
    [["*", "!**/*.md"], "src", [true, false]],
    [["*", "!s?c/x"], "src", [true, false]],
    [["*", "!s?c/x"], "docs", [true, true]],
    [["!src/keep", "*"], "src", [true, true]],
    [["src/**"], "src", [false, false]],
    [["a"], "src", [false, false]],
  ])("with %p over %p knows %p", (patterns, directory, result) => {
    expect<boolean[]>(judged(patterns, directory)).toEqual(result);
  });

  test("keeps what is excepted deep below an ignored directory", () => {
    const matcher = new IgnoreMatcher(["*", "!a/b/c"]);
    const a = matcher.judge("a");
    const b = matcher.judge("a/b", a.matches);
    expect([a.ignoredWithAllBelow, b.ignoredWithAllBelow]).toEqual([false, false]);
    expect(matcher.judge("a/b/c", b.matches).ignored).toBe(false);
    expect(matcher.judge("a/b/d", b.matches)).toMatchObject({ ignored: true, ignoredWithAllBelow: true });
  });
});

describe("Wildcards", () => {
  test.each([
    ["*.txt", "a.txt", true],
    ["*.txt", "d/a.txt", false],
    ["a?c", "abc", true],
    ["a?c", "a/c", false],
    ["[a-c]x", "bx", true],
    ["[^a-c]x", "bx", false],
    ["\\*", "*", true],
    ["*", "", true],
    ["a*b*c", "aXbYc", true],
    ["a*b*c", "aXbY", false],
    ["ä?", "äö", true],
  ])("%p on %p: %p", (pattern, name, matches) => {
    expect(compileWildcard(pattern).matches(name)).toBe(matches);
  });

  test.each(["[", "[a", "[]a]", "[-x]", "[x-]", "a\\", "[\\"])("%p is none", (pattern) => {
    expect(() => compileWildcard(pattern)).toThrow("syntax error in pattern");
  });

  test("are told from what is escaped, and a walk begins where the first one is", () => {
    expect(hasWildcards("a\\*b")).toBe(false);
    expect(hasWildcards("a[b]")).toBe(true);
    expect(splitWildcards("/a/b/*.c/d")).toEqual({ fixed: "/a/b", pattern: "*.c/d" });
    expect(splitWildcards("/a/\\*")).toEqual({ fixed: "/a/*", pattern: "" });
  });
});
