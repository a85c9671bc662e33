/** The corpus: each Dockerfile in it is good, and together they cover the reference. */
import { describe, expect, test } from "bun:test";
import { lstatSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDockerfile } from "../../src/build/dockerfile/parse.ts";
import { instructionKinds } from "../../src/build/dockerfile/statements.ts";
import { buildsOf, prepareContext } from "./corpus-cases.ts";
import { instructionsOf } from "./shapes.ts";
import { corpusFiles, planned } from "./support.ts";

const files = corpusFiles();

function temporaryContext(name: string): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "davit-test-corpus-"));
  prepareContext(name, path);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Flags of the Dockerfile reference, `instruction --flag`. */
const flags = [
  "from --platform",
  ..."mount network security device".split(" ").map((flag) => `run --${flag}`),
  ..."chown chmod checksum keep-git-dir unpack".split(" ").map((flag) => `add --${flag}`),
  ..."from chown chmod link parents exclude".split(" ").map((flag) => `copy --${flag}`),
  ..."interval timeout start-period start-interval retries".split(" ").map((flag) => `healthcheck --${flag}`),
];

test("There are more than sixty of them", () => {
  expect(files.length).toBeGreaterThan(60);
});

describe.each(files)("$name", ({ name, text }) => {
  test("is analysed without an error", async () => {
    const { target } = await planned(text, { allStages: true });
    expect(target.steps.length + target.image.history.length).toBeGreaterThanOrEqual(0);
  });

  const mayLack = buildsOf(name).some(({ failure }) => failure !== undefined);
  test.skipIf(mayLack)("has in its context what it copies", () => {
    using scratch = temporaryContext(name);
    for (const instruction of instructionsOf(parseDockerfile(text))) {
      if (instruction.kind !== "copy" || instruction.from !== "" || instruction.link) continue;
      for (const { text: source } of instruction.sources) {
        if (/[*?[$\\"]/.test(source)) continue;
        const path = join(scratch.path, join("/", source));
        expect(lstatSync(path, { throwIfNoEntry: false }), `${name}: ${source}`).toBeDefined();
      }
    }
  });
});

test("Every instruction is covered, and every flag", () => {
  const instructions = files.flatMap(({ text }) => instructionsOf(parseDockerfile(text)));
  const kinds = new Set(instructions.map(({ kind }) => kind));
  expect(instructionKinds.filter((kind) => !kinds.has(kind))).toEqual([]);
  const used = new Set(
    instructions.flatMap((it) => it.flags.map(({ text }) => `${it.kind} ${text.split("=", 1)[0] ?? ""}`)),
  );
  expect(flags.filter((flag) => !used.has(flag))).toEqual([]);
});

test("Every type of mount is covered", () => {
  const mounts = files.flatMap(({ text }) =>
    [...text.matchAll(/--mount=\S*type=([a-z]+)/g)].map(([, type]) => type),
  );
  expect([...new Set(mounts)].sort()).toEqual(["bind", "cache", "secret", "ssh", "tmpfs"]);
});
