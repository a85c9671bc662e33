import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { applyLayer } from "../../src/images/layers/apply.ts";
import { indexTar, readTar } from "../../src/images/layers/tar-reader.ts";
import { treesTar, treeTar } from "../../src/images/layers/tree.ts";
import { makeSampleTree } from "./sample-tree.ts";
import { run, Scratch, treeFacts } from "./scratch.ts";

/** What GNU tar is told, and what the format then does not keep. */
const formats = [
  { flags: ["--format=gnu"], xattrs: false, fractions: false },
  { flags: ["--format=gnu", "--sparse"], xattrs: false, fractions: false },
  { flags: ["--format=posix", "--xattrs", "--xattrs-include=*"], xattrs: true, fractions: true },
  { flags: ["--format=posix", "--sparse", "--sparse-version=0.0"], xattrs: false, fractions: true },
  { flags: ["--format=posix", "--sparse", "--sparse-version=0.1"], xattrs: false, fractions: true },
  { flags: ["--format=posix", "--sparse", "--sparse-version=1.0"], xattrs: false, fractions: true },
];

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(Uint8Array.from(chunk));
  return Buffer.concat(parts);
}

/** The same bytes in pieces of awkward sizes. */
async function* inPieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

describe("archives that GNU tar makes are unpacked as they were packed", () => {
  for (const { flags, xattrs, fractions } of formats) {
    for (const whiteouts of ["overlay", "delete"] as const) {
      test(`${flags.join(" ")} into a target with whiteouts by ${whiteouts}`, async () => {
        using scratch = new Scratch();
        const tree = scratch.directory("tree");
        makeSampleTree(tree);
        const archive = scratch.file("layer.tar");
        run(["tar", "-C", tree, "--numeric-owner", "--sort=name", ...flags, "-cf", archive, "."]);
        const out = scratch.directory("out");
        const applied = await applyLayer({ path: archive }, { path: out, whiteouts }, { hash: true });
        const kept = { xattrs: !xattrs, fractions: !fractions };
        expect(treeFacts(out, kept)).toEqual(treeFacts(tree, kept));
        expect<string | undefined>(applied.diffId).toBe(
          `sha256:${createHash("sha256").update(readFileSync(archive)).digest("hex")}`,
        );
      });
    }
  }
});

test("an archive in pieces of any size gives the same tree as from a file", async () => {
  using scratch = new Scratch();
  const tree = scratch.directory("tree");
  makeSampleTree(tree);
  const archive = scratch.file("layer.tar");
  run([
    "tar",
    "-C",
    tree,
    "--format=posix",
    "--sparse",
    "--xattrs",
    "--xattrs-include=*",
    "-cf",
    archive,
    ".",
  ]);
  const expected = treeFacts(tree);
  for (const sizes of [[1000], [511, 1, 513], [1 << 20], [37, 65536]]) {
    const out = scratch.directory(`out-${sizes.join("-")}`);
    await applyLayer(inPieces(readFileSync(archive), sizes), { path: out, whiteouts: "overlay" });
    expect(treeFacts(out)).toEqual(expected);
  }
});

test("GNU tar unpacks what treeTar writes", async () => {
  using scratch = new Scratch();
  const tree = scratch.directory("tree");
  makeSampleTree(tree);
  const archive = scratch.file("tree.tar");
  writeFileSync(archive, await collect(treeTar(tree)));
  const out = scratch.directory("out");
  run(["tar", "-C", out, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", archive]);
  const [unpacked, packed] = [treeFacts(out), treeFacts(tree)];
  // The root itself is not in the archive, as in Docker's export.
  delete unpacked.nodes["."];
  delete packed.nodes["."];
  expect(unpacked).toEqual(packed);
});

test("treeTar writes the same bytes for the same tree, and holes cost nothing", async () => {
  using scratch = new Scratch();
  const tree = scratch.directory("tree");
  makeSampleTree(tree);
  const first = await collect(treeTar(tree));
  expect((await collect(treeTar(tree))).equals(first)).toBe(true);
  expect(first.length).toBeLessThan(8 << 20);
});

test("trees that are written side by side do not get each other's bytes", async () => {
  using scratch = new Scratch();
  const trees = ["one", "two"].map((name) => {
    const tree = scratch.directory(name);
    // Larger than what is given on at once, and not a multiple of what is read at once.
    writeFileSync(join(tree, "file"), Buffer.alloc((3 << 20) + 1234, name));
    return tree;
  });
  const alone: Buffer[] = [];
  for (const tree of trees) alone.push(await collect(treeTar(tree)));
  const together = await Promise.all(trees.map((tree) => collect(treeTar(tree))));
  for (const [at, bytes] of together.entries()) expect(bytes.equals(alone[at] ?? Buffer.of())).toBe(true);
});

test("several trees in one tar lie below their directories, hard links too", async () => {
  using scratch = new Scratch();
  const tree = scratch.directory("tree");
  makeSampleTree(tree);
  const archive = scratch.file("trees.tar");
  const parts = ["linux_amd64", "linux_arm64"].map((directory) => ({ root: tree, directory }));
  writeFileSync(archive, await collect(treesTar(parts)));
  const out = scratch.directory("out");
  run(["tar", "-C", out, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", archive]);
  const expected = treeFacts(tree);
  delete expected.nodes["."];
  for (const { directory } of parts) {
    const unpacked = treeFacts(join(out, directory));
    delete unpacked.nodes["."];
    expect(unpacked).toEqual(expected);
  }
});

test("readTar gives every member with its bytes, holes filled in", async () => {
  using scratch = new Scratch();
  const tree = scratch.directory("tree");
  makeSampleTree(tree);
  const archive = scratch.file("layer.tar");
  run([
    "tar",
    "-C",
    tree,
    "--format=posix",
    "--sparse",
    "--sort=name",
    "-cf",
    archive,
    "data",
    "dir",
    "file",
    "sparse",
  ]);
  const seen: Record<string, string> = {};
  for await (const { entry, content } of readTar({ path: archive })) {
    if (entry.type !== "file") continue;
    seen[entry.name] = createHash("sha1")
      .update(await collect(content))
      .digest("hex");
  }
  const expected = Object.fromEntries(
    ["data", "dir/inner/capable", "file", "sparse"].map((name) => [
      name,
      createHash("sha1")
        .update(readFileSync(`${tree}/${name}`))
        .digest("hex"),
    ]),
  );
  expect(seen).toEqual(expected);
});

test("members of readTar may be left unread or half read", async () => {
  using scratch = new Scratch();
  const tree = scratch.directory("tree");
  makeSampleTree(tree);
  const archive = scratch.file("layer.tar");
  run(["tar", "-C", tree, "--sort=name", "-cf", archive, "data", "dir", "file"]);
  const names: string[] = [];
  for await (const { entry, content } of readTar(inPieces(readFileSync(archive), [10_000]))) {
    names.push(entry.name);
    if (entry.name === "data") {
      for await (const chunk of content) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
    }
  }
  expect(names).toEqual(["data", "dir/", "dir/inner/", "dir/inner/capable", "file"]);
});

test("indexTar finds where each member's bytes lie without reading them", async () => {
  using scratch = new Scratch();
  const tree = scratch.directory("tree");
  makeSampleTree(tree);
  const archive = scratch.file("layer.tar");
  run(["tar", "-C", tree, "--format=gnu", "-cf", archive, "data", "long", "file"]);
  const bytes = readFileSync(archive);
  const index = indexTar({ path: archive });
  const data = index.find(({ entry }) => entry.name === "data");
  expect(data?.storedSize).toBe(300_000);
  const at = data?.offset ?? 0;
  expect(bytes.subarray(at, at + 300_000).equals(readFileSync(`${tree}/data`))).toBe(true);
  expect(index.at(-1)?.entry.name).toBe("file");
  writeFileSync(archive, bytes.subarray(0, 100_000));
  expect(() => indexTar({ path: archive })).toThrow("unexpected EOF");
});

test("an archive inside an archive is read by its range", async () => {
  using scratch = new Scratch();
  const tree = scratch.directory("tree");
  makeSampleTree(tree);
  run([
    "tar",
    "-C",
    tree,
    "--format=posix",
    "--xattrs",
    "--xattrs-include=*",
    "-cf",
    scratch.file("layer.tar"),
    ".",
  ]);
  run(["tar", "-C", scratch.path, "-cf", scratch.file("outer.tar"), "layer.tar"]);
  const [inner] = indexTar({ path: scratch.file("outer.tar") });
  const out = scratch.directory("out");
  const source = {
    path: scratch.file("outer.tar"),
    offset: inner?.offset ?? 0,
    length: inner?.storedSize ?? 0,
  };
  await applyLayer(source, { path: out, whiteouts: "overlay" });
  expect(treeFacts(out)).toEqual(treeFacts(tree));
});
