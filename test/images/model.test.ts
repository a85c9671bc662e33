/** Names that lead to several platforms, in the local store. */
import { expect, test } from "bun:test";
import { collect, neededBlobs } from "../../src/images/collect.ts";
import { imageHistory } from "../../src/images/history.ts";
import { variantsOf } from "../../src/images/index-records.ts";
import { inspectImage } from "../../src/images/inspect.ts";
import { listImages } from "../../src/images/list.ts";
import { loadImages } from "../../src/images/load.ts";
import { detectHostPlatform, hostPlatform, parsePlatform } from "../../src/images/platform.ts";
import { pruneImages } from "../../src/images/prune.ts";
import { allImages, imageById } from "../../src/images/records.ts";
import { removeImage } from "../../src/images/remove.ts";
import { resolveImage } from "../../src/images/resolve.ts";
import { saveImages } from "../../src/images/save.ts";
import { tagImage } from "../../src/images/tag.ts";
import { allPlatformsOf, platformWarning } from "../../src/images/variants.ts";
import { Blobs, type Entry, type Platform } from "./layouts.ts";
import {
  addContainerRecord,
  dockerArchive,
  expectEmpty,
  fileLayer,
  load,
  streamOf,
  type TestStore,
  testStore,
  untar,
} from "./support.ts";
import { tar } from "./tar.ts";

const host: Platform = { os: "linux", architecture: hostPlatform().architecture };
const foreign: Platform = { os: "linux", architecture: "s390x" };
const other: Platform = { os: "linux", architecture: "riscv64" };

interface Multi {
  archive: Buffer;
  index: Entry;
  manifests: Entry[];
  blobs: Blobs;
}

/** An OCI archive whose index leads to these platforms under a name. */
function multi(name: string, platforms: readonly Platform[], text?: string): Multi {
  const blobs = new Blobs();
  const manifests = platforms.map((platform) => blobs.image(platform, "oci", text ?? platform.architecture));
  const index = blobs.index(manifests);
  const root = { ...index, annotations: { "io.containerd.image.name": `docker.io/library/${name}` } };
  const archive = tar([
    { name: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
    { name: "index.json", data: JSON.stringify({ schemaVersion: 2, manifests: [root] }) },
    ...[...blobs.all].map(([digest, data]) => ({ name: `blobs/sha256/${digest.slice(7)}`, data })),
  ]);
  return { archive, index, manifests, blobs };
}

async function loadPlatforms(store: TestStore, archive: Uint8Array, ...platforms: string[]): Promise<void> {
  await Array.fromAsync(loadImages(store, streamOf(archive), { platforms }));
}

const architectureOf = async (store: TestStore, name: string, platform?: string) =>
  (await inspectImage(store, name, platform === undefined ? {} : { platform })).Architecture;
const resolved = (store: TestStore, name: string, platform?: string) =>
  resolveImage(
    store.state,
    store.content,
    name,
    platform === undefined ? undefined : parsePlatform(platform),
  );

test("without a wish a name is this machine's platform, else what it was last pulled as", async () => {
  await using store = testStore();
  const { archive } = multi("multi:1", [host, foreign, other]);
  await loadPlatforms(store, archive, "linux/s390x");
  expect(resolved(store, "multi:1").architecture).toBe("s390x");
  await loadPlatforms(store, archive, "linux/riscv64");
  expect(resolved(store, "multi:1").architecture).toBe("riscv64");
  expect(resolved(store, "multi:1", "linux/s390x").architecture).toBe("s390x");
  expect(() => resolved(store, "multi:1", host.architecture)).toThrow(
    "does not match the specified platform",
  );
  await loadPlatforms(store, archive, `linux/${host.architecture}`);
  expect(resolved(store, "multi:1").architecture).toBe(host.architecture);
  await loadPlatforms(store, archive, "linux/s390x");
  expect(resolved(store, "multi:1").architecture).toBe(host.architecture);
  expect(resolved(store, "multi:1", "linux/s390x").architecture).toBe("s390x");
});

test("whoever takes a foreign platform without asking for it is warned", () => {
  expect(platformWarning(hostPlatform())).toBeUndefined();
  const detected = detectHostPlatform();
  const own = [detected.os, detected.architecture, detected.variant]
    .filter((part) => part !== undefined)
    .join("/");
  expect(platformWarning(foreign)).toBe(
    `The requested image's platform (linux/s390x) does not match the detected host platform (${own}) and no ` +
      "specific platform was requested",
  );
});

test("inspect and history tell of the platform that is asked for, in Docker's words of one that is not here", async () => {
  await using store = testStore();
  const { archive, index } = multi("multi:1", [host, foreign]);
  await loadPlatforms(store, archive);
  const image = await inspectImage(store, "multi:1", { platform: "linux/s390x" });
  expect(image).toMatchObject({
    Architecture: "s390x",
    RepoTags: ["multi:1"],
    Descriptor: { digest: index.digest, size: index.size },
  });
  const [top] = imageHistory(store, "multi:1", { platform: "s390x" });
  expect(top?.Id).toBe(image.Id);
  await expect(inspectImage(store, "multi:1", { platform: "linux/mips64le" })).rejects.toThrow(
    `image with reference multi:1 was found but its platform (linux/${host.architecture}) does not match the ` +
      "specified platform (linux/mips64le)",
  );
  await expect(inspectImage(store, "multi:1", { platform: "a b" })).rejects.toThrow("invalid OS component");
  // An id is one platform, whatever its name leads to.
  expect(await architectureOf(store, image.Id)).toBe("s390x");
  await expect(inspectImage(store, image.Id, { platform: "riscv64" })).rejects.toThrow("does not match");
});

test("a tag of a name with several platforms leads to all of them, and stays when the first goes", async () => {
  await using store = testStore();
  const { archive, index } = multi("multi:1", [host, foreign]);
  await loadPlatforms(store, archive);
  tagImage(store, "multi:1", "copy:2");
  expect(variantsOf(store.state, "docker.io/library/copy:2")?.index).toBe(index.digest);
  expect(await removeImage(store, "multi:1")).toEqual([{ Untagged: "multi:1" }]);
  expect(await architectureOf(store, "copy:2", "s390x")).toBe("s390x");
  const removed = await removeImage(store, "copy:2");
  expect(removed.filter((item) => "Untagged" in item)).toEqual([{ Untagged: "copy:2" }]);
  await expectEmpty(store);
});

test("a name that moves on leaves its old platforms without a name, and prune takes them", async () => {
  await using store = testStore();
  await loadPlatforms(store, multi("multi:1", [host, foreign]).archive);
  const old = allPlatformsOf(store, "multi:1").map(({ record }) => record.id);
  const next = multi("multi:1", [host, foreign], "next");
  await loadPlatforms(store, next.archive);
  const dangling = await listImages(store, { filters: { dangling: ["true"] } });
  expect(dangling.map(({ Id }) => Id).sort()).toEqual([...old].sort());
  const { ImagesDeleted } = await pruneImages(store);
  const deleted = ImagesDeleted?.flatMap((item) => ("Deleted" in item ? [item.Deleted] : [])) ?? [];
  expect(deleted).toEqual(expect.arrayContaining(old));
  expect(await listImages(store, { all: true })).toHaveLength(2);
  expect(await architectureOf(store, "multi:1", "s390x")).toBe("s390x");
  await removeImage(store, "multi:1");
  await expectEmpty(store);
});

test("prune leaves platforms of a name alone, and with dangling=false takes those that nobody uses", async () => {
  await using store = testStore();
  await loadPlatforms(store, multi("multi:1", [host, foreign]).archive);
  expect((await pruneImages(store)).ImagesDeleted).toBeNull();
  const container = addContainerRecord(store, resolved(store, "multi:1", "s390x").id, "exited");
  expect((await pruneImages(store, { dangling: ["false"] })).ImagesDeleted).toBeNull();
  expect(allPlatformsOf(store, "multi:1")).toHaveLength(2);
  store.state.db.query("DELETE FROM containers WHERE id = ?1").run(container);
  const { ImagesDeleted, SpaceReclaimed } = await pruneImages(store, { dangling: ["false"] });
  expect(ImagesDeleted?.[0]).toEqual({ Untagged: "multi:1" });
  expect(SpaceReclaimed).toBeGreaterThan(0);
  await expectEmpty(store);
});

test("a container of any platform keeps the name from going, unless by force", async () => {
  await using store = testStore();
  await loadPlatforms(store, multi("multi:1", [host, foreign]).archive);
  const { id } = resolved(store, "multi:1", "s390x");
  const container = addContainerRecord(store, id, "exited");
  await expect(removeImage(store, "multi:1")).rejects.toThrow(
    `conflict: unable to remove repository reference "multi:1" (must force) - container ` +
      `${container.slice(0, 12)} is using its referenced image ${id.slice(7, 19)}`,
  );
  await removeImage(store, "multi:1", { force: true });
  store.state.db.query("DELETE FROM containers").run();
  await collect(store);
  await expectEmpty(store);
});

test("one platform goes by its id; the others and the name stay", async () => {
  await using store = testStore();
  const { archive } = multi("multi:1", [host, foreign]);
  await loadPlatforms(store, archive);
  const { id } = resolved(store, "multi:1", "s390x");
  const items = await removeImage(store, id);
  expect(items[0]).toEqual({ Deleted: id });
  expect(imageById(store.state, id)).toBeUndefined();
  expect(await architectureOf(store, "multi:1")).toBe(host.architecture);
  expect(() => resolved(store, "multi:1", "s390x")).toThrow("does not match the specified platform");
  // And comes back with the next load.
  await loadPlatforms(store, archive, "linux/s390x");
  expect(await architectureOf(store, "multi:1", "s390x")).toBe("s390x");
});

test("the id of the platform that the name stands for takes the name along, and with it the others", async () => {
  await using store = testStore();
  await loadPlatforms(store, multi("multi:1", [host, foreign]).archive);
  const items = await removeImage(store, resolved(store, "multi:1").id);
  expect(items[0]).toEqual({ Untagged: "multi:1" });
  await expectEmpty(store);
});

test("images shows one row for a name, and with all each platform; the tree tells which are here", async () => {
  await using store = testStore();
  const { archive, index, manifests } = multi("multi:1", [host, foreign, other]);
  await loadPlatforms(store, archive, `linux/${host.architecture}`, "linux/s390x");
  const container = addContainerRecord(store, resolved(store, "multi:1", "s390x").id, "exited");
  const [row, ...more] = await listImages(store, { manifests: true, containers: true });
  expect(more).toEqual([]);
  expect(row).toMatchObject({ RepoTags: ["multi:1"], Containers: 0, Descriptor: { digest: index.digest } });
  expect(
    row?.Manifests?.map(({ ID, Available, ImageData }) => [
      ID,
      Available,
      ImageData?.Platform.architecture,
      ImageData?.Containers,
    ]),
  ).toEqual([
    [manifests[0]?.digest, true, host.architecture, []],
    [manifests[1]?.digest, true, "s390x", [container]],
    [manifests[2]?.digest, false, "riscv64", []],
  ]);
  expect(row?.Manifests?.[0]?.Size.Content).toBeGreaterThan(0);
  expect(row?.Manifests?.[2]?.Size.Content).toBe(0);
  expect(await listImages(store, { all: true })).toHaveLength(2);
});

test("shared sizes count the layers that another listed image stands on too", async () => {
  await using store = testStore();
  const base = fileLayer("base", "12345678");
  await load(store, dockerArchive({ layers: [base, fileLayer("a", "a")], tags: ["a:1"] }));
  await load(store, dockerArchive({ layers: [base, fileLayer("b", "bb")], tags: ["b:1"] }));
  await load(store, dockerArchive({ layers: [fileLayer("c", "ccc")], tags: ["c:1"] }));
  const rows = await listImages(store, { sharedSize: true });
  const sizes = Object.fromEntries(
    rows.map(({ RepoTags, SharedSize, Size }) => [RepoTags[0], [SharedSize, Size]]),
  );
  expect(sizes).toEqual({ "a:1": [8, 9], "b:1": [8, 10], "c:1": [0, 3] });
});

test("before, since and until go by the nanosecond", async () => {
  await using store = testStore();
  const image = (name: string, created: string) =>
    dockerArchive({ layers: [fileLayer(name, name)], created, tags: [`${name}:1`] });
  await load(store, image("a", "2024-05-06T07:08:09.000000001Z"));
  await load(store, image("b", "2024-05-06T07:08:09.000000002Z"));
  await load(store, image("c", "2024-05-06T07:08:09.000000003Z"));
  const names = async (filters: Record<string, string[]>) =>
    (await listImages(store, { filters })).flatMap(({ RepoTags }) => RepoTags).sort();
  expect(await names({ before: ["b:1"] })).toEqual(["a:1"]);
  expect(await names({ since: ["b:1"] })).toEqual(["c:1"]);
  expect(await names({ since: ["a:1"], before: ["c:1"] })).toEqual(["b:1"]);
  expect(await names({ until: ["2024-05-06T07:08:09.000000002Z"] })).toEqual(["a:1"]);
  expect(await names({ until: ["1714979289.000000003"] })).toEqual(["a:1", "b:1"]);
});

test("save gives all platforms and the index to the byte, or those that are asked for; load takes them back", async () => {
  await using store = testStore();
  const { archive, index, blobs } = multi("multi:1", [host, foreign]);
  await loadPlatforms(store, archive);
  await load(store, dockerArchive({ layers: [fileLayer("plain", "p")], tags: ["plain:1"] }));
  const all = Buffer.concat(await Array.fromAsync(saveImages(store, ["multi:1", "plain:1"])));
  const files = untar(all);
  const hex = index.digest.slice(7);
  expect(files.get(`blobs/sha256/${hex}`)).toEqual(Buffer.from(blobs.all.get(index.digest) ?? []));
  const manifest = JSON.parse(files.get("manifest.json")?.toString() ?? "");
  expect(manifest.map(({ RepoTags }: { RepoTags: string[] }) => RepoTags)).toEqual([
    ["multi:1"],
    ["plain:1"],
  ]);
  await using back = testStore();
  expect((await load(back, all)).sort()).toEqual(["Loaded image: multi:1", "Loaded image: plain:1"]);
  expect(allPlatformsOf(back, "multi:1").map(({ platform }) => platform.architecture)).toEqual([
    host.architecture,
    "s390x",
  ]);
  const part = Buffer.concat(
    await Array.fromAsync(saveImages(store, ["multi:1"], { platforms: ["linux/s390x"] })),
  );
  await using partial = testStore();
  await load(partial, part);
  expect(allPlatformsOf(partial, "multi:1").map(({ platform }) => platform.architecture)).toEqual(["s390x"]);
  expect(variantsOf(partial.state, "docker.io/library/multi:1")?.index).toBe(index.digest);
  await expect(
    Array.fromAsync(saveImages(store, ["plain:1"], { platforms: ["linux/riscv64"] })),
  ).rejects.toThrow("does not match the specified platform (linux/riscv64)");
});

test("collection keeps indexes and all that the platforms here need, and nothing more", async () => {
  await using store = testStore();
  const { archive, index } = multi("multi:1", [host, foreign]);
  await loadPlatforms(store, archive, `linux/${host.architecture}`);
  await collect(store);
  expect(neededBlobs(store.state, store.content)).toEqual(new Set(store.content.list()));
  expect(store.content.list()).toContain(index.digest);
  // Index, manifest, config and two layers.
  expect(store.content.list()).toHaveLength(5);
  expect(allImages(store.state)).toHaveLength(1);
});
