/** What layers add, change, remove and waste, and in what two images differ. */
import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import type { ImageDifference, LayerReport } from "../../src/core/objects.ts";
import { imageDifferences, layerReports, storedImage } from "../../src/images/analysis/index.ts";
import { findImage } from "../../src/images/records.ts";
import { dockerArchive, load, type TestStore, testStore } from "./support.ts";
import { type TarFile, tar } from "./tar.ts";

async function addImage(store: TestStore, name: string, layers: TarFile[][]): Promise<void> {
  await load(
    store,
    dockerArchive({ layers: layers.map((files) => tar(files)), tags: [name], pack: gzipSync }),
  );
}

async function reports(store: TestStore, name: string): Promise<LayerReport[]> {
  return await layerReports(storedImage(store, findImage(store.state, name)));
}

async function differences(store: TestStore, from: string, to: string): Promise<ImageDifference[]> {
  const image = (name: string) => storedImage(store, findImage(store.state, name));
  return await imageDifferences(image(from), image(to));
}

const counts = ({ Added, Changed, Removed, Wasted, UnpackedSize }: LayerReport) => ({
  Added,
  Changed,
  Removed,
  Wasted,
  UnpackedSize,
});

const base: TarFile[] = [
  { name: "etc/", type: "5" },
  { name: "etc/keep", data: "12345" },
  { name: "etc/replace", data: "1234567" },
  { name: "var/", type: "5" },
  { name: "var/a", data: "aaa" },
  { name: "var/b/", type: "5" },
  { name: "var/b/c", data: "cccc" },
];

test("each layer is told by what it does to those below it", async () => {
  await using store = testStore();
  await addImage(store, "a:1", [
    base,
    [
      { name: "etc/", type: "5" },
      { name: "etc/replace", data: "new" },
      { name: "etc/new", data: "n" },
      { name: ".wh.var" },
    ],
  ]);
  const [bottom, top] = await reports(store, "a:1");
  expect(bottom).toMatchObject({ Added: 7, Changed: 0, Removed: 0, Wasted: 0, UnpackedSize: 19 });
  // var, var/a, var/b and var/b/c went: 7 bytes, and the 7 of etc/replace.
  expect(top).toMatchObject({ Added: 1, Changed: 1, Removed: 4, Wasted: 14, UnpackedSize: 4 });
  expect(bottom).toMatchObject({
    CreatedBy: "step 0",
    MediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  });
  expect(bottom?.Size).toBe(storedSize(store, bottom?.Digest ?? ""));
});

function storedSize(store: TestStore, digest: string): number {
  const found = store.content.list().find((each) => each === digest);
  return found === undefined ? -1 : store.content.sizeOf(found);
}

test("an opaque directory hides what is below it, and what it brings itself is a change, in either order", async () => {
  await using store = testStore();
  const mark = { name: "var/.wh..wh..opq" };
  const own = { name: "var/a", data: "A" };
  await addImage(store, "first:1", [base, [{ name: "var/", type: "5" }, mark, own]]);
  await addImage(store, "last:1", [base, [{ name: "var/", type: "5" }, own, mark]]);
  for (const name of ["first:1", "last:1"]) {
    const [, top] = await reports(store, name);
    expect([name, top && counts(top)]).toEqual([
      name,
      { Added: 0, Changed: 1, Removed: 2, Wasted: 7, UnpackedSize: 1 },
    ]);
  }
});

test("a hard link is no second file, and is wasted with its last name", async () => {
  await using store = testStore();
  const links: TarFile[] = [
    { name: "one", data: "123456789" },
    { name: "two", type: "1", link: "one" },
  ];
  await addImage(store, "links:1", [links, [{ name: ".wh.one" }], [{ name: "two", data: "2" }]]);
  expect((await reports(store, "links:1")).map(counts)).toEqual([
    { Added: 2, Changed: 0, Removed: 0, Wasted: 0, UnpackedSize: 9 },
    { Added: 0, Changed: 0, Removed: 1, Wasted: 0, UnpackedSize: 0 },
    { Added: 0, Changed: 1, Removed: 0, Wasted: 9, UnpackedSize: 1 },
  ]);
});

test("a file in place of a directory takes along what was in it; paths go through symlinked directories", async () => {
  await using store = testStore();
  await addImage(store, "kinds:1", [
    [
      { name: "usr/", type: "5" },
      { name: "usr/lib/", type: "5" },
      { name: "usr/lib/x", data: "xx" },
      { name: "lib", type: "2", link: "usr/lib" },
    ],
    [{ name: "lib/x", data: "y" }],
    [{ name: "usr/lib", data: "now a file" }],
  ]);
  expect((await reports(store, "kinds:1")).map(counts)).toEqual([
    { Added: 4, Changed: 0, Removed: 0, Wasted: 0, UnpackedSize: 2 },
    { Added: 0, Changed: 1, Removed: 0, Wasted: 2, UnpackedSize: 1 },
    { Added: 0, Changed: 1, Removed: 1, Wasted: 1, UnpackedSize: 10 },
  ]);
});

test("two images differ in what a user would see", async () => {
  await using store = testStore();
  const top: TarFile[] = [
    { name: "etc/replace", data: "7654321" },
    { name: "etc/mode", data: "m", mode: 0o600 },
    { name: ".wh.var" },
    { name: "link", type: "2", link: "etc/keep" },
  ];
  await addImage(store, "a:1", [base, [{ name: "etc/mode", data: "m", mode: 0o644 }]]);
  await addImage(store, "b:1", [base, top]);
  expect(await differences(store, "a:1", "b:1")).toEqual([
    { Path: "/etc/mode", Kind: "changed", SizeBefore: 1, SizeAfter: 1 },
    { Path: "/etc/replace", Kind: "changed", SizeBefore: 7, SizeAfter: 7 },
    { Path: "/link", Kind: "added", SizeBefore: 0, SizeAfter: 0 },
    { Path: "/var", Kind: "removed", SizeBefore: 0, SizeAfter: 0 },
    { Path: "/var/a", Kind: "removed", SizeBefore: 3, SizeAfter: 0 },
    { Path: "/var/b", Kind: "removed", SizeBefore: 0, SizeAfter: 0 },
    { Path: "/var/b/c", Kind: "removed", SizeBefore: 4, SizeAfter: 0 },
  ]);
  expect(await differences(store, "a:1", "a:1")).toEqual([]);
});

test("the same files from other layers are no difference", async () => {
  await using store = testStore();
  await addImage(store, "a:1", [base]);
  // The same content again in a layer of its own: only its digest tells that nothing changed.
  await addImage(store, "b:1", [base, [{ name: "etc/keep", data: "12345" }]]);
  await addImage(store, "c:1", [base, [{ name: "etc/keep", data: "54321" }]]);
  await addImage(store, "d:1", [[...base].reverse()]);
  expect(await differences(store, "a:1", "b:1")).toEqual([]);
  expect(await differences(store, "a:1", "d:1")).toEqual([]);
  expect(await differences(store, "a:1", "c:1")).toEqual([
    { Path: "/etc/keep", Kind: "changed", SizeBefore: 5, SizeAfter: 5 },
  ]);
});

test("a layer of many files is read in little memory", async () => {
  await using store = testStore();
  const files = Array.from({ length: 10_000 }, (_, at) => ({
    name: `usr/share/some/long/directory/name/${at % 300}/file-${at}`,
    data: "x",
  }));
  await addImage(store, "many:1", [files, [{ name: "usr/share/some/long/directory/.wh.name" }]]);
  const before = process.memoryUsage().rss;
  const [bottom, top] = await reports(store, "many:1");
  // Directories that the archive leaves out count too.
  expect(bottom).toMatchObject({ Added: 10_306, UnpackedSize: 10_000 });
  expect(top).toMatchObject({ Removed: 10_301, Wasted: 10_000, Added: 0 });
  expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
}, 120_000);
