/** Registries that lie, break off or have too much: a clear word, and nothing of it stays. */

import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { namesIn } from "../../src/linux/directories.ts";
import { noise, type RemoteImage, remoteImage, shelf, type TestEngine, testEngine } from "./pull-support.ts";
import { entriesOf, fileLayer } from "./support.ts";
import { tar } from "./tar.ts";

const layers = [fileLayer("one", noise(2_500_000)), fileLayer("two", "2")];
const honest = remoteImage({ layers });

/** No image, layer, snapshot, blob or session; a download that can go on is allowed. */
function expectNothing({ dataRoot }: TestEngine): void {
  using records = new Database(join(dataRoot, "davit.db"), { readonly: true });
  for (const table of ["images", "tags", "repo_digests", "layers", "snapshots"]) {
    expect([table, records.query(`SELECT * FROM ${table}`).all()]).toEqual([table, []]);
  }
  expect(entriesOf(join(dataRoot, "content/blobs/sha256"))).toEqual([]);
  expect(entriesOf(join(dataRoot, "content/ingest"))).toEqual([]);
  expect(namesIn(join(dataRoot, "overlay2")).filter((name) => name !== "lock")).toEqual([]);
}

const lies: [string, () => RemoteImage, RegExp][] = [
  [
    "a layer with another content than its digest says",
    () => withBlob(honest, 0, Buffer.alloc(honest.layers[0]?.bytes.length ?? 0)),
    /filesystem layer verification failed for digest sha256:/,
  ],
  [
    "a layer larger than its descriptor says",
    () => remoteImage({ layers }, (manifest) => Object.assign(manifest.layers[0] ?? {}, { size: 1000 })),
    /more than|promised|size|1000/,
  ],
  [
    "fewer layers than the config has",
    () => remoteImage({ layers }, (manifest) => manifest.layers.pop()),
    /layers length mismatch: expected 1, got 2/,
  ],
  [
    "10,000 layers",
    () =>
      remoteImage({ layers }, (manifest) => {
        manifest.layers = Array.from({ length: 10_000 }, () => manifest.layers[0] ?? {});
      }),
    /layers|127/,
  ],
  [
    "a layer that is no archive",
    () => remoteImage({ layers: [layers[1] ?? Buffer.alloc(0), noise(3_000_000)], pack: (bytes) => bytes }),
    /invalid tar header/,
  ],
  [
    "a file that is outside of the layer",
    () =>
      remoteImage({
        layers: [
          tar([
            { name: "../../escape", data: "x" },
            { name: "b", data: noise(2_200_000) },
          ]),
        ],
      }),
    /outside of "\/"/,
  ],
  [
    "a foreign layer",
    () =>
      remoteImage({ layers }, (manifest) =>
        Object.assign(manifest.layers[0] ?? {}, {
          mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        }),
      ),
    /foreign/,
  ],
];

function withBlob(image: RemoteImage, position: number, bytes: Uint8Array): RemoteImage {
  const digest = image.layers[position]?.digest;
  return { ...image, blobs: image.blobs.map((item) => (item.digest === digest ? { digest, bytes } : item)) };
}

for (const [what, image, words] of lies) {
  test(`${what} is refused, and nothing stays`, async () => {
    await using registry = shelf();
    await using here = await testEngine();
    registry.put("1", image());
    await expect(here.pull(`${registry.name}:1`)).rejects.toThrow(words);
    expectNothing(here);
    // And the truth is taken afterwards.
    registry.put("1", honest);
    await here.pull(`${registry.name}:1`);
    expect((await here.engine.images.inspect(`${registry.name}:1`)).Id).toBe(honest.id);
  });
}

for (const size of [100, 2_500_000]) {
  test(`layers in another order than the config says are refused (${size} bytes)`, async () => {
    await using registry = shelf();
    await using here = await testEngine();
    const pair = [fileLayer("one", noise(size)), fileLayer("two", noise(size))];
    registry.put(
      "1",
      remoteImage({ layers: pair }, (manifest) => manifest.layers.reverse()),
    );
    await expect(here.pull(`${registry.name}:1`)).rejects.toThrow(/invalid diffID for layer \d: expected/);
    expectNothing(here);
  });
}

test("a known layer under a blob that holds another is refused", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", honest);
  await here.pull(`${registry.name}:1`);
  const swapped = remoteImage({ layers, created: "2020-01-01T00:00:00Z" }, (manifest) =>
    manifest.layers.reverse(),
  );
  registry.put("2", swapped);
  await expect(here.pull(`${registry.name}:2`)).rejects.toThrow(/invalid diffID for layer \d: expected/);
  expect(await here.engine.images.list()).toHaveLength(1);
});

test("a tag that moves between two requests mixes nothing", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  const other = remoteImage({ layers: [fileLayer("other", "3")] });
  registry.put("1", honest);
  registry.answer = (path) => {
    if (path === "manifests/1") queueMicrotask(() => registry.put("1", other));
    return undefined;
  };
  await here.pull(`${registry.name}:1`);
  const { Id, RepoDigests } = await here.engine.images.inspect(`${registry.name}:1`);
  expect([Id, RepoDigests]).toEqual([honest.id, [`${registry.name}@${honest.manifest.digest}`]]);
});

test("of one layer that fails the others are told nothing good", async () => {
  await using registry = shelf();
  await using here = await testEngine();
  registry.put("1", honest);
  registry.answer = (path) =>
    path === `blobs/${honest.layers[1]?.digest}`
      ? Response.json(
          { errors: [{ code: "BLOB_UNKNOWN", message: "blob unknown to registry" }] },
          { status: 404 },
        )
      : undefined;
  await expect(here.pull(`${registry.name}:1`)).rejects.toThrow("blob unknown");
  expectNothing(here);
});

async function smallDisk(megabytes: number): Promise<{ path: string } & AsyncDisposable> {
  const path = mkdtempSync(join(tmpdir(), "davit-test-pull-disk-"));
  await Bun.$`mount -t tmpfs -o size=${megabytes}m davit-test ${path}`;
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await Bun.$`umount ${path}`;
      rmSync(path, { recursive: true });
    },
  };
}

test("a disk that fills up in the middle of a pull is told in one line, and gets its room back", async () => {
  await using disk = await smallDisk(48);
  await using registry = shelf();
  await using here = await testEngine({ dataRoot: join(disk.path, "data") });
  const large = [1, 2, 3, 4].map((number) => fileLayer(String(number), noise(10_000_000)));
  registry.put("large", remoteImage({ layers: large }));
  registry.put("1", honest);
  await expect(here.pull(`${registry.name}:large`)).rejects.toThrow("no space left on device");
  expectNothing(here);
  expect(namesIn(join(here.dataRoot, "content/partial"))).toEqual([]);
  await here.pull(`${registry.name}:1`);
  expect(await here.engine.images.list()).toHaveLength(1);
});
