import { expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { inspectImage } from "../../src/images/inspect.ts";
import { removeImage } from "../../src/images/remove.ts";
import { saveImages } from "../../src/images/save.ts";
import { tagImage } from "../../src/images/tag.ts";
import {
  buildImage,
  dockerArchive,
  entriesOf,
  fileLayer,
  load,
  sha256,
  type TestStore,
  testStore,
  untar,
} from "./support.ts";

const shared = fileLayer("shared", "by both");
const one = { layers: [shared, fileLayer("one", "1")], tags: ["one:1", "one:latest", "ghcr.io/x/one:2"] };
const two = { layers: [shared, fileLayer("two", "2")], tags: ["two:1"] };

async function save(store: TestStore, ...references: string[]): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(saveImages(store, references)));
}

function json(members: Map<string, Buffer>, name: string): unknown {
  return JSON.parse(members.get(name)?.toString() ?? "");
}

test("what is saved is loaded elsewhere as the very same images, under the same names", async () => {
  await using here = testStore();
  await using there = testStore();
  await load(here, dockerArchive(one, two));
  const archive = await save(here, "one:1", "two:1");
  expect(await load(there, archive)).toEqual(["Loaded image: one:1", "Loaded image: two:1"]);
  for (const name of ["one:1", "two:1"]) {
    const { RootFS, Id } = await inspectImage(there, name);
    expect({ RootFS, Id }).toMatchObject({ Id: (await inspectImage(here, name)).Id });
  }
  expect(there.content.list().sort()).toEqual(here.content.list().sort());
  expect(await save(there, "one:1", "two:1")).toEqual(archive);
});

test("an archive is both a docker-archive and an OCI layout, with each blob once", async () => {
  await using store = testStore();
  await load(store, dockerArchive(one, two));
  const members = untar(await save(store, "one:1", "two"));
  const [imageOne, imageTwo] = [buildImage(one), buildImage(two)];
  const blob = (digest: string | undefined) => `blobs/sha256/${digest?.slice("sha256:".length)}`;
  expect(json(members, "oci-layout")).toEqual({ imageLayoutVersion: "1.0.0" });
  expect(json(members, "manifest.json")).toMatchObject([
    { Config: blob(imageOne.id), RepoTags: ["one:1"], Layers: imageOne.diffIds.map(blob) },
    { Config: blob(imageTwo.id), RepoTags: ["two:1"], Layers: imageTwo.diffIds.map(blob) },
  ]);
  expect(json(members, "repositories")).toEqual({
    one: { "1": imageOne.diffIds[1]?.slice(7) },
    two: { "1": imageTwo.diffIds[1]?.slice(7) },
  });
  expect(json(members, "index.json")).toMatchObject({
    manifests: [
      {
        annotations: { "io.containerd.image.name": "docker.io/library/one:1" },
        platform: { architecture: "amd64" },
      },
      { annotations: { "io.containerd.image.name": "docker.io/library/two:1" } },
    ],
  });
  const blobs = [...members.keys()].filter((name) => /^blobs\/sha256\/./.test(name));
  // Three layers, two configs, two manifests.
  expect(blobs).toHaveLength(7);
  for (const name of blobs) expect(name).toBe(`blobs/sha256/${sha256(members.get(name) ?? "")}`);
});

test("a name without tag saves all tags of its repository, an id saves none", async () => {
  await using store = testStore();
  await load(store, dockerArchive(one));
  const tags = async (reference: string) => {
    const [item] = json(untar(await save(store, reference)), "manifest.json") as {
      RepoTags: string[] | null;
    }[];
    return item?.RepoTags;
  };
  expect(await tags("one")).toEqual(["one:1", "one:latest"]);
  expect(await tags("one:1")).toEqual(["one:1"]);
  expect(await tags(buildImage(one).id)).toBeNull();
  expect(await tags(buildImage(one).id.slice(7, 19))).toBeNull();
});

for (const [name, pack] of [
  ["gzip", gzipSync],
  ["zstd", zstdCompressSync],
] as const) {
  test(`layers that came with ${name} go out with it`, async () => {
    await using here = testStore();
    await using there = testStore();
    await load(here, dockerArchive({ ...two, pack: (layer) => pack(layer) }));
    expect(await load(there, await save(here, "two:1"))).toEqual(["Loaded image: two:1"]);
    expect(there.content.list().sort()).toEqual(here.content.list().sort());
  });
}

test("an image that is not there is told before anything is written", async () => {
  await using store = testStore();
  await load(store, dockerArchive(two));
  await expect(saveImages(store, ["two:1", "none"]).next()).rejects.toThrow("No such image: none:latest");
});

test("an image that is removed while it is being saved is saved whole", async () => {
  await using here = testStore();
  await using there = testStore();
  await load(here, dockerArchive(two));
  const chunks = saveImages(here, ["two:1"]);
  const parts = [(await chunks.next()).value ?? new Uint8Array()];
  await removeImage(here, "two:1");
  expect(here.content.list()).toEqual([]);
  for await (const chunk of chunks) parts.push(chunk);
  expect(await load(there, Buffer.concat(parts))).toEqual(["Loaded image: two:1"]);
  expect(entriesOf(`${here.content.path}/ingest`)).toEqual([]);
});

test("tag gives an image one more name, also one that another image had", async () => {
  await using store = testStore();
  await load(store, dockerArchive(one, two));
  tagImage(store, "one:1", "two:1");
  tagImage(store, buildImage(one).id, "localhost:5000/fresh");
  expect((await inspectImage(store, "two:1")).Id).toBe(buildImage(one).id);
  expect((await inspectImage(store, "localhost:5000/fresh:latest")).Id).toBe(buildImage(one).id);
  expect((await inspectImage(store, buildImage(two).id)).RepoTags).toEqual([]);
  expect(() => tagImage(store, "none", "x")).toThrow("No such image: none:latest");
  expect(() => tagImage(store, "one:1", "X")).toThrow("must be lowercase");
  expect(() => tagImage(store, "one:1", `x@sha256:${"0".repeat(64)}`)).toThrow(
    "refusing to create a tag with a digest reference",
  );
});
