/** Loads that are killed, that meet, and that find the disk full. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { listImages } from "../../src/images/list.ts";
import { loadImages } from "../../src/images/load.ts";
import { resolveImage } from "../../src/images/resolve.ts";
import {
  buildImage,
  dockerArchive,
  entriesOf,
  expectEmpty,
  fileLayer,
  type ImageSpec,
  load,
  snapshotDirectories,
  type TestStore,
  testStore,
} from "./support.ts";
import { tarHeader } from "./tar.ts";

const spec: ImageSpec = {
  layers: [fileLayer("one", "1".repeat(3_000_000)), fileLayer("two", "2"), fileLayer("three", "3")],
  tags: ["app:1"],
};

/** A load in another process, killed at `fault` or after `milliseconds`. */
function loadElsewhere(
  store: TestStore,
  archive: string,
  fault = "",
  way: "file" | "stream" = "file",
): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  return Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, "load-process.ts"),
      store.dataRoot,
      store.execRoot,
      archive,
      way,
    ],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, DAVIT_FAULT: fault },
    },
  );
}

function archiveFile(bytes: Uint8Array): { path: string } & Disposable {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-images-"));
  const path = join(directory, "archive.tar");
  writeFileSync(path, bytes);
  return { path, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
}

const kills = (["file", "stream"] as const).flatMap((way) =>
  ["load:applied", "load:unpacked", "load:synced"].map((point) => ({ way, point })),
);
for (const { way, point } of kills) {
  test(`a load of a ${way} killed at ${point} leaves nothing once the next command has run`, async () => {
    await using store = testStore();
    using archive = archiveFile(dockerArchive(spec));
    const killed = loadElsewhere(store, archive.path, point, way);
    await killed.exited;
    expect(killed.signalCode).toBe("SIGKILL");
    expect(entriesOf(join(store.content.path, "ingest"))).toHaveLength(1);
    expect(await listImages(store)).toEqual([]);
    await expectEmpty(store);
    expect(await load(store, dockerArchive(spec))).toEqual(["Loaded image: app:1"]);
  });
}

test("a load killed after its transaction has loaded the image", async () => {
  await using store = testStore();
  using archive = archiveFile(dockerArchive(spec));
  await loadElsewhere(store, archive.path, "load:recorded").exited;
  expect((await listImages(store)).map(({ Id }) => Id)).toEqual([buildImage(spec).id]);
  expect(entriesOf(join(store.content.path, "ingest"))).toEqual([]);
  expect(store.content.list()).toHaveLength(5);
});

test("a load killed at any moment is all or nothing, and other images stay whole", async () => {
  await using store = testStore();
  const other = { layers: [fileLayer("other", "image")], tags: ["other:1"] };
  await load(store, dockerArchive(other));
  using archive = archiveFile(dockerArchive(spec));
  for (let pause = 20; pause <= 200; pause += 20) {
    const process = loadElsewhere(store, archive.path);
    await Bun.sleep(pause);
    process.kill("SIGKILL");
    await process.exited;
    const names = (await listImages(store)).flatMap(({ RepoTags }) => RepoTags).sort();
    expect([["other:1"], ["app:1", "other:1"]]).toContainEqual(names);
    const isLoaded = names.length === 2;
    expect(store.content.list()).toHaveLength(isLoaded ? 8 : 3);
    expect(snapshotDirectories(store)).toHaveLength(isLoaded ? 4 : 1);
    expect(resolveImage(store.state, store.content, "other:1").id.toString()).toBe(buildImage(other).id);
    if (isLoaded) break;
  }
});

test("two processes that load the same image at once both succeed, and it is here once", async () => {
  await using store = testStore();
  using archive = archiveFile(dockerArchive(spec));
  const loads = [1, 2, 3].map(() => loadElsewhere(store, archive.path));
  for (const process of loads) {
    expect(await new Response(process.stderr).text()).toBe("");
    expect(await process.exited).toBe(0);
    expect(await new Response(process.stdout).text()).toBe("Loaded image: app:1\n");
  }
  expect(await listImages(store)).toHaveLength(1);
  expect(store.content.list()).toHaveLength(5);
  expect(snapshotDirectories(store)).toHaveLength(3);
  expect(entriesOf(join(store.content.path, "ingest"))).toEqual([]);
});

/** A data root on a file system of its own, with `megabytes` of room. */
async function smallDisk(
  megabytes: number,
  option = "mode=755",
): Promise<{ path: string } & AsyncDisposable> {
  const path = mkdtempSync(join(tmpdir(), "davit-test-images-"));
  await Bun.$`mount -t tmpfs -o size=${megabytes}m,${option} davit-test ${path}`;
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await Bun.$`umount ${path}`;
      rmSync(path, { recursive: true });
    },
  };
}

test("a full disk is told in one line, and nothing of the image stays", async () => {
  await using disk = await smallDisk(40);
  await using store = testStore({ dataRoot: join(disk.path, "data") });
  const big = {
    layers: [fileLayer("big", crypto.getRandomValues(Buffer.alloc(60_000)).toString("hex").repeat(200))],
  };
  await expect(load(store, dockerArchive(big))).rejects.toThrow("no space left on device");
  await expectEmpty(store);
  const blobs = {
    layers: Array.from({ length: 3 }, (_, at) => fileLayer(`${at}`, String(at).repeat(16_000_000))),
  };
  await expect(load(store, dockerArchive(blobs))).rejects.toThrow("no space left on device");
  await expectEmpty(store);
  expect(await load(store, dockerArchive(spec))).toEqual(["Loaded image: app:1"]);
});

test("a layer of more files than the disk has inodes is refused, and the disk is as before", async () => {
  await using disk = await smallDisk(64, "nr_inodes=8000");
  await using store = testStore({ dataRoot: join(disk.path, "data") });
  const files = Array.from({ length: 20_000 }, (_, at) => tarHeader({ name: `d${at}/`, type: "5" }, 0));
  const many = { layers: [Buffer.concat([...files, Buffer.alloc(1024)])] };
  await expect(load(store, dockerArchive(many))).rejects.toThrow("no space left on device");
  await expectEmpty(store);
  expect(await load(store, dockerArchive(spec))).toEqual(["Loaded image: app:1"]);
});

test("ten gigabytes of zeros in a small archive do not fill a small disk", async () => {
  await using disk = await smallDisk(48);
  await using store = testStore({ dataRoot: join(disk.path, "data") });
  const frame = zstdCompressSync(Buffer.alloc(64 << 20));
  async function* bomb(): AsyncGenerator<Uint8Array> {
    yield zstdCompressSync(tarHeader({ name: "l.tar" }, 7 * 2 ** 30));
    for (let count = 0; count < 112; count += 1) yield frame;
  }
  await expect(Array.fromAsync(loadImages(store, bomb()))).rejects.toThrow("no space left on device");
  await expectEmpty(store);
});
