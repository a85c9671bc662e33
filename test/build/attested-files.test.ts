/** `--output type=local` and `type=tar`: what is attested of files stands beside them, as with BuildKit. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { messageOf } from "../../src/core/errors.ts";
import type { AttestationRequest, SbomScanner } from "../../src/engine/build.ts";
import { type BuildKit, buildBuildKit, startBuildKit } from "./buildkit.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

setDefaultTimeout(60_000);

let workshop: Workshop;
let context: string;
beforeAll(async () => {
  workshop = await openWorkshop();
  context = workshop.context({
    Dockerfile: "FROM scratch\nCOPY a tree /\nARG TARGETARCH\nCOPY for-$TARGETARCH /\n",
    a: "a\n",
    "tree/empty/": "",
    "tree/in/b": { mode: 0o755, content: "b\n" },
    "tree/in/link": { link: "b" },
    "tree/zz": "after provenance.json\n",
    "for-amd64": "amd64\n",
    "for-arm64": "arm64\n",
  });
});
afterAll(async () => {
  await workshop[Symbol.asyncDispose]();
});

const directory = () => mkdtempSync(join(workshop.davit.directory, "out-"));
const built = (...flags: string[]) => workshop.davit.run(["build", "-q", ...flags, context]);

interface Facts {
  readonly mode: number;
  readonly isDirectory: boolean;
  readonly content?: unknown;
}

/** Statements without what is another one's: times, ids, and what each says of how it works. */
function contentOf(path: string): unknown {
  const text = readFileSync(path, "utf8");
  if (!path.endsWith(".json")) return text;
  const { predicate, ...others } = JSON.parse(text);
  return { ...others, predicate: Object.keys(predicate).sort() };
}

/** What is below a directory, by its path. */
function contents(top: string): Record<string, Facts> {
  const all = readdirSync(top, { recursive: true, encoding: "utf8" }).sort();
  const facts = all.map((name): [string, Facts] => {
    const path = join(top, name);
    const status = lstatSync(path);
    const isDirectory = status.isDirectory();
    const content = isDirectory || status.isSymbolicLink() ? {} : { content: contentOf(path) };
    return [name, { mode: status.mode & 0o7777, isDirectory, ...content }];
  });
  return Object.fromEntries(facts);
}

function unpacked(archive: string): string {
  const into = directory();
  const done = Bun.spawnSync(["tar", "-xpf", archive, "-C", into]);
  if (!done.success) throw new Error(done.stderr.toString());
  return into;
}

function members(archive: string): string[] {
  return Bun.spawnSync(["tar", "-tf", archive]).stdout.toString().trim().split("\n");
}

const buildkitProgram = buildBuildKit();
if ("missing" in buildkitProgram) {
  console.error(`SKIPPED: attested files are not compared with BuildKit: ${buildkitProgram.missing}`);
}

interface Case {
  readonly title: string;
  /** Of davit. */
  readonly flags: readonly string[];
  /** Of BuildKit's front end. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Of the output. */
  readonly options?: Readonly<Record<string, string>>;
}

const inFull = { flags: ["--provenance=true"], attributes: { "attest:provenance": "mode=max" } };
const two = "linux/amd64,linux/arm64";
const cases: Case[] = [
  { title: "nothing that is not asked for", flags: [], attributes: {} },
  { title: "provenance", ...inFull },
  {
    title: "provenance of another version, under another name",
    flags: ["--attest", "type=provenance,mode=min,version=v0.2,filename=x/how.json"],
    attributes: { "attest:provenance": "mode=min,version=v0.2,filename=x/how.json" },
    options: { "attestation-prefix": "pre-" },
  },
  {
    title: "nothing that is for images only",
    flags: ["--provenance=mode=max,inline-only=true"],
    attributes: { "attest:provenance": "mode=max,inline-only=true" },
  },
  {
    title: "provenance of each platform, in its directory",
    flags: [...inFull.flags, "--platform", two],
    attributes: { ...inFull.attributes, platform: two },
  },
];
const local: Case[] = [
  ...cases,
  { title: "provenance in a platform's directory", ...inFull, options: { "platform-split": "true" } },
  {
    title: "provenance of platforms side by side",
    flags: [...inFull.flags, "--platform", two, "-f", "Apart"],
    attributes: { ...inFull.attributes, platform: two, filename: "Apart" },
    options: { "platform-split": "false" },
  },
];

describe.skipIf("missing" in buildkitProgram)("davit and BuildKit write into", () => {
  let buildkit: BuildKit;
  beforeAll(() => {
    if ("missing" in buildkitProgram) return;
    // No base image is asked for.
    buildkit = startBuildKit(buildkitProgram.program, "127.0.0.1:1");
    writeFileSync(join(context, "Apart"), "FROM scratch\nARG TARGETARCH\nCOPY for-$TARGETARCH /\n");
  });
  afterAll(() => buildkit?.[Symbol.asyncDispose]());

  const optionsOf = (options: Readonly<Record<string, string>>) =>
    Object.entries(options)
      .map(([name, value]) => `,${name}=${value}`)
      .join("");

  test.each(local)("a directory $title", async ({ flags, attributes, options = {} }) => {
    const [own, theirs] = [directory(), directory()];
    const file = flags.indexOf("-f");
    const given = flags.map((word, at) => (file >= 0 && at === file + 1 ? join(context, word) : word));
    await workshop.davit.output([
      "build",
      "-q",
      ...given,
      "-o",
      `type=local,dest=${own}${optionsOf(options)}`,
      context,
    ]);
    await buildkit.export({ context, attributes, kind: "local", options, output: theirs });
    expect(contents(own)).toEqual(contents(theirs));
  });

  test.each(cases)("a tar $title", async ({ flags, attributes, options = {} }) => {
    const [own, theirs] = [join(directory(), "own.tar"), join(directory(), "theirs.tar")];
    await built(...flags, "-o", `type=tar,dest=${own}${optionsOf(options)}`);
    await buildkit.export({ context, attributes, kind: "tar", options, output: theirs });
    expect(members(own)).toEqual(members(theirs));
    expect(contents(unpacked(own))).toEqual(contents(unpacked(theirs)));
  });

  test("a directory what is in the result alone, with mode=delete", async () => {
    const [own, theirs] = [directory(), directory()];
    for (const output of [own, theirs]) {
      mkdirSync(join(output, "old", "er"), { recursive: true });
      mkdirSync(join(output, "a"));
      mkdirSync(join(output, "in"));
      for (const name of ["old/x", "a/y", "in/old", "empty", "z"]) writeFileSync(join(output, name), "old");
      symlinkSync("/", join(output, "tmp"));
    }
    await built("--provenance=true", "-o", `type=local,dest=${own},mode=delete`);
    const { attributes } = inFull;
    const options = { mode: "delete" };
    await buildkit.export({ context, attributes, kind: "local", options, output: theirs });
    expect(contents(own)).toEqual(contents(theirs));
    expect(existsSync("/tmp")).toBe(true);
  });

  test("no file of two platforms in one place", async () => {
    const output = directory();
    const attributes = { platform: two };
    const options = { "platform-split": "false" };
    const theirs = await buildkit
      .export({ context, attributes, kind: "local", options, output })
      .catch((error: unknown) => messageOf(error));
    expect(theirs).toMatch(/cannot overwrite \S+ from \S+ with \S+ when split option is disabled/);
    const own = await built("--platform", two, "-o", `type=local,dest=${output},platform-split=false`);
    expect(own.code).toBe(1);
    expect(own.stderr).toContain(
      "cannot overwrite a from linux/amd64 with linux/arm64 when split option is disabled",
    );
  });
});

/** A statement that was written. Its shape is what the tests look at. */
// biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes.
const read = (path: string): any => JSON.parse(readFileSync(path, "utf8"));

const provenance: AttestationRequest["provenance"] = {
  mode: "max",
  version: "v1",
  builderId: "",
  reproducible: false,
};

describe("what is attested of files", () => {
  test("names each of them with its digest, and tells how they were made", async () => {
    const output = directory();
    await workshop.build(context, {
      platforms: ["linux/amd64"],
      attestations: { provenance },
      outputs: [{ kind: "local", directory: output }],
    });
    const { subject, predicate } = read(join(output, "provenance.json"));
    const sha256 = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex");
    expect(subject).toEqual([
      { name: "a", digest: { sha256: sha256("a\n") } },
      { name: "for-amd64", digest: { sha256: sha256("amd64\n") } },
      { name: "in/b", digest: { sha256: sha256("b\n") } },
      { name: "zz", digest: { sha256: sha256("after provenance.json\n") } },
    ]);
    const { request } = predicate.buildDefinition.externalParameters;
    expect(request.locals).toEqual([{ name: "context" }, { name: "dockerfile" }]);
    expect(predicate.runDetails.metadata.buildkit_metadata.layers).toBeUndefined();
  });

  test("takes the place of a file of the result that has its name", async () => {
    const shadowed = workshop.context({
      Dockerfile:
        "FROM davit-busybox AS made\nRUN mkdir /o && echo own > /o/provenance.json && ln /o/provenance.json /o/zz\nFROM scratch\nCOPY --from=made /o /\n",
    });
    const [output, archive] = [directory(), join(directory(), "out.tar")];
    const flags = [
      "--provenance=true",
      "-q",
      "-o",
      `type=local,dest=${output}`,
      "-o",
      `type=tar,dest=${archive}`,
    ];
    await workshop.davit.output(["build", ...flags, shadowed]);
    for (const top of [output, unpacked(archive)]) {
      expect(readdirSync(top).sort()).toEqual(["provenance.json", "zz"]);
      expect(readFileSync(join(top, "zz"), "utf8")).toBe("own\n");
      const { subject } = read(join(top, "provenance.json"));
      expect(subject.map(({ name }: { name: string }) => name)).toEqual(["provenance.json", "zz"]);
    }
  });

  test("has SOURCE_DATE_EPOCH's time, where there is one", async () => {
    const output = directory();
    await built(
      "--provenance=true",
      "--build-arg",
      "SOURCE_DATE_EPOCH=1000000000",
      "-o",
      `type=local,dest=${output}`,
    );
    expect(lstatSync(join(output, "provenance.json")).mtimeMs).toBe(1_000_000_000_000);
  });

  test("may be a bill of materials, of which a scanner gives the file's name", async () => {
    const scan: SbomScanner["scan"] = async ({ root }) => [
      { predicateType: "https://spdx.dev/Document", predicate: { files: readdirSync(root).sort() } },
      { predicateType: "https://spdx.dev/Document", predicate: {}, file: "sbom-base.spdx.json" },
    ];
    const output = directory();
    await workshop.build(context, {
      platforms: ["linux/amd64"],
      attestations: { sbom: { scanner: { scan } } },
      outputs: [{ kind: "local", directory: output }],
    });
    expect(read(join(output, "sbom.spdx.json"))).toMatchObject({
      predicateType: "https://spdx.dev/Document",
      predicate: { files: ["a", "empty", "for-amd64", "in", "zz"] },
      subject: [{ name: "a" }, { name: "for-amd64" }, { name: "in/b" }, { name: "zz" }],
    });
    expect(existsSync(join(output, "sbom-base.spdx.json"))).toBe(true);
    expect(existsSync(join(output, "provenance.json"))).toBe(false);
  });

  test.each([
    ["a/", "invalid attestation path name"],
    ["../", "invalid attestation path name"],
  ])("does not leave the directory: attestation-prefix=%s", async (prefix, message) => {
    const output = directory();
    const done = await built(
      "--provenance=true",
      "-o",
      `type=local,dest=${output},attestation-prefix=${prefix}`,
    );
    expect(done.code).toBe(1);
    expect(done.stderr).toContain(message);
    expect(readdirSync(output)).toEqual([]);
  });

  test("needs names that differ", async () => {
    const scan: SbomScanner["scan"] = async () =>
      [1, 2].map((predicate) => ({ predicateType: "x", predicate }));
    const { error } = await workshop.tryBuild(context, {
      attestations: { sbom: { scanner: { scan } } },
      outputs: [{ kind: "local", directory: directory() }],
    });
    expect(messageOf(error)).toBe("duplicate attestation path name sbom.spdx.json");
  });
});

describe("mode=delete", () => {
  test("does not remove what davit itself keeps", async () => {
    const { dataRoot } = workshop.davit.instance;
    for (const dest of [dataRoot, dirname(dataRoot)]) {
      const done = await built("-o", `type=local,dest=${dest},mode=delete`);
      expect(done.code).toBe(1);
      expect(done.stderr).toContain("would remove what davit keeps in");
    }
  });

  test("is one of two", async () => {
    const done = await built("-o", `type=local,dest=${directory()},mode=mirror`);
    expect(done.stderr).toContain('ERROR: invalid local exporter mode "mirror"');
  });
});
