/** A store that a failing disk has bitten: one image suffers, not all. */
import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { parseDigest } from "../../src/core/ids.ts";
import { listImages } from "../../src/images/list.ts";
import { imageById } from "../../src/images/records.ts";
import { removeImage } from "../../src/images/remove.ts";
import { resolveImage } from "../../src/images/resolve.ts";
import {
  buildImage,
  dockerArchive,
  expectEmpty,
  fileLayer,
  load,
  type TestStore,
  testStore,
} from "./support.ts";

const good = { layers: [fileLayer("good", "good")], tags: ["good:1"] };
const bitten = { layers: [fileLayer("bad", "bad")], tags: ["bad:1"] };
const badId = parseDigest(buildImage(bitten).id);

const bites: [what: string, bite: (store: TestStore) => void][] = [
  ["config missing", (store) => rmSync(store.content.blobPath(badId))],
  ["config overwritten", (store) => writeFileSync(store.content.blobPath(badId), "{}")],
  [
    "manifest overwritten",
    (store) =>
      writeFileSync(store.content.blobPath(imageById(store.state, badId)?.manifest ?? badId), "zeros"),
  ],
];
for (const [what, bite] of bites) {
  test(`${what}: the other images work, and the bad one can be removed and loaded again`, async () => {
    await using store = testStore();
    await load(store, dockerArchive(good, bitten));
    bite(store);
    expect((await listImages(store)).map(({ RepoTags }) => RepoTags).sort()).toEqual([["bad:1"], ["good:1"]]);
    expect(resolveImage(store.state, store.content, "good:1").id.toString()).toBe(buildImage(good).id);
    await load(store, dockerArchive({ ...good, tags: ["good:2"] }));
    await removeImage(store, "bad:1");
    await load(store, dockerArchive(bitten));
    expect(resolveImage(store.state, store.content, "bad:1").id.toString()).toBe(badId);
    for (const name of ["good:1", "good:2", "bad:1"]) await removeImage(store, name);
    await expectEmpty(store);
  });
}

test("a container's image with a damaged config is told as damaged, not as missing", async () => {
  await using store = testStore();
  await load(store, dockerArchive(bitten));
  writeFileSync(store.content.blobPath(badId), "{}");
  expect(() => resolveImage(store.state, store.content, "bad:1")).toThrow(`blob ${badId} is damaged on disk`);
});
