/** Layers that were in use before they were safe: after a power cut they are dropped, after a mere kill they are kept. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ChainId } from "../../src/core/ids.ts";
import { collect } from "../../src/images/collect.ts";
import { listImages } from "../../src/images/list.ts";
import { clearPending, dropStalePending, hasStalePending, markPending } from "../../src/images/pending.ts";
import { currentBootId } from "../../src/linux/boot.ts";
import { asidePrefix } from "../../src/storage/snapshotter.ts";
import {
  dockerArchive,
  expectEmpty,
  fileLayer,
  load,
  snapshotDirectories,
  type TestStore,
  testStore,
} from "./support.ts";

const shared = fileLayer("shared", "shared");
const app = { layers: [shared, fileLayer("app", "app")], tags: ["app:1"] };
const other = { layers: [shared, fileLayer("other", "other")], tags: ["other:1"] };
const apart = { layers: [fileLayer("apart", "apart")], tags: ["apart:1"] };

const earlier = "00000000-0000-0000-0000-000000000000";

function chainOf(store: TestStore, tag: string): ChainId[] {
  return store.state.db
    .query<{ chain_id: ChainId }, [string]>(
      "SELECT chain_id FROM image_layers JOIN tags USING (image_id) WHERE reference = ? ORDER BY position",
    )
    .all(`docker.io/library/${tag}`)
    .map(({ chain_id }) => chain_id);
}

async function names(store: TestStore): Promise<string[]> {
  return (await listImages(store)).flatMap(({ RepoTags }) => RepoTags).sort();
}

function pendingRows(store: TestStore): number {
  return store.state.db.query("SELECT * FROM pending_layers").all().length;
}

test("after a power cut, the pending layers go with the images that stand on them, and no other", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app, other, apart));
  markPending(store.state, chainOf(store, "app:1").slice(0, 1), earlier);
  expect(hasStalePending(store.state, currentBootId)).toBe(true);
  expect(await names(store)).toEqual(["apart:1"]);
  expect(snapshotDirectories(store)).toHaveLength(1);
  expect(store.content.list()).toHaveLength(3);
  expect(pendingRows(store)).toBe(0);
  await load(store, dockerArchive(app));
  expect(await names(store)).toEqual(["apart:1", "app:1"].sort());
});

test("a container that stands on a pending layer keeps it until it goes, and the name is free for a good one", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app));
  const chain = chainOf(store, "app:1");
  await store.snapshots.prepare("container", chain.at(-1));
  markPending(store.state, chain, earlier);
  expect(await names(store)).toEqual([]);
  const asides = (await store.snapshots.list()).filter(({ key }) => key.startsWith(asidePrefix));
  expect(asides).toHaveLength(2);
  expect(readdirSync(await store.snapshots.mount("container")).sort()).toEqual(["app", "shared"]);

  await load(store, dockerArchive(app));
  expect(snapshotDirectories(store)).toHaveLength(5);
  await store.snapshots.prepare("another", chain.at(-1));
  expect(readFileSync(join(await store.snapshots.mount("another"), "app"), "utf8")).toBe("app");
  for (const key of ["container", "another"]) await store.snapshots.remove(key);
  await collect(store);
  expect(snapshotDirectories(store)).toHaveLength(2);
});

test("dropping can be cut off anywhere and done again", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app));
  const chain = chainOf(store, "app:1");
  markPending(store.state, chain, earlier);
  // As a kill after the records were dropped leaves it.
  for (const sql of [
    "DELETE FROM tags",
    "DELETE FROM image_layers",
    "DELETE FROM images",
    "DELETE FROM layers",
  ]) {
    store.state.db.run(sql);
  }
  expect(await dropStalePending(store, currentBootId())).toEqual([]);
  await collect(store);
  await expectEmpty(store);
  expect(pendingRows(store)).toBe(0);
});

test("what was cleared stays after a power cut", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app));
  markPending(store.state, chainOf(store, "app:1"), earlier);
  clearPending(store.state, chainOf(store, "app:1"));
  expect(hasStalePending(store.state, currentBootId)).toBe(false);
  expect(await names(store)).toEqual(["app:1"]);
});

test("loading an image again makes its pending layers safe", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app));
  markPending(store.state, chainOf(store, "app:1"), currentBootId());
  await load(store, dockerArchive(app));
  expect(pendingRows(store)).toBe(0);
});

test("a pull that was only killed leaves its layers pending, and the next command makes them safe", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app));
  markPending(store.state, chainOf(store, "app:1"), currentBootId());
  using session = store.content.openSession();
  session.abandon();
  expect(await names(store)).toEqual(["app:1"]);
  expect(pendingRows(store)).toBe(0);
});
