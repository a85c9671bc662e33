/** Pull: what arrives, what is told of it, what is not asked for again. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import { namesIn } from "../../src/linux/directories.ts";
import { blob, linesOf, noise, remoteImage, shelf, testEngine, types } from "./pull-support.ts";
import { entriesOf, fileLayer } from "./support.ts";
import { tar } from "./tar.ts";

const small = remoteImage({ layers: [fileLayer("one", "1"), fileLayer("two", "2")] });
const short = (digest: string) => digest.slice(7, 19);

test("a pull tells of each layer what dockerd tells", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", small);
  const lines = linesOf(await here.pull(`${registry.name}:1`));
  const [one = "", two = ""] = small.layers.map(({ digest }) => short(digest));
  expect(lines.slice(0, 3)).toEqual([
    "1: Pulling from team/app",
    `${one}: Pulling fs layer`,
    `${two}: Pulling fs layer`,
  ]);
  for (const id of [one, two]) {
    expect(lines.filter((line) => line.startsWith(id))).toEqual([
      `${id}: Pulling fs layer`,
      `${id}: Verifying Checksum`,
      `${id}: Download complete`,
      `${id}: Pull complete`,
    ]);
  }
  expect(lines.indexOf(`${one}: Pull complete`)).toBeLessThan(lines.indexOf(`${two}: Pull complete`));
  expect(lines.slice(-2)).toEqual([
    `Digest: ${small.manifest.digest}`,
    `Status: Downloaded newer image for ${registry.name}:1`,
  ]);
});

test("bars have numbers, and a text as long as Docker's", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", remoteImage({ layers: [fileLayer("noise", noise(6_000_000))] }));
  const bars = (await here.pull(`${registry.name}:1`)).filter(({ progress }) => progress !== undefined);
  expect(bars.map(({ status }) => status)).toContain("Downloading");
  expect(bars.map(({ status }) => status)).toContain("Extracting");
  for (const { progress, progressDetail } of bars) {
    expect(progress).toMatch(/^\[=*> *\] [ \d.]+[kM]?B\/\d(\.\d+)?MB$/);
    expect(progressDetail?.total).toBeGreaterThan(6_000_000);
  }
});

test("what is here is not asked for: a second pull is one question", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", small);
  await here.pull(`${registry.name}:1`);
  registry.asked.length = 0;
  expect(linesOf(await here.pull(`${registry.name}:1`))).toEqual([
    "1: Pulling from team/app",
    `Digest: ${small.manifest.digest}`,
    `Status: Image is up to date for ${registry.name}:1`,
  ]);
  expect(registry.asked).toEqual(["HEAD manifests/1"]);
});

test("a layer that another image brought already exists", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  const next = remoteImage({ layers: [fileLayer("one", "1"), fileLayer("three", "3")] });
  registry.put("1", small);
  registry.put("2", next);
  await here.pull(`${registry.name}:1`);
  registry.asked.length = 0;
  const lines = linesOf(await here.pull(`${registry.name}:2`));
  const [shared = "", own = ""] = next.layers.map(({ digest }) => digest);
  expect(lines.slice(1, 3)).toEqual([`${short(shared)}: Already exists`, `${short(own)}: Pulling fs layer`]);
  expect(registry.asked.filter((line) => line.includes(shared))).toEqual([]);
});

test("a tag that has moved is newer; the image it was of stays under its digest", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", small);
  await here.pull(`${registry.name}:1`);
  const next = remoteImage({ layers: [fileLayer("three", "3")] });
  registry.put("1", next);
  expect(linesOf(await here.pull(`${registry.name}:1`)).at(-1)).toBe(
    `Status: Downloaded newer image for ${registry.name}:1`,
  );
  const { images } = here.engine;
  expect((await images.inspect(`${registry.name}:1`)).Id).toBe(next.id);
  const old = await images.inspect(`${registry.name}@${small.manifest.digest}`);
  expect(old).toMatchObject({ Id: small.id, RepoTags: [] });
});

test("a pull by digest gives the digest as a name, and no tag", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", small);
  const name = `${registry.name}@${small.manifest.digest}`;
  const lines = linesOf(await here.pull(name));
  expect(lines[0]).toBe(`${name}: Pulling from team/app`);
  expect(lines.at(-1)).toBe(`Status: Downloaded newer image for ${name}`);
  const [image] = await here.engine.images.list();
  expect(image).toMatchObject({ Id: small.id, RepoTags: [], RepoDigests: [name] });
});

test("all tags of a repository come with --all-tags", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", small);
  registry.put("2", remoteImage({ layers: [fileLayer("one", "1"), fileLayer("three", "3")] }));
  registry.put("3", small);
  const lines = linesOf(await here.pull(registry.name, { all: true }));
  expect(lines.at(-1)).toBe(`Status: Downloaded newer image for ${registry.name}`);
  const names = (await here.engine.images.list()).flatMap(({ RepoTags }) => RepoTags ?? []).sort();
  expect(names).toEqual(["1", "2", "3"].map((tag) => `${registry.name}:${tag}`));
  await expect(here.pull(`${registry.name}:1`, { all: true })).rejects.toThrow("tag can't be used");
});

test("the event names what was pulled", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", small);
  await here.pull(`${registry.name}:1`);
  const until = Date.now() / 1000 + 1;
  const events = await Array.fromAsync(here.engine.system.events({ since: 0, until }));
  const pulls = events.filter(({ Type, Action }) => Type === "image" && Action === "pull");
  expect(pulls.map(({ Actor }) => Actor)).toEqual([
    { ID: `${registry.name}:1`, Attributes: { name: registry.name } },
  ]);
});

test("of an index each platform that is asked for is kept under the one name", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  const platforms = ["amd64", "s390x"].map((architecture) => {
    const image = remoteImage({
      layers: [fileLayer("arch", architecture)],
      created: `2024-01-01T00:00:0${architecture.length}Z`,
    });
    return { architecture, image };
  });
  const index = blob(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: types.index,
      manifests: platforms.map(({ architecture, image }) => ({
        mediaType: types.manifest,
        digest: image.manifest.digest,
        size: image.manifest.bytes.length,
        platform: { os: "linux", architecture },
      })),
    }),
  );
  for (const { architecture, image } of platforms) registry.put(architecture, image);
  registry.manifests.set("many", { bytes: index.bytes, type: types.index });
  registry.manifests.set(index.digest, { bytes: index.bytes, type: types.index });
  for (const { architecture } of platforms) {
    const lines = linesOf(await here.pull(`${registry.name}:many`, { platform: `linux/${architecture}` }));
    expect(lines).toContain(`Digest: ${index.digest}`);
  }
  for (const { architecture, image } of platforms) {
    const platform = `linux/${architecture}`;
    expect((await here.engine.images.inspect(`${registry.name}:many`, { platform })).Id).toBe(image.id);
  }
  await expect(here.pull(`${registry.name}:many`, { platform: "linux/riscv64" })).rejects.toThrow(
    "no matching manifest for linux/riscv64 in the manifest list entries",
  );
});

const bulk = noise(3_000_000);

/** Large enough to be unpacked while they come, and each before those below it are in place. */
const stack = [
  tar([
    { name: "./", type: "5", mode: 0o711 },
    { name: "shared/", type: "5", mode: 0o2775 },
    { name: "private/", type: "5", mode: 0o700 },
    { name: "private/deep/", type: "5", mode: 0o1777 },
    { name: "gone/", type: "5" },
    { name: "gone/file", data: "1" },
    { name: "bulk-0", data: bulk },
  ]),
  tar([
    { name: "private/deep/file", data: "implied" },
    { name: "shared/file", data: "in a directory with the setgid bit" },
    { name: "gone/.wh.file" },
    { name: "new/way/file", data: "2", mode: 0o4755 },
    { name: "bulk-1", data: bulk },
  ]),
  tar([
    { name: "private/deep/other", data: "implied again" },
    { name: "new/", type: "5", mode: 0o750 },
    { name: "bulk-2", data: bulk },
  ]),
];

/** Modes and owners of all that a mounted image shows. */
async function treeOf(driver: string, name: string): Promise<string[]> {
  await using here = await testEngine({ storageDriver: driver });
  await here.pull(name);
  const { engine, dataRoot } = here;
  const [image] = await engine.images.list();
  const graph = (await engine.images.inspect(image?.Id ?? "")).GraphDriver?.Data ?? {};
  if (driver === "vfs") return listing(join(dataRoot, "vfs", topDirectory(dataRoot), "root"));
  const mounted = mkdtempSync(join(tmpdir(), "davit-test-pull-"));
  const lower = [graph.UpperDir, graph.LowerDir].filter((path) => path !== undefined).join(":");
  await Bun.$`mount -t overlay -o ro,lowerdir=${lower} overlay ${mounted}`;
  try {
    return listing(mounted);
  } finally {
    await Bun.$`umount ${mounted}`;
    rmSync(mounted, { recursive: true });
  }
}

/** The snapshot that nothing stands on. */
function topDirectory(dataRoot: string): string {
  using records = new Database(join(dataRoot, "davit.db"), { readonly: true });
  const row = records
    .query<{ directory: string }, []>(
      "SELECT directory FROM snapshots WHERE key NOT IN (SELECT parent FROM snapshots WHERE parent IS NOT NULL)",
    )
    .get();
  return row?.directory ?? "none";
}

function listing(root: string): string[] {
  return [".", ...readdirSync(root, { recursive: true, encoding: "utf8" }).sort()].map((path) => {
    const { mode, uid, gid, size } = statSync(join(root, path));
    const isDirectory = (mode & 0o170000) === 0o040000;
    return `${path} ${mode.toString(8)} ${uid}:${gid} ${isDirectory ? "" : size}`;
  });
}

for (const [name, pack] of [
  ["gzip", gzipSync],
  ["zstd", zstdCompressSync],
  ["plain", (bytes: Uint8Array) => bytes],
] as const) {
  test(`layers (${name}) that are unpacked side by side look as if it was one after the other`, async () => {
    await using registry = shelf();
    registry.put("1", remoteImage({ layers: stack, pack }));
    const overlay = await treeOf("overlay2", `${registry.name}:1`);
    expect(overlay).toEqual(await treeOf("vfs", `${registry.name}:1`));
    const modeOf = (path: string) => overlay.find((line) => line.startsWith(`${path} `))?.split(" ")[1];
    expect(modeOf(".")).toBe("40711");
    expect(modeOf("private")).toBe("40700");
    expect(modeOf("private/deep")).toBe("41777");
    expect(modeOf("shared")).toBe("42775");
    expect(modeOf("new")).toBe("40750");
    expect(modeOf("new/way/file")).toBe("104755");
    expect(modeOf("gone/file")).toBeUndefined();
  });
}

test("an image may hold the same layer twice", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  const layer = fileLayer("same", bulk);
  const image = remoteImage({ layers: [layer, fileLayer("other", "2"), layer] });
  registry.put("1", image);
  await here.pull(`${registry.name}:1`);
  expect(registry.asked.filter((line) => line === `GET blobs/${image.layers[0]?.digest}`)).toHaveLength(1);
  expect((await here.engine.images.inspect(`${registry.name}:1`)).RootFS.Layers).toHaveLength(3);
});

test("a layer's blob that is cut short in the store comes with the next pull", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", small);
  await here.pull(`${registry.name}:1`);
  const [first] = small.layers;
  const path = join(here.dataRoot, "content/blobs/sha256", first?.digest.slice(7) ?? "");
  truncateSync(path, 10);
  await here.pull(`${registry.name}:1`);
  expect(statSync(path).size).toBe(first?.bytes.length ?? 0);
});

test("a blob of the store that is damaged is fetched anew when its layer is unpacked", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", small);
  await here.pull(`${registry.name}:1`);
  // Another image with the same blob in another place of its stack, so that it has to be unpacked once more.
  const turned = remoteImage({ layers: [fileLayer("two", "2"), fileLayer("one", "1")] });
  registry.put("2", turned);
  const bytes = small.layers[1]?.bytes ?? new Uint8Array();
  const path = join(here.dataRoot, "content/blobs/sha256", small.layers[1]?.digest.slice(7) ?? "");
  writeFileSync(path, Buffer.alloc(bytes.length));
  await here.pull(`${registry.name}:2`);
  expect(gunzipSync(await Bun.file(path).bytes())).toEqual(gunzipSync(bytes));
});

for (const [what, pack, at] of [
  ["a plain layer, in the middle of a file", (layer: Uint8Array) => layer, 520],
  ["a compressed layer, where what is in it stays the same", gzipSync, 9],
] as const) {
  test(`a flipped bit of a stored blob (${what}) is found when its layer is unpacked`, async () => {
    await using registry = shelf();
    await using here = await testEngine();
    const one = fileLayer("one", "some content");
    const before = remoteImage({ layers: [one], pack });
    registry.put("1", before);
    await here.pull(`${registry.name}:1`);
    registry.put("2", remoteImage({ layers: [fileLayer("two", "2"), one], pack }));
    const [layer] = before.layers;
    const path = join(here.dataRoot, "content/blobs/sha256", layer?.digest.slice(7) ?? "");
    const bytes = Buffer.from(layer?.bytes ?? []);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    writeFileSync(path, bytes);
    await here.pull(`${registry.name}:2`);
    expect(blob(await Bun.file(path).bytes()).digest).toBe(layer?.digest ?? "");
    expect((await here.engine.system.check()).Faults).toEqual([]);
  });
}

test("a pull that was broken off goes on where it ended", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  const image = remoteImage({ layers: [fileLayer("noise", noise(24_000_000))] });
  registry.put("1", image);
  const stop = new AbortController();
  const started = (async () => {
    for await (const { status, progressDetail } of here.engine.images.pull(`${registry.name}:1`, {
      signal: stop.signal,
    })) {
      if (status === "Downloading" && (progressDetail?.current ?? 0) > 1_000_000) stop.abort();
    }
  })();
  await expect(started).rejects.toThrow();
  const partial = join(here.dataRoot, "content/partial", image.layers[0]?.digest.slice(7) ?? "");
  const before = statSync(partial).size;
  expect(before).toBeGreaterThan(0);
  registry.asked.length = 0;
  await here.pull(`${registry.name}:1`);
  const blobs = registry.asked.filter((line) => line.includes(image.layers[0]?.digest ?? ""));
  const rest =
    before === image.layers[0]?.bytes.length ? [] : [`GET blobs/${image.layers[0]?.digest} bytes=${before}-`];
  expect(blobs).toEqual(rest);
  expect(namesIn(join(here.dataRoot, "content/partial"))).toEqual([]);
  expect(entriesOf(join(here.dataRoot, "content/ingest"))).toEqual([]);
});

test("what an earlier pull left is not believed: bytes that are wrong are fetched again", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  const image = remoteImage({ layers: [fileLayer("noise", noise(3_000_000))] });
  registry.put("1", image);
  await Bun.$`mkdir -p ${join(here.dataRoot, "content/partial")}`;
  const partial = join(here.dataRoot, "content/partial", image.layers[0]?.digest.slice(7) ?? "");
  writeFileSync(partial, Buffer.alloc(1_000_000));
  await here.pull(`${registry.name}:1`);
  expect((await here.engine.images.inspect(`${registry.name}:1`)).Id).toBe(image.id);
});
