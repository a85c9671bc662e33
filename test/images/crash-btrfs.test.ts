/** Loads and removals on a btrfs that are killed, at named points and at any: nothing half-made stays. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listImages } from "../../src/images/list.ts";
import { removeImage } from "../../src/images/remove.ts";
import { type LoopDisk, loopDisk, missingForLoopDisk } from "../storage/loop-disk.ts";
import {
  buildImage,
  dockerArchive,
  expectEmpty,
  fileLayer,
  load,
  snapshotDirectories,
  testStore,
} from "./support.ts";
import { tar } from "./tar.ts";

const missing = missingForLoopDisk("mkfs.btrfs");
if (missing !== undefined) console.error(`crashes on btrfs are not tried: ${missing}`);

const many = tar(Array.from({ length: 1500 }, (_, at) => ({ name: `f${at}`, data: `${at}` })));
const image = {
  layers: [many, fileLayer("two", "2".repeat(2_000_000)), fileLayer("three", "3")],
  tags: ["app:1"],
};

describe.skipIf(missing !== undefined)("on a btrfs", () => {
  let disk: LoopDisk | undefined;
  const files = mkdtempSync(join(tmpdir(), "davit-test-images-"));
  const archive = join(files, "archive.tar");
  let stores = 0;
  beforeAll(() => {
    disk = loopDisk(["mkfs.btrfs", "-q"]);
    writeFileSync(archive, dockerArchive(image));
  });
  afterAll(() => {
    disk?.[Symbol.dispose]();
    rmSync(files, { recursive: true });
  });
  const newStore = () => testStore({ dataRoot: join(disk?.path ?? "", `data-${++stores}`) });

  const elsewhere = (store: Awaited<ReturnType<typeof newStore>>, work: "load" | "remove", fault = "") => {
    const script = join(import.meta.dir, work === "load" ? "load-process.ts" : "remove-process.ts");
    const target = work === "load" ? archive : "app:1";
    return Bun.spawn([process.execPath, script, store.dataRoot, store.execRoot, target], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
      env: { ...process.env, DAVIT_FAULT: fault },
    });
  };

  /** Subvolumes of a store that its records do not know, by the directory that they are in. */
  const subvolumes = (store: Awaited<ReturnType<typeof newStore>>) => {
    const { stdout } = Bun.spawnSync(["btrfs", "subvolume", "list", disk?.path ?? ""]);
    const name = store.dataRoot.slice((disk?.path.length ?? 0) + 1);
    return stdout
      .toString()
      .split("\n")
      .filter((line) => line.includes(` ${name}/`)).length;
  };

  for (const point of [
    "snapshot:reserved",
    "snapshot:made",
    "load:applied",
    "snapshot:committed",
    "load:unpacked",
  ]) {
    test(`a load killed at ${point} leaves nothing once the next command has run`, async () => {
      await using store = newStore();
      expect(store.snapshots.driver).toBe("btrfs");
      const killed = elsewhere(store, "load", point);
      await killed.exited;
      expect(killed.signalCode).toBe("SIGKILL");
      expect(await listImages(store)).toEqual([]);
      await expectEmpty(store);
      expect(subvolumes(store)).toBe(0);
      expect(await load(store, dockerArchive(image))).toEqual(["Loaded image: app:1"]);
    });
  }

  for (const point of ["snapshot:condemned", "snapshot:destroyed"]) {
    test(`a removal killed at ${point} is finished by the next command`, async () => {
      await using store = newStore();
      await load(store, dockerArchive(image));
      const killed = elsewhere(store, "remove", point);
      await killed.exited;
      expect(killed.signalCode).toBe("SIGKILL");
      expect(await listImages(store)).toEqual([]);
      await expectEmpty(store);
      expect(subvolumes(store)).toBe(0);
    });
  }

  test("a load killed at any moment is all or nothing", async () => {
    await using store = newStore();
    for (let pause = 20; pause <= 300; pause += 20) {
      const child = elsewhere(store, "load");
      await Bun.sleep(pause);
      child.kill("SIGKILL");
      await child.exited;
      const ids = (await listImages(store)).map(({ Id }) => Id);
      expect([[], [buildImage(image).id]]).toContainEqual(ids);
      expect(snapshotDirectories(store)).toHaveLength(ids.length * 3);
      expect(subvolumes(store)).toBe(ids.length * 3);
      if (ids.length > 0) await removeImage(store, "app:1");
    }
    await expectEmpty(store);
  }, 30_000);
});
