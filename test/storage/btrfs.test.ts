import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Conflict, Unavailable } from "../../src/core/errors.ts";
import { describeInstance } from "../../src/core/instance.ts";
import { openState } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";
import { StorageBench, snapshotterConformance } from "./conformance.ts";
import { type LoopDisk, loopDisk, missingForLoopDisk } from "./loop-disk.ts";

const missing = missingForLoopDisk("mkfs.btrfs");
if (missing !== undefined) console.error(`btrfs tests are skipped: ${missing}`);

describe.skipIf(missing !== undefined)("on a btrfs", () => {
  let disk: LoopDisk | undefined;
  beforeAll(() => {
    disk = loopDisk(["mkfs.btrfs", "-q"]);
  });
  afterAll(() => disk?.[Symbol.dispose]());
  const place = () => {
    if (disk === undefined) throw new Error("there is no disk");
    return disk.path;
  };
  const btrfs = (...words: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync(["btrfs", ...words]);
    if (exitCode !== 0) throw new Error(`btrfs ${words.join(" ")}: ${stderr}`);
    return stdout.toString();
  };

  snapshotterConformance("btrfs", place);

  test("it is chosen on a btrfs where no driver is named", () => {
    using bench = new StorageBench(undefined, place());
    expect(bench.snapshots.driver).toBe("btrfs");
    expect(bench.snapshots.describeDriver()).toEqual([["Backing Filesystem", "btrfs"]]);
  });

  test("a data root on a btrfs that was used with overlay2 stays with it", () => {
    using bench = new StorageBench("overlay2", place());
    expect(openSnapshotter(bench.state, undefined).driver).toBe("overlay2");
    expect(() => openSnapshotter(bench.state, "btrfs")).toThrow(Conflict);
  });

  test("each snapshot is a subvolume, and a committed one is read-only", async () => {
    using bench = new StorageBench("btrfs", place());
    const { snapshots } = bench;
    await snapshots.prepare("a", undefined);
    const root = await snapshots.mount("a");
    expect(btrfs("property", "get", root, "ro")).toBe("ro=false\n");
    await snapshots.commit("a", "base");
    expect(btrfs("property", "get", root, "ro")).toBe("ro=true\n");
    expect(() => writeFileSync(join(root, "f"), "")).toThrow("EROFS");
    await snapshots.prepare("b", "base");
    writeFileSync(join(await snapshots.mount("b"), "f"), "");
  });

  test("a snapshot shares the blocks of its parent", async () => {
    using bench = new StorageBench("btrfs", place());
    const { snapshots } = bench;
    await snapshots.prepare("a", undefined);
    const root = await snapshots.mount("a");
    writeFileSync(join(root, "big"), crypto.getRandomValues(new Uint8Array(65_536)));
    await snapshots.commit("a", "base");
    await snapshots.prepare("b", "base");
    const child = await snapshots.mount("b");
    btrfs("filesystem", "sync", place());
    const [total, exclusive] =
      btrfs("filesystem", "du", "--raw", "-s", child).split("\n")[1]?.trim().split(/\s+/) ?? [];
    expect([total, exclusive]).toEqual(["65536", "0"]);
  });

  test("subvolumes that a container made inside go with it, nested and read-only ones too", async () => {
    using bench = new StorageBench("btrfs", place());
    const { snapshots } = bench;
    await snapshots.prepare("a", undefined);
    const root = await snapshots.mount("a");
    mkdirSync(join(root, "dir"));
    let at = join(root, "dir/sub");
    for (let depth = 0; depth < 40; depth += 1) {
      btrfs("subvolume", "create", at);
      writeFileSync(join(at, "file"), "x");
      if (depth % 3 === 0) btrfs("subvolume", "snapshot", "-r", at, `${at}-kept`);
      at = join(at, "sub");
    }
    btrfs("subvolume", "create", join(root, "dir/locked"));
    btrfs("subvolume", "create", join(root, "dir/locked/inner"));
    btrfs("property", "set", join(root, "dir/locked"), "ro", "true");
    await snapshots.remove("a");
    expect(bench.directories()).toEqual([]);
    const left = btrfs("subvolume", "list", place()).split("\n");
    expect(left.filter((line) => line.includes(bench.top.slice(place().length + 1)))).toEqual([]);
  });

  test("what was cut off while nested subvolumes were taken out is finished by sweep", async () => {
    using bench = new StorageBench("btrfs", place());
    const { snapshots } = bench;
    await snapshots.prepare("a", undefined);
    await snapshots.condemn("a");
    const [directory = ""] = bench.directories();
    const top = join(bench.instance.dataRoot, "btrfs", directory);
    btrfs("subvolume", "create", join(top, "nested-0"));
    btrfs("subvolume", "create", join(top, "nested-0", "inner"));
    await snapshots.sweep(() => true);
    expect(bench.directories()).toEqual([]);
  });

  test("overlay2 works on a btrfs too", async () => {
    using bench = new StorageBench("overlay2", place());
    await bench.snapshots.prepare("a", undefined);
    expect(readdirSync(await bench.snapshots.mount("a"))).toEqual([]);
    expect(bench.snapshots.describeDriver()[0]).toEqual(["Backing Filesystem", "btrfs"]);
  });
});

test("btrfs on another file system is refused with the way out", () => {
  using other = new StorageBench("vfs");
  const state = openState(describeInstance(join(other.top, "data-2"), join(other.top, "exec-2")));
  try {
    expect(() => openSnapshotter(state, "btrfs")).toThrow(Unavailable);
    expect(() => openSnapshotter(state, "btrfs")).toThrow(/not on btrfs; use another --data-root/);
    expect(existsSync(join(other.top, "data-2/btrfs"))).toBe(false);
  } finally {
    state.close();
  }
});
