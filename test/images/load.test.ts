import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { imageHistory } from "../../src/images/history.ts";
import { inspectImage } from "../../src/images/inspect.ts";
import { listImages } from "../../src/images/list.ts";
import { loadImages } from "../../src/images/load.ts";
import { resolveImage } from "../../src/images/resolve.ts";
import { lastEventId } from "../../src/state/events.ts";
import {
  buildImage,
  dockerArchive,
  fileLayer,
  load,
  sha256,
  snapshotDirectories,
  streamOf,
  testStore,
} from "./support.ts";
import { type TarFile, tar } from "./tar.ts";

const bottom = fileLayer("etc/motd", "hello\n");
const top = fileLayer("etc/issue", "davit\n");

test("an image that docker save wrote is here after load, with its name, config and files", async () => {
  await using store = testStore();
  const spec = { layers: [bottom, top], tags: ["app:1.0"], config: { Env: ["A=b"], Labels: { x: "y" } } };
  const { id, diffIds } = buildImage(spec);
  expect(await load(store, dockerArchive(spec))).toEqual(["Loaded image: app:1.0"]);

  const [summary, ...others] = await listImages(store);
  expect(others).toEqual([]);
  expect(summary).toMatchObject({
    Id: id,
    RepoTags: ["app:1.0"],
    Labels: { x: "y" },
    Size: 12,
    Containers: -1,
  });
  expect(summary?.Created).toBe(Date.parse("2024-05-06T07:08:09Z") / 1000);

  const image = await inspectImage(store, "app:1.0");
  expect(image).toMatchObject({
    Id: id,
    Architecture: "amd64",
    Os: "linux",
    Created: "2024-05-06T07:08:09.123456789Z",
    Config: { Cmd: ["sh"], Env: ["A=b"] },
    RootFS: { Type: "layers", Layers: diffIds },
    GraphDriver: { Name: store.snapshots.driver },
  });
  const history = imageHistory(store, "app:1.0");
  expect(history.map(({ Id, CreatedBy, Size, Tags }) => ({ Id, CreatedBy, Size, Tags }))).toEqual([
    { Id: id, CreatedBy: "step 1", Size: 6, Tags: ["app:1.0"] },
    { Id: "<missing>", CreatedBy: "step 0", Size: 6, Tags: null },
  ]);

  const resolved = resolveImage(store.state, store.content, "app:1.0");
  expect(resolved.chainIds.map(String)).toEqual([
    diffIds[0] ?? "",
    `sha256:${sha256(`${diffIds[0]} ${diffIds[1]}`)}`,
  ]);
  await store.snapshots.prepare("c1", resolved.topChainId);
  const root = await store.snapshots.mount("c1");
  expect(readFileSync(join(root, "etc/motd"), "utf8")).toBe("hello\n");
  expect(readFileSync(join(root, "etc/issue"), "utf8")).toBe("davit\n");
  await store.snapshots.unmount("c1");
  await store.snapshots.remove("c1");
  expect(lastEventId(store.state)).toBe(1);
});

test("an image is found by name, id, and the beginning of its id", async () => {
  await using store = testStore();
  const spec = { layers: [bottom], tags: ["app:latest", "localhost:5000/other:2"] };
  const { id } = buildImage(spec);
  await load(store, dockerArchive(spec));
  for (const word of [
    "app",
    "docker.io/library/app:latest",
    "localhost:5000/other:2",
    id,
    id.slice(0, 15),
    id.slice(7),
    id.slice(7, 19),
  ]) {
    expect([word, resolveImage(store.state, store.content, word).id.toString()]).toEqual([word, id]);
  }
  expect(resolveImage(store.state, store.content, "app").tags).toEqual([
    "app:latest",
    "localhost:5000/other:2",
  ]);
  const missing = (word: string) => () => resolveImage(store.state, store.content, word);
  expect(missing("nothing")).toThrow("No such image: nothing:latest");
  expect(missing("app:2")).toThrow("No such image: app:2");
  expect(missing("App")).toThrow("invalid reference format: repository name (library/App) must be lowercase");
  expect(missing(`sha256:${"0".repeat(64)}`)).toThrow(`No such image: sha256:${"0".repeat(64)}`);
});

const packings: [name: string, pack: (bytes: Uint8Array) => Uint8Array][] = [
  ["plain", (bytes) => bytes],
  ["gzip", (bytes) => gzipSync(bytes)],
  ["zstd", (bytes) => zstdCompressSync(bytes)],
];
for (const [outer, packArchive] of packings) {
  for (const [inner, packLayer] of packings) {
    test(`a ${outer} archive with ${inner} layers is read`, async () => {
      await using store = testStore();
      const spec = { layers: [bottom, top], tags: ["packed:latest"], pack: packLayer };
      await load(store, packArchive(dockerArchive(spec)));
      const resolved = resolveImage(store.state, store.content, "packed");
      expect(resolved.id.toString()).toBe(buildImage(spec).id);
      expect(store.content.list()).toHaveLength(4);
    });
  }
}

test("an image without names is told by its id", async () => {
  await using store = testStore();
  const spec = { layers: [bottom] };
  expect(await load(store, dockerArchive(spec))).toEqual([`Loaded image ID: ${buildImage(spec).id}`]);
  expect((await listImages(store))[0]?.RepoTags).toEqual([]);
});

test("a name that another image had moves, and load says so", async () => {
  await using store = testStore();
  const old = { layers: [bottom], tags: ["app:latest"] };
  await load(store, dockerArchive(old));
  expect(await load(store, dockerArchive({ layers: [top], tags: ["app:latest"] }))).toEqual([
    `The image app:latest already exists, renaming the old one with ID ${buildImage(old).id} to empty string`,
    "Loaded image: app:latest",
  ]);
  expect((await listImages(store)).map(({ RepoTags }) => RepoTags)).toContainEqual([]);
});

test("identical layers exist once, in one image and across images", async () => {
  await using store = testStore();
  await load(
    store,
    dockerArchive({ layers: [bottom, top, top], tags: ["a:1"] }, { layers: [bottom], tags: ["b:1"] }),
  );
  await load(store, dockerArchive({ layers: [bottom], tags: ["c:1"], config: { User: "x" } }));
  // Two layer blobs; three configs and manifests.
  expect(store.content.list()).toHaveLength(2 + 3 * 2);
  expect(snapshotDirectories(store)).toHaveLength(3);
});

test("loading what is here already changes nothing", async () => {
  await using store = testStore();
  const archive = dockerArchive({ layers: [bottom, top], tags: ["app:1"] });
  await load(store, archive);
  const before = [store.content.list().sort(), snapshotDirectories(store).sort()];
  expect(await load(store, archive)).toEqual(["Loaded image: app:1"]);
  expect([store.content.list().sort(), snapshotDirectories(store).sort()]).toEqual(before);
});

test("links between identical layers inside an archive are followed", async () => {
  await using store = testStore();
  const { config, id, diffIds } = buildImage({ layers: [bottom, bottom] });
  const manifest = [{ Config: "c.json", RepoTags: ["linked:1"], Layers: ["a/layer.tar", "b/layer.tar"] }];
  await load(
    store,
    tar([
      { name: "a/", type: "5" },
      { name: "a/layer.tar", data: bottom },
      { name: "b/", type: "5" },
      { name: "b/layer.tar", type: "2", link: "../a/layer.tar" },
      { name: "c.json", data: config },
      { name: "manifest.json", data: JSON.stringify(manifest) },
    ]),
  );
  const image = await inspectImage(store, "linked:1");
  expect([image.Id, image.RootFS.Layers]).toEqual([id, diffIds]);
});

test("an archive of the time before manifest.json is read by its repositories and layer directories", async () => {
  await using store = testStore();
  const [one, two] = ["1".repeat(64), "2".repeat(64)];
  const layer = (id: string, data: Uint8Array, more: object): TarFile[] => [
    { name: `${id}/`, type: "5" },
    { name: `${id}/VERSION`, data: "1.0" },
    {
      name: `${id}/json`,
      data: JSON.stringify({
        id,
        created: "2015-01-02T03:04:05Z",
        os: "linux",
        architecture: "amd64",
        ...more,
      }),
    },
    { name: `${id}/layer.tar`, data },
  ];
  const lines = await load(
    store,
    tar([
      ...layer(one, bottom, { container_config: { Cmd: ["/bin/sh", "-c", "#(nop) ADD"] } }),
      ...layer(two, top, { parent: one, config: { Cmd: ["top"] }, author: "someone" }),
      { name: "repositories", data: JSON.stringify({ old: { latest: two } }) },
    ]),
  );
  expect(lines).toEqual(["Loaded image: old:latest"]);
  const image = await inspectImage(store, "old");
  expect(image).toMatchObject({ Author: "someone", Config: { Cmd: ["top"] } });
  expect(image.RootFS.Layers).toEqual([`sha256:${sha256(bottom)}`, `sha256:${sha256(top)}`]);
  expect(imageHistory(store, "old").map(({ CreatedBy }) => CreatedBy)).toEqual(["", "/bin/sh -c #(nop) ADD"]);
});

const ociTypes = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
};

/** An OCI layout whose index.json names `roots`, with all `blobs`. */
function ociArchive(roots: object[], blobs: (Uint8Array | string)[]): Buffer {
  return tar([
    { name: "./oci-layout", data: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
    ...blobs.map((data) => ({ name: `./blobs/sha256/${sha256(data)}`, data })),
    { name: "./index.json", data: JSON.stringify({ schemaVersion: 2, manifests: roots }) },
  ]);
}

function descriptor(mediaType: string, data: Uint8Array | string, more: object = {}): object {
  return { mediaType, digest: `sha256:${sha256(data)}`, size: Buffer.byteLength(data), ...more };
}

function ociImage(architecture: string): {
  manifest: string;
  blobs: (Uint8Array | string)[];
  config: string;
} {
  const layer = fileLayer("arch", architecture);
  const packed = gzipSync(layer);
  const config = JSON.stringify({
    architecture,
    os: "linux",
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: ociTypes.manifest,
    config: descriptor(ociTypes.config, config),
    layers: [descriptor(ociTypes.layer, packed)],
  });
  return { manifest, config, blobs: [manifest, config, packed] };
}

/** Three platforms, one of them this machine's, in a named index. */
function severalPlatforms() {
  const own = process.arch === "x64" ? "amd64" : process.arch;
  const images = ["s390x", own, "riscv64"].map((architecture) => ({
    architecture,
    ...ociImage(architecture),
  }));
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: ociTypes.index,
    manifests: images.map(({ architecture, manifest }) =>
      descriptor(ociTypes.manifest, manifest, { platform: { os: "linux", architecture } }),
    ),
  });
  const root = descriptor(ociTypes.index, index, {
    annotations: {
      "io.containerd.image.name": "ghcr.io/some/app:v1",
      "org.opencontainers.image.ref.name": "v1",
    },
  });
  return { own, index, archive: ociArchive([root], [index, ...images.flatMap(({ blobs }) => blobs)]) };
}

test("of an OCI index all platforms are taken; the name stands for this machine's", async () => {
  await using store = testStore();
  const { own, index, archive } = severalPlatforms();
  expect(await load(store, archive)).toEqual(["Loaded image: ghcr.io/some/app:v1"]);
  expect((await inspectImage(store, "ghcr.io/some/app:v1")).Architecture).toBe(own);
  for (const architecture of ["s390x", "riscv64"]) {
    const image = await inspectImage(store, "ghcr.io/some/app:v1", { platform: `linux/${architecture}` });
    expect(image.Architecture).toBe(architecture);
    expect(image.RepoTags).toEqual(["ghcr.io/some/app:v1"]);
  }
  // The index is kept to the byte, and index.json leads to it.
  expect(readFileSync(join(store.content.path, "blobs/sha256", sha256(index)), "utf8")).toBe(index);
  expect(JSON.parse(readFileSync(join(store.content.path, "index.json"), "utf8")).manifests).toEqual([
    expect.objectContaining({ digest: `sha256:${sha256(index)}`, mediaType: ociTypes.index }),
  ]);
});

test("of an OCI index only the platforms that are asked for are taken", async () => {
  await using store = testStore();
  const { archive } = severalPlatforms();
  const options = { quiet: true, platforms: ["linux/s390x"] };
  await Array.fromAsync(loadImages(store, streamOf(archive), options));
  expect((await inspectImage(store, "ghcr.io/some/app:v1")).Architecture).toBe("s390x");
  // The index, and manifest, config and layer of one image.
  expect(store.content.list()).toHaveLength(4);
  await expect(
    Array.fromAsync(loadImages(store, streamOf(archive), { platforms: ["linux/mips64"] })),
  ).rejects.toThrow("no matching manifest for linux/mips64 in the manifest list entries");
});

test("a name in an OCI annotation may be a full name; a mere tag names nothing", async () => {
  await using store = testStore();
  const { manifest, blobs, config } = ociImage("amd64");
  const named = (name: string) =>
    descriptor(ociTypes.manifest, manifest, { annotations: { "org.opencontainers.image.ref.name": name } });
  expect(await load(store, ociArchive([named("latest")], blobs))).toEqual([
    `Loaded image ID: sha256:${sha256(config)}`,
  ]);
  expect(await load(store, ociArchive([named("docker.io/library/a:1"), named("b:2")], blobs))).toEqual([
    "Loaded image: a:1",
    "Loaded image: b:2",
  ]);
});
