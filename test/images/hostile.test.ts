/** Archives that are broken or mean harm: one clear line, and nothing is left. */
import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { loadImages } from "../../src/images/load.ts";
import {
  buildImage,
  dockerArchive,
  expectEmpty,
  fileLayer,
  load,
  sha256,
  streamOf,
  testStore,
} from "./support.ts";
import { type TarFile, tar, tarHeader } from "./tar.ts";

const layer = fileLayer("file", "content");
const good = buildImage({ layers: [layer] });
const text = (value: unknown) => JSON.stringify(value);
const item = (more: object = {}) =>
  text([{ Config: "c.json", RepoTags: ["x:1"], Layers: ["l.tar"], ...more }]);

/** A good archive in which some files are replaced or, by null, left out. */
function archiveWith(changes: Record<string, Uint8Array | string | null>): Buffer {
  const files: Record<string, Uint8Array | string | null> = {
    "c.json": good.config,
    "l.tar": layer,
    "manifest.json": item(),
    ...changes,
  };
  return tar(
    Object.entries(files).flatMap(([name, data]): TarFile[] => (data === null ? [] : [{ name, data }])),
  );
}

function configWith(more: object): string {
  return text({ ...JSON.parse(good.config.toString()), ...more });
}

const wrong = `sha256:${"0".repeat(64)}`;

const archives: [what: string, archive: () => Uint8Array, message: string | RegExp][] = [
  ["nothing at all", () => new Uint8Array(), /invalid archive|unexpected EOF/],
  ["no tar", () => Buffer.from("hello world ".repeat(200)), /./],
  [
    "a tar that holds no image",
    () => tar([{ name: "etc/passwd", data: "root" }]),
    /^invalid archive: it has neither/,
  ],
  [
    "a manifest.json that is no JSON",
    () => archiveWith({ "manifest.json": "{" }),
    /^manifest\.json is not valid JSON/,
  ],
  [
    "a manifest.json of another kind",
    () => archiveWith({ "manifest.json": '"x"' }),
    "manifest.json is not a list",
  ],
  [
    "a manifest.json nested too deeply",
    () => archiveWith({ "manifest.json": "[".repeat(2_000_000) }),
    /^manifest\.json is not/,
  ],
  [
    "a huge manifest.json",
    () => archiveWith({ "manifest.json": " ".repeat(5_000_000) }),
    /"manifest.json" has 5000000 bytes/,
  ],
  ["a huge config", () => archiveWith({ "c.json": " ".repeat(5_000_000) }), /"c.json" has 5000000 bytes/],
  ["no config", () => archiveWith({ "c.json": null }), 'invalid archive: it has no file "c.json"'],
  ["no layer", () => archiveWith({ "l.tar": null }), 'invalid archive: it has no file "l.tar"'],
  [
    "a config by a path out of the archive",
    () => archiveWith({ "manifest.json": item({ Config: "../../../etc/passwd" }) }),
    /it has no file/,
  ],
  [
    "a layer by an absolute path",
    () => archiveWith({ "manifest.json": item({ Layers: ["/etc/passwd"] }) }),
    /it has no file/,
  ],
  [
    "more layers than the config has",
    () => archiveWith({ "manifest.json": item({ Layers: ["l.tar", "l.tar"] }) }),
    "invalid manifest, layers length mismatch: expected 2, got 1",
  ],
  [
    "128 layers",
    () =>
      archiveWith({
        "manifest.json": item({ Layers: Array(128).fill("l.tar") }),
        "c.json": configWith({ rootfs: { type: "layers", diff_ids: Array(128).fill(good.diffIds[0]) } }),
      }),
    /more than 127 items/,
  ],
  [
    "a config without rootfs",
    () => archiveWith({ "c.json": configWith({ rootfs: undefined }) }),
    "invalid image JSON, no RootFS key",
  ],
  [
    "a layer with another digest",
    () => archiveWith({ "c.json": configWith({ rootfs: { type: "layers", diff_ids: [wrong] } }) }),
    `invalid diffID for layer 0: expected "${wrong}", got "${good.diffIds[0]}"`,
  ],
  [
    "a gzip layer with another digest",
    () =>
      archiveWith({
        "l.tar": gzipSync(layer),
        "c.json": configWith({ rootfs: { type: "layers", diff_ids: [wrong] } }),
      }),
    /^invalid diffID for layer 0/,
  ],
  [
    "a diff id that is none",
    () => archiveWith({ "c.json": configWith({ rootfs: { type: "layers", diff_ids: ["md5:1"] } }) }),
    /is not a sha256 digest$/,
  ],
  [
    "a config of a wrong type",
    () => archiveWith({ "c.json": configWith({ config: { Env: "A=b" } }) }),
    /Env is not a list$/,
  ],
  [
    "a config whose name is another digest",
    () =>
      archiveWith({
        "manifest.json": item({ Config: `${wrong.slice(7)}.json` }),
        [`${wrong.slice(7)}.json`]: good.config,
      }),
    `invalid archive: blob ${wrong} has the content of ${good.id}`,
  ],
  [
    "an image for another system",
    () => archiveWith({ "c.json": configWith({ os: "windows" }) }),
    "cannot load windows image on linux",
  ],
  [
    "a bad tag",
    () => archiveWith({ "manifest.json": item({ RepoTags: ["Bad:tag"] }) }),
    /must be lowercase$/,
  ],
  [
    "a layer that is no tar",
    () => {
      const junk = Buffer.from("junk ".repeat(500));
      return archiveWith({
        "l.tar": junk,
        "c.json": configWith({ rootfs: { type: "layers", diff_ids: [`sha256:${sha256(junk)}`] } }),
      });
    },
    /./,
  ],
  [
    "a layer that is cut short",
    () => {
      const cut = layer.subarray(0, 700);
      return archiveWith({
        "l.tar": cut,
        "c.json": configWith({ rootfs: { type: "layers", diff_ids: [`sha256:${sha256(cut)}`] } }),
      });
    },
    /unexpected EOF/,
  ],
  ["a damaged gzip layer", () => archiveWith({ "l.tar": gzipSync(layer).subarray(0, 60) }), /./],
  [
    "a link that leads to itself",
    () =>
      tar([
        { name: "manifest.json", type: "2", link: "manifest.json" },
        { name: "x", data: "" },
      ]),
    /invalid archive/,
  ],
];

describe("refused, with nothing left", () => {
  test.each(archives)("%s", async (_, archive, message) => {
    await using store = testStore();
    await expect(load(store, archive())).rejects.toThrow(message);
    await expectEmpty(store);
  });

  test("an archive that ends early, wherever it ends", async () => {
    await using store = testStore();
    const archive = dockerArchive({ layers: [layer, fileLayer("other", "more")], tags: ["x:1"] });
    const compressed = gzipSync(archive);
    const members = archive.length - 1024;
    for (let end = 100; end < members; end += 1111) {
      await expect(load(store, archive.subarray(0, end))).rejects.toThrow();
    }
    for (let end = 20; end < compressed.length; end += 97) {
      await expect(load(store, compressed.subarray(0, end))).rejects.toThrow();
    }
    await expectEmpty(store);
  });

  test("a second image that is bad takes the first with it", async () => {
    await using store = testStore();
    const other = fileLayer("second", "image");
    const bad = { Config: "bad.json", RepoTags: ["bad:1"], Layers: ["o.tar"] };
    const manifest = text([{ Config: "c.json", RepoTags: ["good:1"], Layers: ["l.tar"] }, bad]);
    const config = configWith({ rootfs: { type: "layers", diff_ids: [wrong] } });
    const archive = archiveWith({ "manifest.json": manifest, "bad.json": config, "o.tar": other });
    await expect(load(store, archive)).rejects.toThrow("invalid diffID for layer 0");
    await expectEmpty(store);
  });
});

test("an OCI blob with the content of another is refused", async () => {
  await using store = testStore();
  const config = good.config;
  const manifest = text({
    schemaVersion: 2,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: good.id, size: config.length },
    layers: [
      { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: good.diffIds[0], size: layer.length },
    ],
  });
  const index = text({
    schemaVersion: 2,
    manifests: [
      {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: `sha256:${sha256(manifest)}`,
        size: manifest.length,
      },
    ],
  });
  const blob = (digest: string | undefined, data: Uint8Array | string) => ({
    name: `blobs/sha256/${digest?.slice(7)}`,
    data,
  });
  const files = (given: { config?: Uint8Array; layer?: Uint8Array; manifest?: string }) =>
    tar([
      { name: "index.json", data: index },
      blob(`sha256:${sha256(manifest)}`, given.manifest ?? manifest),
      blob(good.id, given.config ?? config),
      blob(good.diffIds[0], given.layer ?? layer),
    ]);
  const content = /has the content of|its descriptor says/;
  await expect(load(store, files({ config: Buffer.from(configWith({ author: "eve" })) }))).rejects.toThrow(
    content,
  );
  await expect(load(store, files({ manifest: `${manifest} ` }))).rejects.toThrow(content);
  await expect(load(store, files({ layer: fileLayer("file", "CONTENT") }))).rejects.toThrow(
    /has the content of|invalid diffID/,
  );
  await expect(load(store, files({ layer: Buffer.concat([layer, layer]) }))).rejects.toThrow(
    /its descriptor says/,
  );
  await expectEmpty(store);
  expect(await load(store, files({}))).toEqual([`Loaded image ID: ${good.id}`]);
});

test("an archive of more entries than any image needs is refused before it is read to its end", async () => {
  await using store = testStore();
  let given = 0;
  async function* archive(): AsyncGenerator<Uint8Array> {
    const empty = Buffer.concat(
      Array.from({ length: 1000 }, (_, at) => tarHeader({ name: `d${at}/`, type: "5" }, 0)),
    );
    for (; given < 1000; given += 1) yield empty;
  }
  await expect(Array.fromAsync(loadImages(store, archive()))).rejects.toThrow("more than 100000 entries");
  expect(given).toBeLessThan(200);
  await expectEmpty(store);
});

test("a reader that goes away in the middle stops the load, and nothing is left", async () => {
  await using store = testStore();
  const archive = dockerArchive({ layers: [layer], tags: ["x:1"] });
  const stop = new AbortController();
  async function* slowly(): AsyncGenerator<Uint8Array> {
    yield archive.subarray(0, 600);
    stop.abort();
    yield archive.subarray(600);
  }
  await expect(Array.fromAsync(loadImages(store, slowly(), { signal: stop.signal }))).rejects.toThrow();
  await expectEmpty(store);
  for await (const _ of loadImages(store, streamOf(archive))) break;
  expect(store.content.deadSessions()).toEqual([]);
});
