/** What live processes are at work on is not collected, and what dead ones left is. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { ChainId } from "../../src/core/ids.ts";
import { collect, repairImages } from "../../src/images/collect.ts";
import { isUnpacking, lease, liveLeases, unpackKey } from "../../src/images/leases.ts";
import { digestOf } from "../../src/images/manifest.ts";
import { removeImage } from "../../src/images/remove.ts";
import { lock } from "../../src/state/locks.ts";
import {
  buildImage,
  dockerArchive,
  entriesOf,
  expectEmpty,
  fileLayer,
  load,
  snapshotDirectories,
  type TestStore,
  testStore,
} from "./support.ts";

/** A process that has committed and leased a layer of each name, and unpacks another. */
async function pullElsewhere(
  store: TestStore,
  ...names: string[]
): Promise<Bun.Subprocess<"ignore", "pipe">> {
  const worker = join(import.meta.dir, "lease-process.ts");
  const child = Bun.spawn([process.execPath, worker, store.dataRoot, store.execRoot, ...names], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  expect(Buffer.from(value ?? []).toString()).toBe("ready\n");
  return child;
}

async function kill(child: Bun.Subprocess): Promise<void> {
  child.kill("SIGKILL");
  await child.exited;
}

async function collectAlone(store: TestStore): Promise<void> {
  using _lock = await lock(store.state.instance, "images");
  await collect(store);
}

const app = { layers: [fileLayer("one", "1"), fileLayer("two", "2")], tags: ["app:1"] };

test("layers and blobs of a pull at work stay when others collect, and go when it was killed", async () => {
  await using store = testStore();
  const pull = await pullElsewhere(store, "a", "b");
  try {
    await load(store, dockerArchive(app));
    await removeImage(store, "app:1");
    await collectAlone(store);
    expect(
      (await store.snapshots.list()).map(({ key, state }) => (state === "active" ? state : key)).sort(),
    ).toEqual(["active", digestOf("a"), digestOf("b")].sort());
    expect(snapshotDirectories(store)).toHaveLength(3);
    expect(store.content.liveSessions()).toHaveLength(1);
  } finally {
    await kill(pull);
  }
  await repairImages(store);
  await expectEmpty(store);
});

test("of two pulls of the same layer, the death of one takes nothing from the other", async () => {
  await using store = testStore();
  using session = store.content.openSession();
  const pull = await pullElsewhere(store, "shared", "own");
  lease(session, digestOf("shared") as ChainId);
  await kill(pull);
  await repairImages(store);
  expect((await store.snapshots.list()).map(({ key }) => key)).toEqual([digestOf("shared")]);
  session.clear();
  await collectAlone(store);
  await expectLeft(store, []);
});

test("a layer that an image gives up stays while a pull has leased it, recorded or not", async () => {
  await using store = testStore();
  await load(store, dockerArchive(app));
  const [bottom] = buildImage(app).diffIds;
  {
    using session = store.content.openSession();
    lease(session, bottom as ChainId);
    await removeImage(store, "app:1");
    await expectLeft(store, [bottom ?? ""]);
  }
  await collectAlone(store);
  await expectEmpty(store);
});

async function expectLeft(store: TestStore, keys: string[]): Promise<void> {
  expect((await store.snapshots.list()).map(({ key }) => key)).toEqual(keys);
  expect(snapshotDirectories(store)).toHaveLength(keys.length);
}

test("leases are those of live sessions, and a line that is not whole yet counts for nothing", async () => {
  await using store = testStore();
  const [one, two] = [digestOf("1") as ChainId, digestOf("2") as ChainId];
  using first = store.content.openSession();
  using second = store.content.openSession();
  lease(first, one);
  lease(second, two);
  lease(second, "sha256:12" as ChainId);
  expect([...liveLeases(store.content)].sort()).toEqual([one, two].sort());
  second.clear();
  expect([...liveLeases(store.content)]).toEqual([one]);
  first.abandon();
  expect([...liveLeases(store.content)]).toEqual([]);
  expect(entriesOf(join(store.content.path, "ingest"))).toHaveLength(2);
});

test("a key is in use while its process has a session that it has not cleared", async () => {
  await using store = testStore();
  const { content } = store;
  const key = unpackKey();
  expect(isUnpacking(key, content)).toBe(false);
  using session = content.openSession();
  using other = content.openSession();
  expect(isUnpacking(key, content)).toBe(true);
  session.clear();
  expect(isUnpacking(key, content)).toBe(true);
  other.clear();
  expect(isUnpacking(key, content)).toBe(false);
  using _third = content.openSession();
  for (const strange of [
    `unpack-${process.pid}.1.abc`,
    "unpack-4194303.77.abc",
    "unpack-abcdef",
    "container",
  ]) {
    expect(isUnpacking(strange, content)).toBe(false);
  }
});
