/**
 * Broken Dockerfiles: the corpus with pieces changed, doubled, mixed and cut, by random numbers that are the same in
 * each run. Whatever comes out, the front end answers with a plan or a DockerfileError whose place is in the file.
 */
import { describe, expect, test } from "bun:test";
import { IgnoreMatcher, parseIgnoreFile } from "../../src/build/context/ignore.ts";
import { DockerfileError } from "../../src/build/dockerfile/errors.ts";
import type { Instruction } from "../../src/build/dockerfile/instructions.ts";
import { parseDockerfile } from "../../src/build/dockerfile/parse.ts";
import type { Range } from "../../src/build/dockerfile/source.ts";
import { DavitError } from "../../src/core/errors.ts";
import { randomNumbers } from "../images/random.ts";
import { mutated } from "./mutations.ts";
import { instructionsOf } from "./shapes.ts";
import { analysed } from "./support.ts";

const rounds = 4000;

function isInside(text: string, { start, end }: Range): boolean {
  const lines = text.split("\n").length;
  return (
    start.offset >= 0 &&
    start.offset <= end.offset &&
    end.offset <= text.length &&
    start.line >= 1 &&
    end.line <= lines &&
    start.column >= 1
  );
}

function rangesOf(instruction: Instruction): Range[] {
  const ranges = [
    instruction.range,
    instruction.keywordRange,
    ...instruction.flags.map(({ range }) => range),
  ];
  if (instruction.kind === "copy" || instruction.kind === "add") {
    ranges.push(...instruction.sources.map(({ range }) => range), instruction.destination.range);
  }
  if (instruction.kind === "env") ranges.push(...instruction.variables.map(({ range }) => range));
  return ranges;
}

describe("Mutations of the corpus", () => {
  test.each([1, 2, 3])(
    "of seed %p end in a plan or in an error with a place in the file",
    async (seed) => {
      const random = randomNumbers(seed);
      let good = 0;
      for (let round = 0; round < rounds; round += 1) {
        const text = mutated(random);
        const result = await analysed(text, { buildArguments: { x: "y" } });
        if (!("error" in result)) {
          good += 1;
          const places = instructionsOf(parseDockerfile(text)).flatMap(rangesOf);
          expect(
            places.filter((range) => !isInside(text, range)),
            JSON.stringify(text),
          ).toEqual([]);
          continue;
        }
        const { error } = result;
        expect(error.message, JSON.stringify(text)).not.toBe("");
        for (const range of [error.lines, error.range ?? error.lines]) {
          expect(isInside(text, range), `${error.message}: ${JSON.stringify(text)}`).toBe(true);
        }
        expect(error.render()).toContain(error.message);
      }
      // Both ways are taken often.
      expect(good).toBeGreaterThan(rounds / 20);
      expect(good).toBeLessThan(rounds);
    },
    120_000,
  );

  test("of ignore files give a matcher or an error", () => {
    const random = randomNumbers(7);
    const pieces = [
      "a",
      "*",
      "**",
      "?",
      "/",
      "!",
      "[a-c]",
      "[",
      "]",
      "\\",
      "^",
      "..",
      ".",
      " ",
      "#",
      "\n",
      "(",
      "+",
      "ä",
    ];
    for (let round = 0; round < 20_000; round += 1) {
      const text = Array.from({ length: random(24) }, () => pieces[random(pieces.length)]).join("");
      try {
        const matcher = new IgnoreMatcher(parseIgnoreFile(text));
        const verdict = matcher.judge("a/b");
        expect(verdict.ignoredWithAllBelow && !verdict.ignored).toBe(false);
        matcher.ignores("a/(b)/c+");
      } catch (error) {
        if (!(error instanceof DavitError)) throw new Error(JSON.stringify(text), { cause: error });
      }
    }
  });
});

describe("Bombs", () => {
  async function messageOf(text: string): Promise<string> {
    const result = await analysed(text, { allStages: true });
    return "error" in result ? result.error.message : "no error";
  }

  test("that double a variable again and again are refused", async () => {
    const lines = ["FROM scratch", "ENV a=aaaaaaaaaaaaaaaa"];
    for (let round = 0; round < 60; round += 1) lines.push("ENV a=$a$a");
    expect(await messageOf(lines.join("\n"))).toContain("the expansion is longer than");
  });

  test("that fill many variables are refused", async () => {
    const lines = ["FROM scratch", `ENV a=${"x".repeat(60_000)}`, "ENV a=$a$a$a$a$a$a$a$a"];
    for (let round = 0; round < 2000; round += 1) lines.push(`ENV b${round}=$a`);
    expect(await messageOf(lines.join("\n"))).toContain("variables and histories of the stages are too long");
  });

  test("of nested substitutions, arrays and triggers are refused or taken as text", async () => {
    expect(await messageOf(`FROM scratch\nUSER ${"${a:-".repeat(13_000)}`)).toContain("nested too deeply");
    expect(await messageOf(`FROM scratch\nCMD ${"[".repeat(60_000)}`)).toBe("no error");
    expect(await messageOf(`FROM scratch\n${"ONBUILD ".repeat(8000)}RUN x`)).toContain("ONBUILD ONBUILD");
  });

  test("of long lines and many lines end soon", async () => {
    expect(await messageOf(`FROM scratch\nRUN ${"x".repeat(70_000)}`)).toBe(
      "dockerfile line greater than max allowed size of 65535",
    );
    expect(await messageOf(`FROM scratch\n${" ".repeat(65_000)}x`)).toContain("unknown instruction: x");
    expect(await messageOf(`FROM scratch\nRUN ${"\\\n".repeat(200_000)}x`)).toBe("no error");
    expect(await messageOf(`# check=${" ".repeat(65_000)}x\nFROM scratch`)).toContain("check");
    expect(await messageOf(`FROM scratch\n${"ENV a=b\n".repeat(10_000)}`)).toBe("no error");
    expect(await messageOf(`FROM scratch\nENV x=${"a".repeat(60_000)}\nENV y=\${x//*a*b/c}`)).toContain(
      "too large",
    );
  });

  test("of arguments in each RUN's history, and of ports, are refused", async () => {
    const args = Array.from({ length: 5000 }, (_, at) => `ARG a${at}=${at}`);
    const runs = Array.from({ length: 5000 }, (_, at) => `RUN x${at}`);
    expect(await messageOf(["FROM scratch", ...args, ...runs].join("\n"))).toContain("are too long");
    expect(await messageOf(`FROM scratch\n${"EXPOSE 1-65535\n".repeat(2000)}`)).toContain("are too long");
  }, 20_000);

  test("of stages and of words go through", async () => {
    const stages = Array.from({ length: 5000 }, (_, at) => `FROM scratch AS s${at}`);
    const copies = stages.map((_, at) => `COPY --from=s${at} / /`);
    expect(await messageOf([...stages, "FROM scratch", ...copies].join("\n"))).toBe("no error");
    expect(await messageOf(`FROM scratch\nCOPY ${"a \\\n".repeat(20_000)}/x`)).toBe("no error");
  }, 20_000);

  test("a file larger than can be meant is refused, and one with too many instructions", () => {
    expect(() => parseDockerfile(`FROM scratch\n${"ENV a=b\n".repeat(20_000)}`)).toThrow(
      "more than 20000 instructions",
    );
    expect(() => parseDockerfile(`FROM scratch\n${"#".repeat(17 * 1024 * 1024)}`)).toThrow(DockerfileError);
  });
});
