import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { collectForgottenLayers } from "../../src/images/collect.ts";
import { listImages } from "../../src/images/list.ts";
import { removeImage } from "../../src/images/remove.ts";
import { resolveImage } from "../../src/images/resolve.ts";
import { tagImage } from "../../src/images/tag.ts";
import { eventsAfter } from "../../src/state/events.ts";
import {
  addContainerRecord,
  buildImage,
  dockerArchive,
  expectEmpty,
  fileLayer,
  load,
  sha256,
  snapshotDirectories,
  type TestStore,
  testStore,
} from "./support.ts";

const base = fileLayer("base", "b");
const app = { layers: [base, fileLayer("app", "a")], tags: ["app:1"] };
const other = { layers: [base, fileLayer("other", "o")], tags: ["other:1"] };
const id = buildImage(app).id;
const short = id.slice(7, 19);
const [baseDiff = "", appDiff = ""] = buildImage(app).diffIds;
const appChain = `sha256:${sha256(`${baseDiff} ${appDiff}`)}`;

/** A container's record and snapshot, as create leaves them. */
async function addContainer(store: TestStore, image: string, status: "exited" | "running"): Promise<string> {
  const containerId = addContainerRecord(store, image, status);
  await store.snapshots.prepare(containerId, resolveImage(store.state, store.content, image).topChainId);
  return containerId;
}

test("removing the last name deletes the image and gives the disk back", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app));
  expect(await removeImage(store, "app:1")).toEqual([
    { Untagged: "app:1" },
    { Deleted: id },
    { Deleted: appChain },
    { Deleted: baseDiff },
  ]);
  await expectEmpty(store);
  const actions = eventsAfter(store.state, 0).map(({ message }) => [message.Action, message.Actor.ID]);
  expect(actions).toEqual([
    ["load", id],
    ["untag", id],
    ["delete", id],
  ]);
});

test("layers and blobs that another image needs stay", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app, other));
  expect(await removeImage(store, short)).toEqual([
    { Untagged: "app:1" },
    { Deleted: id },
    { Deleted: appChain },
  ]);
  expect(store.content.list()).toHaveLength(4);
  expect(snapshotDirectories(store)).toHaveLength(2);
  expect(await load(store, dockerArchive(app))).toEqual(["Loaded image: app:1"]);
});

test("a name that is not the last is only taken away", async () => {
  await using store = testStore();
  await load(store, dockerArchive({ ...app, tags: ["app:1", "app:2", "localhost:5000/app:1"] }));
  expect(await removeImage(store, "app:1")).toEqual([{ Untagged: "app:1" }]);
  await expect(removeImage(store, id)).rejects.toThrow(
    `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories`,
  );
  expect((await listImages(store))[0]?.RepoTags).toEqual(["app:2", "localhost:5000/app:1"]);
  const items = await removeImage(store, id, { force: true });
  expect(items.slice(0, 3)).toEqual([
    { Untagged: "app:2" },
    { Untagged: "localhost:5000/app:1" },
    { Deleted: id },
  ]);
  await expectEmpty(store);
});

test("an image in use by a running container cannot be deleted, not even by force", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app));
  const container = (await addContainer(store, id, "running")).slice(0, 12);
  await expect(removeImage(store, "app:1")).rejects.toThrow(
    `conflict: unable to remove repository reference "app:1" (must force) - container ${container} is using its referenced image ${short}`,
  );
  const message = `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container ${container}`;
  await expect(removeImage(store, id)).rejects.toThrow(message);
  await expect(removeImage(store, short, { force: true })).rejects.toThrow(message);
  expect((await listImages(store))[0]?.RepoTags).toEqual(["app:1"]);
  // By name, force takes the name away and leaves the image, as Docker does.
  expect(await removeImage(store, "app:1", { force: true })).toEqual([{ Untagged: "app:1" }]);
  expect((await listImages(store))[0]).toMatchObject({ Id: id, RepoTags: [] });
});

test("an image in use by a stopped container goes by force, its layers with the container", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app));
  const container = await addContainer(store, id, "exited");
  await expect(removeImage(store, id)).rejects.toThrow(
    `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container ${container.slice(0, 12)}`,
  );
  expect(await removeImage(store, id, { force: true })).toEqual([{ Untagged: "app:1" }, { Deleted: id }]);
  expect(await listImages(store)).toEqual([]);
  expect(snapshotDirectories(store)).toHaveLength(3);

  await collectForgottenLayers(store);
  expect(snapshotDirectories(store)).toHaveLength(3);
  await store.snapshots.remove(container);
  await collectForgottenLayers(store);
  await expectEmpty(store);
});

test("an image that others were built on stays, and goes with the last of them if it has no name", async () => {
  await using store = testStore();
  const parent = { layers: [base] };
  const child = { layers: [base, fileLayer("child", "c")], tags: ["child:1"] };
  await load(store, dockerArchive(parent, child));
  const parentId = buildImage(parent).id;
  store.state.db.query("UPDATE images SET parent = ?1 WHERE id = ?2").run(parentId, buildImage(child).id);

  await expect(removeImage(store, parentId, { force: true })).rejects.toThrow(
    `conflict: unable to delete ${parentId.slice(7, 19)} (cannot be forced) - image has dependent child images`,
  );
  expect(await listImages(store)).toHaveLength(1);
  expect(await listImages(store, { all: true })).toHaveLength(2);
  expect(await removeImage(store, "child:1", { noPrune: false })).toMatchObject([
    { Untagged: "child:1" },
    { Deleted: buildImage(child).id },
    // The layer that only the child had, then what it stood on.
    { Deleted: expect.stringMatching(/^sha256:/) },
    { Deleted: parentId },
    { Deleted: buildImage(child).diffIds[0] },
  ]);
  await expectEmpty(store);
});

test("an image without any layer is an image too", async () => {
  await using store = testStore();
  const empty = { layers: [], tags: ["empty:1"] };
  await load(store, dockerArchive(empty));
  expect(resolveImage(store.state, store.content, "empty:1").topChainId).toBeUndefined();
  expect(await removeImage(store, "empty:1")).toEqual([
    { Untagged: "empty:1" },
    { Deleted: buildImage(empty).id },
  ]);
  await expectEmpty(store);
});

test("with vfs, where layers are copies, removal gives all of them back", async () => {
  await using store = testStore({ driver: "vfs" });
  await load(store, dockerArchive(app, other));
  await store.snapshots.prepare("c", resolveImage(store.state, store.content, "app:1").topChainId);
  const root = await store.snapshots.mount("c");
  expect(readFileSync(join(root, "base"), "utf8") + readFileSync(join(root, "app"), "utf8")).toBe("ba");
  await store.snapshots.remove("c");
  await removeImage(store, "app:1");
  await removeImage(store, "other:1");
  await expectEmpty(store);
});

test("what is not there is told so", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app));
  await expect(removeImage(store, "none:1")).rejects.toThrow("No such image: none:1");
  await expect(removeImage(store, "app:2")).rejects.toThrow("No such image: app:2");
  await expect(removeImage(store, "App")).rejects.toThrow("must be lowercase");
  tagImage(store, "app:1", "app:2");
  expect(await removeImage(store, "app:2")).toEqual([{ Untagged: "app:2" }]);
});
