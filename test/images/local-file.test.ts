/** Archives that the engine reads from a local file itself, by ranges. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { listImages } from "../../src/images/list.ts";
import { loadImages } from "../../src/images/load.ts";
import {
  buildImage,
  dockerArchive,
  entriesOf,
  expectEmpty,
  fileLayer,
  type ImageSpec,
  load,
  sha256,
  snapshotDirectories,
  type TestStore,
  testStore,
  untar,
} from "./support.ts";
import { tar } from "./tar.ts";

const spec: ImageSpec = {
  layers: [
    fileLayer("one", crypto.getRandomValues(Buffer.alloc(60_000)).toString("hex").repeat(200)),
    fileLayer("two", "2".repeat(3_000_000)),
    fileLayer("three", "3"),
  ],
  tags: ["app:1"],
};

function archiveFile(bytes: Uint8Array): { path: string } & Disposable {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-images-"));
  const path = join(directory, "archive.tar");
  writeFileSync(path, bytes);
  return { path, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
}

async function loadFile(store: TestStore, path: string): Promise<string[]> {
  const messages = await Array.fromAsync(loadImages(store, { path }, { quiet: true }));
  return messages.flatMap(({ stream }) => (stream === undefined ? [] : [stream.trimEnd()]));
}

/** Every blob has the content that its name says. */
async function expectWholeBlobs(store: TestStore): Promise<void> {
  for (const digest of store.content.list()) {
    const bytes = await Bun.file(store.content.blobPath(digest)).bytes();
    expect(`sha256:${sha256(bytes)}`).toBe(digest);
  }
}

/** The members of a docker-archive in another order: those that `first` names before all others. */
function reordered(bytes: Uint8Array, first: (name: string) => boolean): Buffer {
  const members = [...untar(bytes)].map(([name, data]) => ({ name, data }));
  return tar([...members.filter(({ name }) => first(name)), ...members.filter(({ name }) => !first(name))]);
}

const orders: [string, (name: string) => boolean][] = [
  ["last", (name) => name.endsWith("layer.tar")],
  ["first", (name) => name === "manifest.json"],
  ["after the config and before the layers", (name) => name.endsWith(".json")],
];
for (const [place, first] of orders) {
  test(`a file loads as a stream does, with the manifest ${place}`, async () => {
    const bytes = reordered(dockerArchive(spec), first);
    await using streamed = testStore();
    await load(streamed, bytes);
    await using store = testStore();
    using archive = archiveFile(bytes);
    expect(await loadFile(store, archive.path)).toEqual(["Loaded image: app:1"]);
    expect(await listImages(store)).toEqual(await listImages(streamed));
    expect(store.content.list().sort()).toEqual(streamed.content.list().sort());
    await expectWholeBlobs(store);
    expect(entriesOf(join(store.content.path, "ingest"))).toEqual([]);
  });
}

test("files that are compressed, whole or layer by layer, load as well", async () => {
  const packings = [
    gzipSync(dockerArchive(spec), { level: 1 }),
    zstdCompressSync(dockerArchive(spec)),
    dockerArchive({ ...spec, pack: (layer) => gzipSync(layer, { level: 1 }) }),
  ];
  for (const bytes of packings) {
    await using store = testStore();
    using archive = archiveFile(bytes);
    expect(await loadFile(store, archive.path)).toEqual(["Loaded image: app:1"]);
    expect((await listImages(store)).map(({ Id }) => Id)).toEqual([buildImage(spec).id]);
  }
});

test("a layer that stands twice in an image is one blob", async () => {
  await using store = testStore();
  const layer = fileLayer("same", "s".repeat(3_000_000));
  using archive = archiveFile(dockerArchive({ layers: [layer, layer], tags: ["twice:1"] }));
  expect(await loadFile(store, archive.path)).toEqual(["Loaded image: twice:1"]);
  expect(store.content.list()).toHaveLength(3);
  expect(snapshotDirectories(store)).toHaveLength(2);
});

test("a file that is cut off, wherever that is, leaves nothing", async () => {
  await using store = testStore();
  const bytes = dockerArchive(spec);
  using archive = archiveFile(bytes);
  for (const length of [bytes.length - 2000, 20_000_000, 5_000_000, 700, 100]) {
    truncateSync(archive.path, length);
    await expect(loadFile(store, archive.path)).rejects.toThrow("unexpected EOF");
    await expectEmpty(store);
  }
});

test("a layer with another content than its diff id says is refused, whole and large as it is", async () => {
  await using store = testStore();
  const bytes = dockerArchive(spec);
  const at = bytes.indexOf(Buffer.from("2".repeat(1000)));
  bytes.write("not", at + 500_000);
  using archive = archiveFile(bytes);
  await expect(loadFile(store, archive.path)).rejects.toThrow("invalid diffID for layer 1");
  await expectEmpty(store);
});

test("a file that somebody writes to meanwhile is loaded as it was promised, or not at all", async () => {
  const bytes = dockerArchive(spec);
  for (const change of ["cut", "overwrite"] as const) {
    for (let pause = 0; pause <= 60; pause += 12) {
      await using store = testStore();
      using archive = archiveFile(bytes);
      const writer = Bun.sleep(pause).then(() => {
        if (change === "cut") truncateSync(archive.path, 1_000_000);
        else writeFileSync(archive.path, Buffer.alloc(bytes.length, "x"));
      });
      const lines = await loadFile(store, archive.path).catch((error: unknown) => String(error));
      await writer;
      if (typeof lines === "string") {
        expect(lines).toMatch(/unexpected EOF|invalid|not valid/);
        await expectEmpty(store);
      } else {
        expect(lines).toEqual(["Loaded image: app:1"]);
        await expectWholeBlobs(store);
      }
    }
  }
}, 60_000);

test("a load that is given up leaves nothing of the file's copy", async () => {
  await using store = testStore();
  using archive = archiveFile(dockerArchive(spec));
  const stop = new AbortController();
  const loading = Array.fromAsync(loadImages(store, archive, { signal: stop.signal }));
  stop.abort();
  await expect(loading).rejects.toThrow();
  await expectEmpty(store);
});
