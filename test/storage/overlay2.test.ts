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
import { StorageBench, snapshotterConformance } from "./conformance.ts";

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
      expect(() => openSnapshotter(state, undefined)).toThrow(Unavailable);
      expect(() => openSnapshotter(state, "overlay2")).toThrow(
        /trusted.*extended attributes.*--storage-driver vfs/,
      );
      expect(readdirSync(join(top, "data")).filter((name) => !name.startsWith("davit.db"))).toEqual([]);
      expect(openSnapshotter(state, "vfs").driver).toBe("vfs");
    } finally {
      state.close();
    }
  } finally {
    unmountIfMounted(top);
    removeTree(top);
  }
});
