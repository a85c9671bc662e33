import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeTree } from "../../src/linux/directories.ts";
import {
  bindMount,
  isMountPoint,
  mount,
  mountAttribute,
  mountFileSystem,
  mountFlag,
  setMountAttributes,
  unmount,
  unmountIfMounted,
} from "../../src/linux/mounts.ts";
import { walkTree } from "../../src/linux/walk.ts";
import { Scratch } from "../layers/scratch.ts";

/** A Scratch that takes what is mounted in it away first. */
class MountScratch extends Scratch {
  override [Symbol.dispose](): void {
    const mounted = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((path) => path.startsWith(`${this.path}/`));
    for (const path of mounted.reverse()) unmountIfMounted(path);
    super[Symbol.dispose]();
  }
}

test("a tmpfs is mounted, seen as a mount point and unmounted", () => {
  using scratch = new MountScratch();
  const target = scratch.directory("m");
  expect(isMountPoint(target)).toBe(false);
  expect(isMountPoint(scratch.file("missing"))).toBe(false);
  mount("tmpfs", target, "tmpfs", mountFlag.noSetuid, "size=1m");
  expect(isMountPoint(target)).toBe(true);
  unmount(target);
  expect(isMountPoint(target)).toBe(false);
  expect(unmountIfMounted(target)).toBe(false);
  expect(() => unmount(target)).toThrow(`umount ${target}: invalid argument`);
});

test("a read-only bind mount is read-only, and its source is not", () => {
  using scratch = new MountScratch();
  const [source, target] = [scratch.directory("source"), scratch.directory("target")];
  bindMount(source, target, { readOnly: true });
  expect(() => writeFileSync(join(target, "f"), "")).toThrow("EROFS");
  writeFileSync(join(source, "f"), "x");
  expect(readFileSync(join(target, "f"), "utf8")).toBe("x");
});

test("recursive read-only reaches the mounts below", () => {
  using scratch = new MountScratch();
  const [source, target] = [scratch.directory("source"), scratch.directory("target")];
  mkdirSync(join(source, "inner"));
  mount("tmpfs", join(source, "inner"), "tmpfs", 0);
  bindMount(source, target, { readOnly: true, recursive: true });
  expect(() => writeFileSync(join(target, "inner/f"), "")).toThrow("EROFS");
  writeFileSync(join(source, "inner/f"), "");
  setMountAttributes(target, { clear: mountAttribute.readOnly, recursive: true });
  writeFileSync(join(target, "inner/f"), "");
});

test("the fd-based calls mount with options and attributes", () => {
  using scratch = new MountScratch();
  const target = scratch.directory("m");
  mountFileSystem(
    "tmpfs",
    target,
    [
      ["size", "1m"],
      ["mode", "0700"],
    ],
    mountAttribute.noDevices,
  );
  expect(isMountPoint(target)).toBe(true);
  expect(() => writeFileSync(join(target, "big"), Buffer.alloc(2 << 20))).toThrow("ENOSPC");
});

test("the kernel's own explanation is in the message of a mount that fails", () => {
  using scratch = new MountScratch();
  const target = scratch.directory("m");
  expect(() => mountFileSystem("tmpfs", target, [["no_such_option", "1"]])).toThrow(/no_such_option/);
  expect(() => mountFileSystem("no-such-fs", target, [])).toThrow("fsopen no-such-fs: no such device");
});

test("removing and walking a tree stop at what is mounted in it", () => {
  using scratch = new MountScratch();
  const inner = scratch.directory("tree/inner");
  mount("tmpfs", inner, "tmpfs", 0);
  writeFileSync(join(inner, "kept"), "");
  expect([...walkTree(scratch.file("tree"))].map((node) => node.path)).toEqual(["inner"]);
  expect(() => removeTree(scratch.file("tree"))).toThrow("device or resource busy");
  expect(readdirSync(inner)).toEqual(["kept"]);
  unmount(inner);
  removeTree(scratch.file("tree"));
  expect(existsSync(scratch.file("tree"))).toBe(false);
});
