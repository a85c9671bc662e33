/** Variable expansion in words, as the Dockerfile reference and BuildKit's behaviour have it. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are words of Dockerfiles
import { describe, expect, test } from "bun:test";
import { LineFault } from "../../src/build/dockerfile/errors.ts";
import {
  type ExpansionOptions,
  expand,
  longestExpansion,
} from "../../src/build/dockerfile/expansion/expand.ts";
import { variablesFrom } from "../../src/build/dockerfile/expansion/variables.ts";

const variables = variablesFrom([
  ["HOME", "/root"],
  ["EMPTY", ""],
  ["FILE", "/a/b/c.tar.gz"],
  ["SPACED", "one  two"],
  ["STARS", "a*b*c"],
  ["LINES", "first\nsecond\nthird"],
  ["ÜMLAUT", "über"],
]);

function expanded(word: string, options: Partial<ExpansionOptions> = {}): string {
  return expand(word, variables, { escapeCharacter: "\\", ...options }).text;
}

function faultOf(word: string): string {
  try {
    return `no fault, but ${expanded(word)}`;
  } catch (error) {
    if (error instanceof LineFault) return error.message;
    throw error;
  }
}

describe("A variable", () => {
  test.each([
    ["$HOME", "/root"],
    ["${HOME}", "/root"],
    ["$HOMEx", ""],
    ["${HOME}x", "/rootx"],
    ["$ÜMLAUT", "über"],
    ["$NONE|", "|"],
    ["$", "$"],
    ["$ x", "$ x"],
    ["$1x", "x"],
    ["$?", ""],
    ["a$HOME-b", "a/root-b"],
  ])("in %p gives %p", (word, result) => {
    expect(expanded(word)).toBe(result);
  });
});

describe("A default", () => {
  test.each([
    ["${EMPTY:-d}", "d"],
    ["${EMPTY-d}", ""],
    ["${NONE:-d}", "d"],
    ["${NONE-d}", "d"],
    ["${HOME:-d}", "/root"],
    ["${EMPTY:+s}", ""],
    ["${EMPTY+s}", "s"],
    ["${NONE+s}", ""],
    ["${HOME:+s}", "s"],
    ["${NONE:-${EMPTY:-$HOME}}", "/root"],
    ["${NONE:-a b}", "a b"],
    ["${NONE:-'a }'}", "a }"],
    ["${HOME:?x}", "/root"],
    ["${EMPTY?x}", ""],
  ])("%p gives %p", (word, result) => {
    expect(expanded(word)).toBe(result);
  });
});

describe("A pattern", () => {
  test.each([
    ["${FILE#*/}", "a/b/c.tar.gz"],
    ["${FILE##*/}", "c.tar.gz"],
    ["${FILE%.*}", "/a/b/c.tar"],
    ["${FILE%%.*}", "/a/b/c"],
    ["${FILE#x}", "/a/b/c.tar.gz"],
    ["${FILE/b/x}", "/a/x/c.tar.gz"],
    ["${FILE//\\//-}", "-a-b-c.tar.gz"],
    ["${FILE/*/gone}", "gone"],
    ["${FILE//?/x}", "xxxxxxxxxxxxx"],
    ["${STARS#a\\*}", "b*c"],
    ["${STARS#'a*'}", "*b*c"],
    ['${STARS%%"*"*}', ""],
    ["${STARS%\\**}", "a*b"],
    ["${LINES#*t}", "\nsecond\nthird"],
    ["${LINES#*sec}", "first\nsecond\nthird"],
    ["${NONE#*}", ""],
  ])("%p gives %p", (word, result) => {
    expect(expanded(word)).toBe(result);
  });

  test("takes no time that grows out of hand with many stars", () => {
    const long = variablesFrom([["X", "a".repeat(3000)]]);
    const pattern = `\${X##${"a*".repeat(40)}b}`;
    expect(expand(pattern, long, { escapeCharacter: "\\" }).text).toHaveLength(3000);
  });
});

describe("Quotes and escapes", () => {
  test.each([
    ["'$HOME'", "$HOME"],
    ['"$HOME"', "/root"],
    ["\\$HOME", "$HOME"],
    ['"\\$HOME"', "$HOME"],
    ["'\\'", "\\"],
    ['"\\x"', "\\x"],
    ['"\\\\"', "\\"],
    ["a\\ b", "a b"],
    ["a\\", "a"],
    ["'it''s'", "its"],
    ['"it\'s"', "it's"],
  ])("%p gives %p", (word, result) => {
    expect(expanded(word)).toBe(result);
  });

  test("the backquote escapes where the file says so, and the backslash then does not", () => {
    expect(expanded("`$HOME C:\\$HOME", { escapeCharacter: "`" })).toBe("$HOME C:\\/root");
  });

  test("quotes stay in files of heredocs", () => {
    expect(expanded("'$HOME' \\$HOME", { ignoreQuotes: true })).toBe("'/root' $HOME");
  });

  test("a command to be shown keeps its quotes, its escapes, and what is not set", () => {
    const shown = { keepQuotes: true, keepEscapes: true, keepUnset: true };
    expect(expanded(`echo "$HOME" \\$x '$HOME' $NONE \${NONE:-x}`, shown)).toBe(
      `echo "/root" \\$x '$HOME' $NONE \${NONE:-x}`,
    );
  });
});

describe("Words", () => {
  test.each([
    ["a b", ["a", "b"]],
    ["$SPACED", ["one", "two"]],
    ['"$SPACED"', ["one  two"]],
    ["a$SPACED", ["aone", "two"]],
    ["a\\ b c", ["a b", "c"]],
    ["$EMPTY", []],
    ["a <<  EOF", ["a", "<<  EOF"]],
  ])("of %p are %p", (word, words) => {
    expect([...expand(word, variables, { escapeCharacter: "\\", splitWords: true }).words]).toEqual(words);
  });

  test("tell which variables are there and which are missing", () => {
    const { matched, unmatched } = expand("$HOME ${NONE:-$EMPTY} $OTHER", variables, {
      escapeCharacter: "\\",
    });
    expect([...matched]).toEqual(["HOME", "EMPTY"]);
    expect([...unmatched]).toEqual(["NONE", "OTHER"]);
  });
});

describe("A fault", () => {
  test.each([
    ["'a", 'failed to process "\'a": unexpected end of statement while looking for matching single-quote'],
    ['"a', 'failed to process "\\"a": unexpected end of statement while looking for matching double-quote'],
    ["${a", 'failed to process "${a": unsupported modifier (\ufffd) in substitution'],
    ["${a:-b", "failed to process \"${a:-b\": syntax error: missing '}'"],
    ["${}", 'failed to process "${}": syntax error: bad substitution'],
    ["${a:=b}", 'failed to process "${a:=b}": unsupported modifier (:=) in substitution'],
    ["${NONE?}", 'failed to process "${NONE?}": NONE: is not allowed to be unset'],
    ["${EMPTY:?}", 'failed to process "${EMPTY:?}": EMPTY: is not allowed to be empty'],
    ["${NONE:?say why}", 'failed to process "${NONE:?say why}": NONE: say why'],
    ["${HOME/a}", "failed to process \"${HOME/a}\": syntax error: missing '/' in ${}"],
    [
      "${HOME#\\q}",
      "failed to process \"${HOME#\\\\q}\": invalid pattern (\\q) in substitution: invalid escape '\\q'",
    ],
  ])("in %p is named", (word, message) => {
    expect(faultOf(word)).toBe(message);
  });

  test("ends an expansion that grows without end", () => {
    let value = "x".repeat(1000);
    const grow = () => {
      for (let round = 0; round < 64; round += 1) {
        value = expand("$a$a", variablesFrom([["a", value]]), { escapeCharacter: "\\" }).text;
      }
    };
    expect(grow).toThrow(`the expansion is longer than ${longestExpansion} characters`);
    expect(value.length).toBeLessThanOrEqual(longestExpansion * 4);
  });

  test("ends substitutions that nest without end", () => {
    const nested = "${a:-".repeat(100_000);
    expect(() => expanded(nested)).toThrow("nested too deeply");
  });
});
