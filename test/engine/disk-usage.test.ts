/** What `system df` tells, against what `du` finds on the disk. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describeInstance } from "../../src/core/instance.ts";
import { openLocalEngine } from "../../src/engine/local/index.ts";
import { dockerArchive, streamOf } from "../images/support.ts";
import { tar } from "../images/tar.ts";

/** Bytes of all files below a directory, hard links once, directories not counted: `du` of the files alone. */
function du(directory: string): number {
  const find = Bun.spawnSync(["find", directory, "-type", "f", "-print0"]);
  const total = Bun.spawnSync(["du", "--apparent-size", "--block-size=1", "-c", "--files0-from=-"], {
    stdin: find.stdout,
  });
  const last = total.stdout.toString().trimEnd().split("\n").at(-1) ?? "";
  return Number(last.split("\t")[0]);
}

const base = tar([
  { name: "bin/", type: "5" },
  { name: "bin/tool", data: "t".repeat(400_000) },
  { name: "bin/again", type: "1", link: "bin/tool" },
  { name: "etc/file", data: "f".repeat(1000) },
]);
const image = (name: string, size: number) => ({
  layers: [base, tar([{ name, data: name.repeat(size) }, { name: "etc/.wh.file" }])],
  pack: gzipSync,
  tags: [`${name}:1`],
});

test("layers, blobs, and what images share, are what du finds", async () => {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-"));
  const { dataRoot, ...roots } = describeInstance(join(directory, "data"), join(directory, "exec"));
  const engine = await openLocalEngine({
    instance: { dataRoot, ...roots },
    self: [process.execPath],
    searchPath: "",
  });
  try {
    expect(await engine.system.diskUsage()).toEqual({
      LayersSize: 0,
      BlobsSize: 0,
      Images: [],
      Containers: [],
      Volumes: [],
      BuildCache: [],
    });
    for (const spec of [image("a", 70_000), image("b", 90_000)]) {
      await Array.fromAsync(engine.images.load(streamOf(dockerArchive(spec))));
    }
    const usage = await engine.system.diskUsage();
    expect(usage.LayersSize).toBe(du(join(dataRoot, "overlay2")));
    expect(usage.LayersSize).toBe(401_000 + 70_000 + 90_000);
    expect(usage.BlobsSize).toBe(du(join(dataRoot, "content/blobs")));
    const sizes = usage.Images.map(({ RepoTags, Size, SharedSize }) => [
      RepoTags[0],
      Size,
      SharedSize,
    ]).sort();
    expect(sizes).toEqual([
      ["a:1", 471_000, 401_000],
      ["b:1", 491_000, 401_000],
    ]);

    await engine.images.remove("a:1");
    const after = await engine.system.diskUsage();
    expect(after.LayersSize).toBe(du(join(dataRoot, "overlay2")));
    expect(after.LayersSize).toBe(401_000 + 90_000);
    expect(after.BlobsSize).toBe(du(join(dataRoot, "content/blobs")));
    expect(after.Images[0]?.SharedSize).toBe(0);
  } finally {
    await engine.close();
    rmSync(directory, { recursive: true });
  }
});
