/**
 * davit's front end and BuildKit's, asked the same: expansion, instructions, config and history, findings, errors,
 * ignore patterns. Skipped where there is no Go, or no way to BuildKit's module.
 */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are words of Dockerfiles
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { IgnoreMatcher, parseIgnoreFile } from "../../src/build/context/ignore.ts";
import { compileWildcard } from "../../src/build/context/wildcard.ts";
import { DockerfileError, LineFault } from "../../src/build/dockerfile/errors.ts";
import { type ExpansionOptions, expand } from "../../src/build/dockerfile/expansion/expand.ts";
import { variablesFrom } from "../../src/build/dockerfile/expansion/variables.ts";
import { parseDockerfile } from "../../src/build/dockerfile/parse.ts";
import type { BaseImage } from "../../src/build/dockerfile/stages/model.ts";
import { formatInFull } from "../../src/cli/build/warnings.ts";
import { DavitError, messageOf } from "../../src/core/errors.ts";
import { randomNumbers } from "../images/random.ts";
import { extraFiles } from "./extra-files.ts";
import { mutated } from "./mutations.ts";
import { operationsOf } from "./operations.ts";
import { buildOracle, type Oracle, startOracle } from "./oracle.ts";
import { asBuildKit, instructionsOf } from "./shapes.ts";
import { type Analysis, analysed, corpusFiles, warningsIn } from "./support.ts";

const built = buildOracle();
if ("missing" in built) console.error(`SKIPPED: test/build: no comparison with BuildKit: ${built.missing}`);

const files = [...corpusFiles(), ...extraFiles()];

/** Where several words are as near, BuildKit suggests any of them; and it lists rules in no order. */
function masked(text: unknown): unknown {
  if (typeof text !== "string") return text;
  return text
    .replace(/ \(did you mean [^)]*\?\)/g, "")
    .replace(/for rules: (.*)$/, (_, names: string) => names.split(", ").sort().join())
    .replace(/must match ".*?": invalid argument/, "must match");
}

/** Absent, null and empty say the same in these objects. */
function filled(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const isEmpty = (item: unknown) =>
    item === null ||
    item === "" ||
    item === undefined ||
    item === false ||
    (typeof item === "object" && Object.keys(item).length === 0);
  return Object.fromEntries(Object.entries(value).filter(([, item]) => !isEmpty(item)));
}

const diffId = `sha256:${"0".repeat(64)}`;

/** An image with something of everything that a build inherits. */
const rich: BaseImage = {
  reference: "docker.io/library/rich:latest",
  platform: { os: "linux", architecture: "arm64" },
  author: "somebody",
  config: {
    Env: ["A=b", "EMPTY", "PATH=/own"],
    OnBuild: ["RUN echo $A", "COPY --from=busybox /x /y", "ENV c=$A"],
    WorkingDir: "relative",
    User: "u",
    Cmd: ["x"],
    Shell: ["/bin/bash", "-c"],
    ExposedPorts: { "1/tcp": {} },
    Labels: { l: "m" },
  },
  history: [{ created_by: "x" }],
};
const images = { [rich.reference]: rich };
const imagesForOracle = {
  [rich.reference]: {
    ...rich.platform,
    author: rich.author,
    config: rich.config,
    history: rich.history,
    rootfs: { type: "layers", diff_ids: [diffId] },
  },
};

describe.skipIf("missing" in built)("BuildKit and davit agree", () => {
  let oracle: Oracle;
  beforeAll(() => {
    if ("program" in built) oracle = startOracle(built.program);
  });
  afterAll(() => oracle[Symbol.asyncDispose]());

  test.each(files)("on the instructions of $name", async ({ text }) => {
    const theirs = await oracle.ask({ Op: "parse", Text: text });
    const ours = parsed(text);
    // Files without stages are refused later by BuildKit.
    if (ours.error === "dockerfile contains no stages to build") return;
    expect(masked(ours.error)).toEqual(masked(theirs.error));
    if (theirs.error !== undefined) return;
    const instructions = Array.isArray(theirs.instructions) ? theirs.instructions : [];
    for (const instruction of instructions) {
      if (instruction.comments?.length === 0) instruction.comments = null;
      instruction.FlagsUsed?.sort();
    }
    expect<unknown>(ours.escape).toBe(theirs.escape);
    expect(ours.emptyContinuations).toBe(Array.isArray(theirs.warnings) ? theirs.warnings.length : 0);
    expect(ours.instructions).toEqual(instructions);
  });

  describe.each([
    { title: "by itself", buildArguments: {}, target: "" },
    {
      title: "with arguments",
      buildArguments: { MYARG: "given", VERSION: "9", TAG: "t", http_proxy: "http://p", TARGETARCH: "z" },
      target: "",
    },
    { title: "with a target", buildArguments: {}, target: "base" },
  ])("$title", ({ buildArguments, target }) => {
    test.each(files)("on the image, the findings and the errors of $name", async ({ text }) => {
      const theirs = await oracle.ask({
        Op: "convert",
        Text: text,
        BuildArgs: buildArguments,
        Target: target,
        Images: imagesForOracle,
      });
      expect(theirs.panic).toBeUndefined();
      const ours = await analysed(text, { buildArguments, target }, images);
      expect(masked("error" in ours ? ours.error.message : undefined)).toEqual(masked(theirs.error));
      if (!("error" in ours)) compareImages(ours, theirs);
      const checked = await analysed(text, { buildArguments, target, allStages: target === "" }, images);
      compareFindings(text, checked, theirs);
    });
  });

  test("on broken Dockerfiles: what is wrong with them, or what they come to", async () => {
    const random = randomNumbers(17);
    let compared = 0;
    for (let round = 0; round < 800; round += 1) {
      const text = mutated(random);
      // Flags that are not ASCII are where the two differ; an empty file BuildKit's parser does not refuse.
      if (text === "" || /[^\x01-\x7f]/.test(text)) continue;
      const theirs = await oracle.ask({ Op: "convert", Text: text, BuildArgs: {}, Target: "", Images: {} });
      expect(theirs.panic, JSON.stringify(text)).toBeUndefined();
      const ours = await analysed(text);
      const fault = "error" in ours ? ours.error.message : undefined;
      // Of several names that are none, BuildKit names any.
      if (fault?.startsWith("failed to parse stage name")) continue;
      expect(masked(fault), JSON.stringify(text)).toEqual(masked(theirs.error));
      if (!("error" in ours)) compareImages(ours, theirs);
      compareFindings(text, await analysed(text, { allStages: true }), theirs);
      compared += 1;
    }
    expect(compared).toBeGreaterThan(500);
  }, 60_000);

  test("on the expansion of words, made of pieces at random", async () => {
    const random = randomNumbers(11);
    const pieces = (
      "a $A ${A} $NONE ${NONE} ${A:-x} ${NONE:-x} ${EMPTY:+y} ${EMPTY-z} ${A#? } ${A##*b} ${A%c*} ${A%%*} ${A/b/X} ${A//?/-} " +
      "' \" \\ ` { } $ ${ : - + ? # % / * [ ] < << <<EOF \\$ \\\\ \\' \\\" ä 1 $1 ${A:?no} ${NONE:?no} , ="
    ).split(" ");
    const words = Array.from({ length: 4000 }, () =>
      Array.from(
        { length: random(6) + 1 },
        () => pieces[random(pieces.length)] + (random(4) === 0 ? " " : ""),
      ).join(""),
    );
    const env = ["A=abcabc", "EMPTY=", "B=x y"];
    const modes: { request: object; options: ExpansionOptions }[] = [
      { request: {}, options: { escapeCharacter: "\\" } },
      { request: { Escape: "`" }, options: { escapeCharacter: "`" } },
      { request: { Heredoc: true }, options: { escapeCharacter: "\\", ignoreQuotes: true } },
      {
        request: { Raw: true },
        options: { escapeCharacter: "\\", keepQuotes: true, keepEscapes: true, keepUnset: true },
      },
    ];
    for (const { request, options } of modes) {
      const { results } = await oracle.ask({ Op: "expand", Words: words, Env: env, ...request });
      const ours = words.map((word) => expansionOf(word, env, { ...options, splitWords: true }));
      for (const [index, word] of words.entries()) {
        expect(ours[index], `${JSON.stringify(word)} ${JSON.stringify(request)}`).toEqual(
          Array.isArray(results) ? results[index] : undefined,
        );
      }
    }
  }, 60_000);

  test("on ignore patterns and wildcards, made of pieces at random", async () => {
    const random = randomNumbers(13);
    const pick = (items: readonly string[]) => items[random(items.length)] ?? "";
    const parts = "a b foo * ** ? a* *.go b?r [a-c] [^a] \\* x.y fo*o ! . .. a**b ä **a \\d".split(" ");
    const names = "a b foo bar x.y main.go c * ä fooo".split(" ");
    const pattern = () =>
      (random(5) === 0 ? "!" : "") + Array.from({ length: random(4) + 1 }, () => pick(parts)).join("/");
    const path = () => Array.from({ length: random(4) + 1 }, () => pick(names)).join("/");
    for (let round = 0; round < 600; round += 1) {
      const text = `${Array.from({ length: random(5) + 1 }, pattern).join("\n")}\n`;
      const paths = Array.from({ length: 20 }, path);
      const theirs = await oracle.ask({ Op: "ignore", Text: text, Paths: paths });
      expect<unknown>(ignoring(text, paths), text).toEqual(theirs);
    }
    const patterns = Array.from({ length: 200 }, pattern);
    const paths = Array.from({ length: 40 }, path);
    const { results } = await oracle.ask({ Op: "glob", Patterns: patterns, Paths: paths });
    expect<unknown>(patterns.flatMap((one) => paths.map((name) => wildcardResult(one, name)))).toEqual(
      results,
    );
  }, 60_000);
});

function parsed(text: string) {
  try {
    const file = parseDockerfile(text);
    return {
      escape: file.escapeCharacter,
      emptyContinuations: file.emptyContinuations.length,
      instructions: instructionsOf(file).map(asBuildKit),
    };
  } catch (error) {
    if (error instanceof DockerfileError) return { error: error.message };
    throw error;
  }
}

function compareImages(ours: Extract<Analysis, { plan: unknown }>, theirs: Record<string, unknown>): void {
  const { image } = ours.plan.target;
  const { author, config, history } = recordOf(theirs.image);
  expect(filled(image.config)).toEqual(filled(config ?? {}));
  expect<unknown>(image.author).toBe(author);
  expect(image.history.map(filled)).toEqual(recordsOf(history).map(filled));
  expect<unknown>(ours.images).toEqual(theirs.images);
  // What cannot be run, such as an empty command, BuildKit finds out only now.
  if (theirs.cannotRun === undefined) {
    expect(eachOnce(operationsOf(ours.plan))).toEqual(eachOnce(recordsOf(theirs.operations)));
  }
}

/** In one order, as texts; mounts too. */
function eachOnce(operations: readonly unknown[]): string[] {
  return [...new Set(operations.map(canonicalText))].sort();
}

function canonicalText(value: unknown): string {
  return JSON.stringify(value, (key, item) => {
    if (Array.isArray(item)) return key === "mounts" ? item.map(canonicalText).sort() : item;
    return typeof item === "object" && item !== null
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item;
  });
}

function compareFindings(text: string, ours: Analysis, theirs: Record<string, unknown>): void {
  expect(masked("error" in ours ? ours.error.message : undefined)).toEqual(masked(theirs.buildError));
  const warnings = ours.linter?.warnings ?? [];
  const mine = warnings.map(({ rule, message, range }) =>
    JSON.stringify([rule.name, rule.description, rule.url, masked(message), range.start.line]),
  );
  const their = recordsOf(theirs.warnings).map(({ rule, description, url, detail, lines }) =>
    JSON.stringify([rule, description, url, masked(detail), Array.isArray(lines) ? lines[0] : undefined]),
  );
  expect(mine.sort()).toEqual(their.sort());
  // Findings on one line come in no order from BuildKit.
  const lines = new Set(warnings.map(({ range }) => range.start.line));
  if (lines.size !== warnings.length || theirs.text === undefined) return;
  expect(masked(formatInFull(warningsIn(text, ours.linter)))).toEqual(masked(theirs.text));
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}

function recordsOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map(recordOf) : [];
}

function expansionOf(word: string, env: readonly string[], options: ExpansionOptions) {
  const variables = variablesFrom(
    env.map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)] as const),
  );
  try {
    const { text, words, matched, unmatched } = expand(word, variables, options);
    return {
      text,
      words: words.length > 0 ? words : null,
      matched: [...matched].sort(),
      unmatched: [...unmatched].sort(),
    };
  } catch (error) {
    if (error instanceof LineFault) return { error: error.message };
    throw error;
  }
}

function ignoring(text: string, paths: readonly string[]) {
  const patterns = parseIgnoreFile(text);
  try {
    const matcher = new IgnoreMatcher(patterns);
    const walked = paths.map((path) => {
      const parts = path.split("/");
      let verdict = matcher.judge(parts[0] ?? "");
      for (let end = 2; end <= parts.length; end += 1) {
        const below = matcher.judge(parts.slice(0, end).join("/"), verdict.matches);
        if (verdict.ignoredWithAllBelow) expect(below.ignored, `${text} ${path}`).toBe(true);
        verdict = below;
      }
      return verdict.ignored;
    });
    return { patterns, matches: paths.map((path) => matcher.ignores(path)), walked };
  } catch (error) {
    if (error instanceof DavitError) return { patterns, error: messageOf(error) };
    throw error;
  }
}

function wildcardResult(pattern: string, name: string): boolean | string {
  try {
    return compileWildcard(pattern).matches(name);
  } catch (error) {
    if (error instanceof DavitError) return messageOf(error);
    throw error;
  }
}
