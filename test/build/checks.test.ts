/** The build checks: what each finds, and how findings are shown and turned off. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are lines of Dockerfiles
import { describe, expect, test } from "bun:test";
import { IgnoreMatcher } from "../../src/build/context/ignore.ts";
import { rules } from "../../src/build/dockerfile/checks/rules.ts";
import { excerpt } from "../../src/build/dockerfile/excerpt.ts";
import type { AnalyseOptions } from "../../src/build/dockerfile/stages/analyse.ts";
import { briefly, formatInFull, formatReport } from "../../src/cli/build/warnings.ts";
import { analysed, plainImage, warningsIn } from "./support.ts";

/** `Rule: message (line)` of each finding, in the order of lines. */
async function findings(lines: readonly string[], options: Partial<AnalyseOptions> = {}): Promise<string[]> {
  const text = lines.join("\n");
  const { linter } = await analysed(text, { allStages: true, ...options });
  const warnings = warningsIn(text, linter);
  return warnings.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0)).map(briefly);
}

describe("A check finds", () => {
  test.each([
    [["FROM scratch AS Base"], "StageNameCasing: Stage name 'Base' should be lowercase (line 1)"],
    [["FROM scratch as base"], "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"],
    [["FROM scratch", "ENV a=b \\", "", " c=d"], "NoEmptyContinuation: Empty continuation line (line 4)"],
    [
      ["FROM scratch", "env a=b", "ENV c=d"],
      "ConsistentInstructionCasing: Command 'env' should match the case of the command majority (uppercase) (line 2)",
    ],
    [
      ["from scratch", "env a=b", "ENV c=d"],
      "ConsistentInstructionCasing: Command 'ENV' should match the case of the command majority (lowercase) (line 3)",
    ],
    [
      ["FROM scratch AS a", "FROM scratch AS a"],
      'DuplicateStageName: Duplicate stage name "a", stage names should be unique (line 2)',
    ],
    [
      ["FROM scratch AS context"],
      'ReservedStageName: Stage name should not use the same name as reserved stage "context" (line 1)',
    ],
    [
      ["FROM scratch", "CMD echo"],
      "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 2)",
    ],
    [
      ["FROM scratch", "MAINTAINER x"],
      "MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)",
    ],
    [
      ["ARG VERSION=1", "FROM a:${VERSIN:-1}"],
      "UndefinedArgInFrom: FROM argument 'VERSIN' is not declared (did you mean VERSION?) (line 2)",
    ],
    [
      ["FROM scratch", "ARG DIR=x", "WORKDIR /$DIRR"],
      "UndefinedVar: Usage of undefined variable '$DIRR' (did you mean $DIR?) (line 3)",
    ],
    [
      ["FROM scratch", "WORKDIR x"],
      'WorkdirRelativePath: Relative workdir "x" can have unexpected results if the base image changes (line 2)',
    ],
    [
      ["ARG TAG", "FROM a:${TAG}"],
      "InvalidDefaultArgInFrom: Default value for ARG a:${TAG} results in empty or invalid base image name (line 2)",
    ],
    [
      ["FROM --platform=linux/arm64 a"],
      'FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/arm64" (line 1)',
    ],
    [
      ["FROM --platform=$TARGETPLATFORM a"],
      "RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior (line 1)",
    ],
    [
      ["FROM scratch", "ENV DB_PASSWORD=x"],
      'SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "DB_PASSWORD") (line 2)',
    ],
    [
      ["FROM scratch", "LABEL a b"],
      'LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format (line 2)',
    ],
    [
      ["FROM scratch", "EXPOSE 80/TCP"],
      "ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase (line 2)",
    ],
    [
      ["FROM scratch", "EXPOSE 127.0.0.1:80:80"],
      "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80' (line 2)",
    ],
    [
      ["FROM scratch", 'CMD ["a"]', 'CMD ["b"]'],
      "MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used (line 2)",
    ],
    [
      ["# check=experimental=InvalidDefinitionDescription", "FROM scratch", "# what", "ARG foo"],
      "InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo <description>` (line 4)",
    ],
  ])("in %p what it is for", async (lines, finding) => {
    // A platform's default may make an invalid name too.
    expect(await findings(lines)).toContain(finding);
  });

  test("a source that the ignore file leaves out, unless it has exceptions", async () => {
    const lines = ["FROM scratch", "COPY src/x /x", "ADD secret /y", "COPY . /all"];
    expect(await findings(lines, { ignore: new IgnoreMatcher(["src", "secret"]) })).toEqual([
      'CopyIgnoredFile: Attempting to Copy file "src/x" that is excluded by .dockerignore (line 2)',
      'CopyIgnoredFile: Attempting to Add file "secret" that is excluded by .dockerignore (line 3)',
    ]);
    expect(await findings(lines, { ignore: new IgnoreMatcher(["src", "!src/x"]) })).toEqual([]);
  });

  test("a base image of another platform", async () => {
    const resolveImage = async (name: string) => ({
      ...plainImage(name),
      platform: { os: "linux", architecture: "arm64" },
    });
    expect(await findings(["FROM a"], { resolveImage })).toEqual([
      'InvalidBaseImagePlatform: Base image a was pulled with platform "linux/arm64", expected "linux/amd64" for current build (line 1)',
    ]);
  });

  test("nothing in a file that is as it should be", async () => {
    expect(
      await findings(["ARG TAG=1", "FROM a:${TAG} AS one", "ARG X", "WORKDIR /$X", 'CMD ["c"]']),
    ).toEqual([]);
  });
});

test("Every rule that BuildKit documents is there", () => {
  expect(
    Object.values(rules)
      .map(({ name }) => name)
      .sort(),
  ).toEqual(
    (
      "ConsistentInstructionCasing CopyIgnoredFile DuplicateStageName ExposeInvalidFormat ExposeProtoCasing FromAsCasing " +
      "FromPlatformFlagConstDisallowed InvalidBaseImagePlatform InvalidDefaultArgInFrom InvalidDefinitionDescription " +
      "JSONArgsRecommended LegacyKeyValueFormat MaintainerDeprecated MultipleInstructionsDisallowed NoEmptyContinuation " +
      "RedundantTargetPlatform ReservedStageName SecretsUsedInArgOrEnv StageNameCasing UndefinedArgInFrom UndefinedVar " +
      "WorkdirRelativePath"
    ).split(" "),
  );
});

describe("The check directive", () => {
  const bad = ["FROM scratch", "MAINTAINER x", "CMD echo"];

  test("turns rules off, or all of them", async () => {
    expect(await findings(["# check=skip=MaintainerDeprecated,JSONArgsRecommended", ...bad])).toEqual([]);
    expect(await findings(["# check=skip=all", ...bad])).toEqual([]);
  });

  test("makes findings errors", async () => {
    const analysis = await analysed(["# check=error=true", ...bad].join("\n"));
    expect("error" in analysis && analysis.error.message).toBe(
      "lint violation found for rules: MaintainerDeprecated, JSONArgsRecommended",
    );
  });

  test("above an instruction holds for that one", async () => {
    const found = await findings([
      "FROM scratch",
      "# check=skip=SecretsUsedInArgOrEnv",
      "ENV A_TOKEN=1",
      "ENV B_TOKEN=1",
    ]);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain("B_TOKEN");
  });

  test("that means nothing is refused", async () => {
    const analysis = await analysed("# check=skpi=all\nFROM scratch");
    expect("error" in analysis && analysis.error.message).toBe(
      'failed to parse check options: invalid check option "skpi"',
    );
  });
});

test("Findings are shown with their page and their lines", async () => {
  const text = "FROM scratch\nCMD echo\n";
  const { linter } = await analysed(text);
  const warnings = warningsIn(text, linter);
  expect(formatInFull(warnings)).toBe(
    [
      "",
      "WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
      "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
      "Dockerfile:2",
      "--------------------",
      "   1 |     FROM scratch",
      "   2 | >>> CMD echo",
      "   3 |     ",
      "--------------------",
      "",
    ].join("\n"),
  );
  expect(formatReport(warnings)).toBe(`Check complete, 1 warning has been found!\n${formatInFull(warnings)}`);
  expect(formatReport([])).toBe("Check complete, no warnings found.\n");
});

test("An error knows its lines", async () => {
  const analysis = await analysed("FROM scratch\nNOTHING x\n");
  if (!("error" in analysis)) throw new Error("there is no error");
  const { message, source, lines, range } = analysis.error;
  expect(message).toBe("dockerfile parse error on line 2: unknown instruction: NOTHING");
  expect(excerpt(source, lines, range)).toBe(
    [
      "Dockerfile:2",
      "--------------------",
      "   1 |     FROM scratch",
      "   2 | >>> NOTHING x",
      "     |     ^^^^^^^",
      "   3 |     ",
      "--------------------",
      "",
    ].join("\n"),
  );
});
