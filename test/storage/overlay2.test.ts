import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Unavailable } from "../../src/core/errors.ts";
import { describeInstance } from "../../src/core/instance.ts";
import { removeTree } from "../../src/linux/directories.ts";
import { mount, unmountIfMounted } from "../../src/linux/mounts.ts";
import { openState } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";
import { mountsBelow, StorageBench, snapshotterConformance } from "./conformance.ts";
import { loopDisk } from "./loop-disk.ts";

snapshotterConformance("overlay2");

function mountOptions(path: string): string {
  const line = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .find((text) => text.split(" ")[4] === path);
  return line?.split(" - ")[1] ?? "";
}

test("a volatile mount is one, and an ordinary one is not", async () => {
  using bench = new StorageBench("overlay2");
  const { snapshots } = bench;
  await snapshots.prepare("a", undefined);
  expect(mountOptions(await snapshots.mount("a", { volatile: true }))).toContain("volatile");
  await snapshots.unmount("a");
  const options = mountOptions(await snapshots.mount("a"));
  expect(options).toContain("upperdir=");
  expect(options).not.toContain("volatile");
});

test("a data root with a very long path works with 60 layers", async () => {
  const top = mkdtempSync(join(tmpdir(), "davit-test-"));
  try {
    const deep = join(top, "x".repeat(200), "y".repeat(100));
    mkdirSync(deep, { recursive: true });
    const worker = join(import.meta.dir, "deep-root.ts");
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, worker, deep]);
    expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
  } finally {
    removeTree(top);
  }
}, 20_000);

test("where overlay cannot be used, the message names what is missing and the way out", () => {
  const top = mkdtempSync(join(tmpdir(), "davit-test-"));
  try {
    mount("ramfs", top, "ramfs", 0);
    const state = openState(describeInstance(join(top, "data"), join(top, "exec")));
    try {
      expect(() => openSnapshotter(state, "overlay2")).toThrow(Unavailable);
      expect(() => openSnapshotter(state, "overlay2")).toThrow(
        /ramfs.*trusted.*extended attributes.*--storage-driver vfs/,
      );
      expect(readdirSync(join(top, "data")).filter((name) => !name.startsWith("davit.db"))).toEqual([]);
      const warnings: string[] = [];
      expect(openSnapshotter(state, undefined, (text) => warnings.push(text)).driver).toBe("vfs");
      expect(warnings).toEqual([expect.stringMatching(/vfs is used.*trusted.*extended attributes/)]);
    } finally {
      state.close();
    }
  } finally {
    unmountIfMounted(top);
    removeTree(top);
  }
});

test("a layer that a mounted snapshot stands on is not replaced", async () => {
  using bench = new StorageBench("overlay2");
  const { snapshots } = bench;
  for (const [name, parent] of [
    ["base", undefined],
    ["top", "base"],
  ] as const) {
    await snapshots.prepare("make", parent);
    await snapshots.commit("make", name);
  }
  await snapshots.prepare("container", "top");
  await snapshots.mount("container");
  await snapshots.prepare("better", undefined);
  await expect(snapshots.replace("better", "base")).rejects.toThrow(/container is mounted and stands on it/);
  await snapshots.unmount("container");
  await snapshots.replace("better", "base");
  expect(readdirSync(await snapshots.mount("container"))).toEqual([]);
});

test("info names the kernel's overlay features and what davit makes of them", () => {
  using bench = new StorageBench("overlay2");
  const pairs = new Map(bench.snapshots.describeDriver());
  expect(pairs.get("Supports d_type")).toBe("true");
  expect(pairs.get("Using metacopy")).toBe("false");
  expect(pairs.get("Native Overlay Diff")).toBe("true");
  for (const name of ["volatile", "metacopy", "redirect_dir", "index", "xino", "userxattr"]) {
    expect(pairs.get(`Kernel supports ${name}`)).toMatch(/^(true|false)$/);
  }
  expect(pairs.get("Kernel defaults")).toMatch(/^metacopy=\S+ redirect_dir=\S+ index=\S+ xino_auto=\S+$/);
  expect(mountsBelow(bench.top)).toEqual([]);
  expect(readdirSync(bench.instance.dataRoot).filter((name) => name.includes("probe"))).toEqual([]);
});

test("a data root on an overlay is refused with clear words, and gets vfs where nothing is asked for", async () => {
  using bench = new StorageBench("overlay2");
  await bench.snapshots.prepare("place", undefined);
  const inside = await bench.snapshots.mount("place");
  const state = openState(describeInstance(join(inside, "data"), join(bench.top, "exec-2")));
  try {
    expect(() => openSnapshotter(state, "overlay2")).toThrow(
      /the data root is on an overlay itself.*--storage-driver vfs/,
    );
    const warnings: string[] = [];
    expect(openSnapshotter(state, undefined, (text) => warnings.push(text)).driver).toBe("vfs");
    expect(warnings).toHaveLength(1);
  } finally {
    state.close();
  }
});

test("a file system without d_type is refused with the way out", () => {
  using disk = loopDisk(["mkfs.ext4", "-q", "-O", "^filetype"]);
  const state = openState(describeInstance(join(disk.path, "data"), join(disk.path, "exec")));
  try {
    expect(() => openSnapshotter(state, "overlay2")).toThrow(/extfs.*d_type.*--storage-driver vfs/);
    expect(openSnapshotter(state, undefined).driver).toBe("vfs");
  } finally {
    state.close();
  }
});
