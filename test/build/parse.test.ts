/** The parser: what a Dockerfile says, and exactly where it says it. */
import { describe, expect, test } from "bun:test";
import { DockerfileError } from "../../src/build/dockerfile/errors.ts";
import type { Instruction } from "../../src/build/dockerfile/instructions.ts";
import { type Dockerfile, parseDockerfile } from "../../src/build/dockerfile/parse.ts";
import type { Range } from "../../src/build/dockerfile/source.ts";
import { instructionsOf } from "./shapes.ts";

function parse(...lines: string[]): Dockerfile {
  return parseDockerfile(lines.join("\n"));
}

/** The instruction behind `FROM scratch`. */
function parseOne<K extends Instruction["kind"]>(
  kind: K,
  ...lines: string[]
): Extract<Instruction, { kind: K }> {
  const instruction = parse("FROM scratch", ...lines).stages[0]?.instructions[0];
  if (instruction === undefined || !isKind(instruction, kind)) throw new Error(`it is ${instruction?.kind}`);
  return instruction;
}

function isKind<K extends Instruction["kind"]>(
  instruction: Instruction,
  kind: K,
): instruction is Extract<Instruction, { kind: K }> {
  return instruction.kind === kind;
}

function errorOf(...lines: string[]): DockerfileError {
  try {
    parse(...lines);
  } catch (error) {
    if (error instanceof DockerfileError) return error;
    throw error;
  }
  throw new Error("there is no error");
}

function textAt(file: Dockerfile, range: Range): string {
  return file.source.text.slice(range.start.offset, range.end.offset);
}

describe("Places", () => {
  test("of an instruction, its keyword, its flags and its words are exact, also across continuation lines", () => {
    const file = parse(
      "FROM scratch",
      "  COPY --from=a \\",
      "    --chown=1:2 \\",
      "# no",
      "    one two",
      "RUN x",
    );
    const copy = file.stages[0]?.instructions[0];
    if (copy?.kind !== "copy") throw new Error("no COPY");
    expect(textAt(file, copy.keywordRange)).toBe("COPY");
    expect(copy.keywordRange.start).toEqual({ line: 2, column: 3, offset: 15 });
    expect(copy.flags.map(({ range }) => textAt(file, range))).toEqual(["--from=a", "--chown=1:2"]);
    expect(copy.flags[1]?.range.start).toMatchObject({ line: 3, column: 5 });
    expect(copy.sources.map(({ range }) => textAt(file, range))).toEqual(["one"]);
    expect(copy.destination.range.start).toMatchObject({ line: 5, column: 9 });
    expect([copy.range.start.line, copy.range.end.line]).toEqual([2, 5]);
    expect(copy.code).toBe("COPY --from=a     --chown=1:2     one two");
  });

  test("of a heredoc are its lines up to the terminator", () => {
    const file = parse("FROM scratch", "RUN <<A cat <<B", "a", "A", "b", "B", "RUN y");
    const run = file.stages[0]?.instructions[0];
    if (run?.kind !== "run" || run.command.form !== "shell") throw new Error("no RUN");
    expect(run.command.heredocs.map(({ content }) => content)).toEqual(["a\n", "b\n"]);
    expect(run.command.heredocs.map(({ range }) => [range.start.line, range.end.line])).toEqual([
      [3, 4],
      [5, 6],
    ]);
    expect(run.range.end.line).toBe(6);
  });

  test("of words in an exec form are those between the brackets", () => {
    const file = parse("FROM scratch", 'COPY ["a b", "c\\"d", "/"]');
    const copy = file.stages[0]?.instructions[0];
    if (copy?.kind !== "copy") throw new Error("no COPY");
    expect(copy.sources.map(({ range }) => textAt(file, range))).toEqual(['"a b"', '"c\\"d"']);
  });

  test("count columns from the byte order mark on, and lines with either line break", () => {
    const file = parseDockerfile("\ufeffFROM scratch\r\nRUN a\r\n");
    const [from, run] = instructionsOf(file);
    expect(from?.keywordRange.start).toMatchObject({ line: 1, column: 2 });
    expect(run?.range).toMatchObject({ start: { line: 2, column: 1 }, end: { line: 2, column: 6 } });
  });
});

describe("An error", () => {
  test("shows the line, a caret below what is wrong, and what was meant", () => {
    const error = errorOf("FROM scratch", "", "COPPY a b", "RUN x");
    expect(error.message).toBe(
      "dockerfile parse error on line 3: unknown instruction: COPPY (did you mean COPY?)",
    );
    expect(error.render()).toBe(
      [
        "Dockerfile:3",
        "--------------------",
        "   1 |     FROM scratch",
        "   2 |     ",
        "   3 | >>> COPPY a b",
        "     |     ^^^^^",
        "   4 |     RUN x",
        "--------------------",
        "dockerfile parse error on line 3: unknown instruction: COPPY (did you mean COPY?)",
      ].join("\n"),
    );
  });

  test("in a flag points at the flag, also on a continuation line", () => {
    const error = errorOf("FROM scratch", "COPY --link \\", "  --chwon=1 a b");
    expect(error.message).toBe(
      "dockerfile parse error on line 2: unknown flag: --chwon (did you mean chown?)",
    );
    expect(error.range?.start).toMatchObject({ line: 3, column: 3 });
    expect(error.render()).toContain("   3 | >>>   --chwon=1 a b\n     |       ^^^^^^^^^\n");
  });

  test.each([
    [
      ["FROM scratch", "FORM x"],
      "dockerfile parse error on line 2: unknown instruction: FORM (did you mean FROM?)",
    ],
    [["RUN x"], "no build stage in current context"],
    [["ARG a"], "dockerfile contains no stages to build"],
    [["# nothing"], "file with no instructions"],
    [[""], "the Dockerfile cannot be empty"],
    [["FROM a b"], "dockerfile parse error on line 1: FROM requires either one or three arguments"],
    [
      ["FROM a AS 1b"],
      `dockerfile parse error on line 1: invalid name for build stage: "1b", name can't start with a number or contain symbols`,
    ],
    [["FROM a", "RUN cat <<EOF", "x"], "unterminated heredoc"],
    [["FROM a", 'CMD ["a", 1]'], "when using JSON array syntax, arrays must be comprised of strings only"],
    [["FROM a", "ENV x"], "ENV must have two arguments"],
    [["FROM a", "ENV a=b c"], `Syntax error - can't find = in "c". Must be of the form: name=value`],
    [["FROM a", "LABEL =x"], "dockerfile parse error on line 2: LABEL names can not be blank"],
    [["FROM a", "EXPOSE"], "dockerfile parse error on line 2: EXPOSE requires at least one argument"],
    [["FROM a", "USER"], "dockerfile parse error on line 2: USER requires exactly one argument"],
    [
      ["FROM a", "ADD x"],
      "dockerfile parse error on line 2: ADD requires at least two arguments, but only one was provided. Destination could not be determined",
    ],
    [
      ["FROM a", "COPY x <<E", "E"],
      "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination",
    ],
    [
      ["FROM a", "SHELL sh"],
      "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form",
    ],
    [
      ["FROM a", "ONBUILD FROM x"],
      "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger",
    ],
    [
      ["FROM a", "ONBUILD ONBUILD RUN x"],
      "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
    ],
    [["FROM a", "RUN --network=none2 x"], `dockerfile parse error on line 2: invalid network mode "none2"`],
    [["FROM a", "RUN --security=x y"], `dockerfile parse error on line 2: security "x" is not valid`],
    [
      ["FROM a", "RUN --mount=from=$x,target=/y z"],
      "dockerfile parse error on line 2: 'from' doesn't support variable expansion, define alias stage instead",
    ],
    [
      ["FROM a", "COPY --link=x a b"],
      "dockerfile parse error on line 2: expecting boolean value for flag --link, not: x",
    ],
    [["FROM a", "COPY --from a b"], "dockerfile parse error on line 2: missing a value on flag: --from"],
    [
      ["FROM a", "COPY --from=x --from=y a b"],
      "dockerfile parse error on line 2: duplicate flag specified: --from",
    ],
    [
      ["FROM a", "HEALTHCHECK FOO x"],
      `dockerfile parse error on line 2: Unknown type "FOO" in HEALTHCHECK (try CMD)`,
    ],
    [
      ["FROM a", "HEALTHCHECK NONE x"],
      "dockerfile parse error on line 2: HEALTHCHECK NONE takes no arguments",
    ],
    [
      ["FROM a", "HEALTHCHECK --interval=5 CMD x"],
      `dockerfile parse error on line 2: time: missing unit in duration "5"`,
    ],
    [["# escape=x", "FROM a"], "invalid escape token 'x' does not match ` or \\"],
    [["# escape=`", "# escape=`", "FROM a"], "only one escape parser directive can be used"],
  ])("in %p is in BuildKit's words", (lines, message) => {
    expect(errorOf(...lines).message).toBe(message);
  });

  test("of the first pass comes before all that the second finds", () => {
    expect(errorOf("FROM scratch", "FOO x", "ENV a").message).toBe("ENV must have two arguments");
  });
});

describe("Directives", () => {
  test("are read up to the first line that is none", () => {
    const file = parse(
      "# syntax=docker/dockerfile:1",
      "# escape=`",
      "",
      "# check=skip=all",
      "FROM a",
      "RUN a `",
      "b",
    );
    expect(file.directives.map(({ name, value }) => [name, value])).toEqual([
      ["syntax", "docker/dockerfile:1"],
      ["escape", "`"],
    ]);
    expect(file.escapeCharacter).toBe("`");
    expect(file.stages[0]?.instructions).toHaveLength(1);
  });

  test("are comments behind another comment", () => {
    expect(parse("# hello", "# escape=`", "FROM a").escapeCharacter).toBe("\\");
  });
});

describe("Forms", () => {
  test("a JSON array is an exec form; what is almost one is for the shell", () => {
    expect(parseOne("run", 'RUN ["a", "b c"]').command).toEqual({ form: "exec", arguments: ["a", "b c"] });
    expect(parseOne("run", "RUN ['a']").command).toMatchObject({ form: "shell", text: "['a']" });
    expect(parseOne("run", 'RUN ["a"] x').command).toMatchObject({ form: "shell", text: '["a"] x' });
    expect(parseOne("cmd", "CMD [1e999]").command).toMatchObject({ form: "shell" });
  });

  test("ENV and LABEL have an older form, which the first word decides", () => {
    expect(parseOne("env", "ENV a b=c  d").variables).toMatchObject([
      { key: "a", value: "b=c  d", legacy: true },
    ]);
    expect(parseOne("env", 'ENV a=b c="d e" f=g\\ h').variables).toMatchObject([
      { key: "a", value: "b", legacy: false },
      { key: "c", value: '"d e"' },
      { key: "f", value: "g\\ h" },
    ]);
  });

  test("a heredoc expands unless a part of its name is quoted", () => {
    const copy = parseOne("copy", "COPY <<A <<'B' <<-C /", "a", "A", "b", "B", "\tc", "\t\td", "\tC");
    expect(copy.files).toEqual([
      { path: "A", content: "a\n", expand: true },
      { path: "B", content: "b\n", expand: false },
      { path: "C", content: "c\nd\n", expand: true },
    ]);
  });

  test("a mark in quotes, or on a line whose quotes do not match, is no heredoc", () => {
    expect(parseOne("run", 'RUN echo "<<EOF"').command).toMatchObject({ heredocs: [] });
    expect(parseOne("run", "RUN echo it's <<EOF").command).toMatchObject({ heredocs: [] });
  });

  test("comments inside an instruction are left out, and so are empty lines, which are reported", () => {
    const file = parse("FROM a", "RUN x \\", "# no", "", "  y \\", "z", "RUN w");
    expect(file.stages[0]?.instructions.map(({ code }) => code)).toEqual(["RUN x   y z", "RUN w"]);
    expect(file.emptyContinuations.map(({ range }) => range.start.line)).toEqual([6]);
  });

  test("flags end at the first word that is none, or at two dashes", () => {
    const copy = parseOne("copy", "COPY --link -- --from=x y");
    expect(copy.sources.map(({ text }) => text)).toEqual(["--from=x"]);
    expect(copy.link).toBe(true);
  });

  test("the comments directly above belong to an instruction", () => {
    const file = parse("# file", "#", "# BASE what to build on", "ARG BASE", "FROM a");
    expect(file.globalArgs[0]?.definitions).toEqual([
      { name: "BASE", value: undefined, description: "what to build on" },
    ]);
  });
});
