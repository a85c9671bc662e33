/**
 * What every Snapshotter must do: the contract in src/storage/snapshotter.ts, as tests. A driver passes by calling
 * `snapshotterConformance` from a test file of its own.
 */
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Conflict, NotFound } from "../../src/core/errors.ts";
import { describeInstance, type Instance } from "../../src/core/instance.ts";
import { applyLayer } from "../../src/images/layers/apply.ts";
import { diffTar } from "../../src/images/layers/diff.ts";
import { removeTree } from "../../src/linux/directories.ts";
import { isMountPoint, unmountIfMounted } from "../../src/linux/mounts.ts";
import { openState, type State } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";
import type { SnapshotInfo, Snapshotter } from "../../src/storage/snapshotter.ts";
import { archive } from "../layers/archives.ts";
import { makeSampleTree } from "../layers/sample-tree.ts";
import { treeFacts } from "../layers/scratch.ts";

/** An instance of its own, with nothing of it left afterwards. */
export class StorageBench implements Disposable {
  readonly top: string;
  readonly instance: Instance;
  readonly state: State;
  readonly snapshots: Snapshotter;

  /** @param place a directory on the file system that it is to be on. */
  constructor(driver: string | undefined, place: string = tmpdir()) {
    this.top = mkdtempSync(join(place, "davit-test-"));
    this.instance = describeInstance(join(this.top, "data"), join(this.top, "exec"));
    this.state = openState(this.instance);
    this.snapshots = openSnapshotter(this.state, driver);
  }

  /** Directories of snapshots on the disk. */
  directories(): string[] {
    return readdirSync(join(this.instance.dataRoot, this.snapshots.driver)).filter((name) => name !== "lock");
  }

  [Symbol.dispose](): void {
    this.state.close();
    for (const mounted of mountsBelow(this.top)) unmountIfMounted(mounted);
    // Subvolumes go with the file system that they are on.
    if (this.snapshots.driver !== "btrfs") removeTree(this.top);
  }
}

export function mountsBelow(top: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${top}/`));
}

const nothingUsed = () => false;
const allUsed = () => true;

/** @param place gives the directory that each test's instance is made in; asked when a test begins. */
export function snapshotterConformance(driver: string, place?: () => string): void {
  const newBench = () => new StorageBench(driver, place?.());

  /** Commits a snapshot after `write` has written into its mounted tree. */
  async function layer(
    snapshots: Snapshotter,
    name: string,
    parent: string | undefined,
    write: (root: string) => void,
  ): Promise<void> {
    await snapshots.prepare(`make-${name}`, parent);
    write(await snapshots.mount(`make-${name}`));
    await snapshots.commit(`make-${name}`, name);
  }

  describe(`${driver} snapshotter`, () => {
    test("an empty snapshot is an empty, writable directory where mountPath says", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await snapshots.prepare("a", undefined);
      const path = snapshots.mountPath("a");
      const root = await snapshots.mount("a");
      expect(root).toBe(path);
      expect(readdirSync(root)).toEqual([]);
      expect(statSync(root).mode & 0o777).toBe(0o755);
      writeFileSync(join(root, "f"), "x");
      expect(await snapshots.list()).toEqual([{ key: "a", state: "active", parent: undefined }]);
      expect(await snapshots.has("a")).toBe(true);
      expect(await snapshots.has("b")).toBe(false);
    });

    test("what was written before an unmount is there after the next mount", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await snapshots.prepare("a", undefined);
      for (const volatile of [false, true, true, false]) {
        const root = await snapshots.mount("a", { volatile });
        const before = readdirSync(root).length;
        writeFileSync(join(root, `f${before}`), "x");
        expect(readdirSync(root)).toHaveLength(before + 1);
        await snapshots.unmount("a");
      }
    });

    test("mount and unmount may be repeated", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await snapshots.prepare("a", undefined);
      const root = await snapshots.mount("a");
      expect(await snapshots.mount("a")).toBe(root);
      expect(mountsBelow(bench.top).length).toBeLessThan(2);
      await snapshots.unmount("a");
      await snapshots.unmount("a");
      await snapshots.unmount("never there");
      expect(mountsBelow(bench.top)).toEqual([]);
    });

    test("unmount works while somebody is inside", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await snapshots.prepare("a", undefined);
      const root = await snapshots.mount("a");
      const inside = Bun.spawn(["sleep", "60"], { cwd: root });
      try {
        await snapshots.unmount("a");
        expect(isMountPoint(root)).toBe(false);
      } finally {
        inside.kill();
        await inside.exited;
      }
    });

    test("a child shows its parent's tree, with everything as it was", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      let made: unknown;
      await layer(snapshots, "base", undefined, (root) => {
        makeSampleTree(root);
        chmodSync(root, 0o751);
        made = seen(root);
      });
      await snapshots.prepare("child", "base");
      const root = await snapshots.mount("child");
      expect(seen(root)).toEqual(made);
      expect(statSync(root).mode & 0o777).toBe(0o751);
    });

    test("children of one parent do not see each other, nor change it", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, (root) => {
        writeFileSync(join(root, "shared"), "base");
        linkSync(join(root, "shared"), join(root, "also"));
        mkdirSync(join(root, "dir"));
        writeFileSync(join(root, "dir/x"), "x");
      });
      await snapshots.prepare("one", "base");
      await snapshots.prepare("two", "base");
      const [one, two] = [await snapshots.mount("one"), await snapshots.mount("two")];
      writeFileSync(join(one, "shared"), "one");
      rmSync(join(one, "dir"), { recursive: true });
      writeFileSync(join(one, "new"), "");
      expect(readFileSync(join(two, "shared"), "utf8")).toBe("base");
      expect(readdirSync(two).sort()).toEqual(["also", "dir", "shared"]);
      await snapshots.prepare("three", "base");
      const three = await snapshots.mount("three");
      expect(readFileSync(join(three, "shared"), "utf8")).toBe("base");
      expect(lstatSync(join(three, "shared")).nlink).toBe(2);
      expect(readdirSync(join(three, "dir"))).toEqual(["x"]);
    });

    test("deletions and replaced directories hold in the layers above", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "l1", undefined, (root) => {
        mkdirSync(join(root, "d"));
        writeFileSync(join(root, "d/old"), "old");
        writeFileSync(join(root, "gone"), "gone");
      });
      await layer(snapshots, "l2", "l1", (root) => {
        rmSync(join(root, "gone"));
        rmSync(join(root, "d"), { recursive: true });
        mkdirSync(join(root, "d"));
        writeFileSync(join(root, "d/new"), "new");
      });
      await layer(snapshots, "l3", "l2", (root) => symlinkSync("d", join(root, "link")));
      await snapshots.prepare("top", "l3");
      const root = await snapshots.mount("top");
      expect(readdirSync(root).sort()).toEqual(["d", "link"]);
      expect(readdirSync(join(root, "link"))).toEqual(["new"]);
    });

    test("layers are unpacked without a mount, whiteouts and opaque directories too", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      const unpack = async (name: string, parent: string | undefined, bytes: Buffer) => {
        await snapshots.prepare(`make-${name}`, parent);
        async function* once() {
          yield bytes;
        }
        await applyLayer(once(), await snapshots.layerTarget(`make-${name}`));
        await snapshots.commit(`make-${name}`, name);
      };
      await unpack(
        "l1",
        undefined,
        archive(
          { name: "./", type: "directory", mode: 0o711 },
          { name: "a/", type: "directory" },
          { name: "a/1", type: "file" },
          { name: "b/", type: "directory" },
          { name: "b/1", type: "file" },
          { name: "c", type: "file" },
        ),
      );
      await unpack(
        "l2",
        "l1",
        archive(
          { name: "a/.wh.1", type: "file" },
          { name: "b/", type: "directory" },
          { name: "b/.wh..wh..opq", type: "file" },
          { name: "b/2", type: "file" },
          { name: ".wh.c", type: "file" },
        ),
      );
      await snapshots.prepare("top", "l2");
      const root = await snapshots.mount("top");
      expect(Object.keys(treeFacts(root).nodes).sort()).toEqual([".", "a", "b", "b/2"]);
      expect(statSync(root).mode & 0o777).toBe(0o711);
    });

    test("the diff of a snapshot makes the same tree on the same parent", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, makeSampleTree);
      await snapshots.prepare("change", "base");
      const changed = await snapshots.mount("change");
      rmSync(join(changed, "dir"), { recursive: true });
      writeFileSync(join(changed, "file"), "changed");
      mkdirSync(join(changed, "new/deep"), { recursive: true });
      writeFileSync(join(changed, "new/deep/file"), "new");
      await snapshots.prepare("again", "base");
      await applyLayer(diffTar(await snapshots.layerTarget("change")), await snapshots.layerTarget("again"));
      expect(seen(await snapshots.mount("again"))).toEqual(seen(changed));
    });

    test("130 layers are mounted and show the topmost of each file", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      let parent: string | undefined;
      for (let index = 0; index < 130; index += 1) {
        await snapshots.prepare("next", parent);
        const { path } = await snapshots.layerTarget("next");
        writeFileSync(join(path, `only-${index}`), "");
        rmSync(join(path, "all"), { force: true });
        writeFileSync(join(path, "all"), `${index}`);
        parent = `layer-${index}`;
        await snapshots.commit("next", parent);
      }
      await snapshots.prepare("top", parent);
      const root = await snapshots.mount("top");
      expect(readdirSync(root)).toHaveLength(131);
      expect(readFileSync(join(root, "all"), "utf8")).toBe("129");
    }, 60_000);

    test("keys and names: what is taken or unknown is refused and changes nothing", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await snapshots.prepare("active", undefined);
      await layer(snapshots, "committed", undefined, (root) => writeFileSync(join(root, "f"), "f"));
      await expect(snapshots.prepare("active", undefined)).rejects.toThrow(Conflict);
      await expect(snapshots.prepare("committed", undefined)).rejects.toThrow(Conflict);
      await expect(snapshots.prepare("x", "unknown")).rejects.toThrow(NotFound);
      await expect(snapshots.prepare("x", "active")).rejects.toThrow(NotFound);
      await expect(snapshots.mount("unknown")).rejects.toThrow(NotFound);
      await expect(snapshots.mount("committed")).rejects.toThrow(Conflict);
      expect(() => snapshots.mountPath("unknown")).toThrow(NotFound);
      await expect(snapshots.commit("unknown", "y")).rejects.toThrow(NotFound);
      const root = await snapshots.mount("active");
      writeFileSync(join(root, "kept"), "kept");
      await expect(snapshots.commit("active", "committed")).rejects.toThrow(Conflict);
      expect(readdirSync(snapshots.mountPath("active"))).toEqual(["kept"]);
      expect(await snapshots.list()).toEqual([
        { key: "active", state: "active", parent: undefined },
        { key: "committed", state: "committed", parent: undefined },
      ]);
      expect(bench.directories()).toHaveLength(2);
    });

    test("remove takes everything away, but no parent", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, makeSampleTree);
      await snapshots.prepare("child", "base");
      await snapshots.mount("child");
      await expect(snapshots.remove("base")).rejects.toThrow(Conflict);
      await snapshots.remove("child");
      await snapshots.remove("base");
      await snapshots.remove("base");
      expect(await snapshots.list()).toEqual([]);
      expect(bench.directories()).toEqual([]);
      expect(mountsBelow(bench.top)).toEqual([]);
      await snapshots.prepare("child", undefined);
      expect(readdirSync(await snapshots.mount("child"))).toEqual([]);
    });

    test("usage counts what a snapshot adds, each inode once", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, (root) =>
        writeFileSync(join(root, "big"), Buffer.alloc(100_000)),
      );
      await snapshots.prepare("child", "base");
      const root = await snapshots.mount("child");
      writeFileSync(join(root, "small"), "12345");
      linkSync(join(root, "small"), join(root, "link"));
      expect(await snapshots.usage("child")).toEqual({ bytes: 5, inodes: 1 });
      expect(await snapshots.usage("base")).toEqual({ bytes: 100_000, inodes: 1 });
    });

    test("describe names existing directories", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, () => {});
      await snapshots.prepare("child", "base");
      for (const path of Object.values(await snapshots.describe("child")))
        expect(existsSync(path)).toBe(true);
    });

    test("sync returns, and the records are there for the next process", async () => {
      using bench = newBench();
      await layer(bench.snapshots, "base", undefined, () => {});
      await bench.snapshots.sync();
      const other = openState(bench.instance);
      try {
        expect(await openSnapshotter(other, undefined).list()).toEqual([
          { key: "base", state: "committed", parent: undefined },
        ]);
      } finally {
        other.close();
      }
    });

    test("sweep removes active snapshots that nobody uses, and keeps the others", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, () => {});
      await snapshots.prepare("used", "base");
      await snapshots.prepare("unused", "base");
      await snapshots.mount("used");
      await snapshots.mount("unused");
      await snapshots.sweep((info: SnapshotInfo) => info.key === "used");
      expect((await snapshots.list()).map((info) => info.key).sort()).toEqual(["base", "used"]);
      expect(bench.directories()).toHaveLength(2);
    });

    test("a layer is replaced by a better one, and what stands on it stands on that", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, (root) => writeFileSync(join(root, "f"), "bad"));
      await snapshots.prepare("child", "base");
      writeFileSync(join(await snapshots.mount("child"), "own"), "own");
      await snapshots.unmount("child");
      await snapshots.prepare("better", undefined);
      writeFileSync(join(await snapshots.mount("better"), "f"), "good");
      await snapshots.replace("better", "base");
      expect(await snapshots.list()).toEqual([
        { key: "child", state: "active", parent: "base" },
        { key: "base", state: "committed", parent: undefined },
      ]);
      expect(bench.directories()).toHaveLength(2);
      await snapshots.prepare("new", "base");
      expect(readFileSync(join(await snapshots.mount("new"), "f"), "utf8")).toBe("good");
      const child = await snapshots.mount("child");
      expect(readdirSync(child).sort()).toEqual(["f", "own"]);
      expect(readFileSync(join(child, "own"), "utf8")).toBe("own");
    });

    test("what cannot replace a layer is refused and changes nothing", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, () => {});
      await layer(snapshots, "top", "base", () => {});
      await snapshots.prepare("alone", undefined);
      const before = await snapshots.list();
      await expect(snapshots.replace("alone", "top")).rejects.toThrow(Conflict);
      await expect(snapshots.replace("base", "base")).rejects.toThrow(Conflict);
      await expect(snapshots.replace("unknown", "base")).rejects.toThrow(NotFound);
      await expect(snapshots.replace("alone", "unknown")).rejects.toThrow(NotFound);
      expect(await snapshots.list()).toEqual(before);
      expect(bench.directories()).toHaveLength(3);
    });

    test("a layer that is set aside gives its name away and carries on what stands on it", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, (root) => writeFileSync(join(root, "f"), "old"));
      await snapshots.prepare("child", "base");
      const aside = await snapshots.setAside("base");
      expect(aside).toStartWith("aside-");
      expect(await snapshots.has("base")).toBe(false);
      await layer(snapshots, "base", undefined, (root) => writeFileSync(join(root, "f"), "new"));
      expect(readFileSync(join(await snapshots.mount("child"), "f"), "utf8")).toBe("old");
      await expect(snapshots.remove(aside)).rejects.toThrow(Conflict);
      await snapshots.remove("child");
      await snapshots.remove(aside);
      expect((await snapshots.list()).map((info) => info.key)).toEqual(["base"]);
      await snapshots.prepare("active", undefined);
      await expect(snapshots.setAside("active")).rejects.toThrow(Conflict);
      await expect(snapshots.setAside("unknown")).rejects.toThrow(NotFound);
    });

    test("directories without a record, and records without files, are told", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, () => {});
      await snapshots.prepare("child", "base");
      expect(await snapshots.orphans()).toEqual([]);
      expect(snapshots.problemOf("base")).toBeUndefined();
      expect(snapshots.problemOf("unknown")).toContain("no record");
      const { path } = await snapshots.layerTarget("child");
      removeTree(path);
      expect(snapshots.problemOf("child")).toContain("missing");
      mkdirSync(join(bench.instance.dataRoot, driver, "stray"));
      expect(await snapshots.orphans()).toEqual(["stray"]);
      await snapshots.sweep(allUsed);
      expect(await snapshots.orphans()).toEqual([]);
    });

    test("the driver tells what file system it is on", () => {
      using bench = newBench();
      const [first] = bench.snapshots.describeDriver();
      expect(first?.[0]).toBe("Backing Filesystem");
      expect(first?.[1]).toMatch(/^[a-z0-9]+$/);
    });

    test("a process killed while it replaces a layer leaves the good one, and nothing else after a sweep", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, (root) => writeFileSync(join(root, "f"), "bad"));
      const child = Bun.spawn(workerCommand(bench, "replace", "snapshot:replaced"));
      await child.exited;
      expect(child.signalCode).toBe("SIGKILL");
      await snapshots.sweep(allUsed);
      expect((await snapshots.list()).map((info) => info.key)).toEqual(["base"]);
      expect(bench.directories()).toHaveLength(1);
      await snapshots.prepare("top", "base");
      expect(readFileSync(join(await snapshots.mount("top"), "f"), "utf8")).toBe("good");
    }, 20_000);

    for (const point of ["snapshot:reserved", "snapshot:made", "snapshot:condemned", "snapshot:destroyed"]) {
      test(`a process killed at ${point} leaves nothing that sweep does not find`, async () => {
        using bench = newBench();
        const { snapshots } = bench;
        await layer(snapshots, "base", undefined, makeSampleTree);
        const work =
          point === "snapshot:reserved" || point === "snapshot:made" ? "prepare" : "prepare-remove";
        const child = Bun.spawn(workerCommand(bench, work, point), { stderr: "inherit", stdout: "inherit" });
        await child.exited;
        expect(child.signalCode).toBe("SIGKILL");
        await snapshots.sweep(allUsed);
        expect((await snapshots.list()).map((info) => info.key)).toEqual(["base"]);
        expect(bench.directories()).toHaveLength(1);
        expect(mountsBelow(bench.top)).toEqual([]);
        await snapshots.prepare("worker-0", "base");
        await snapshots.sweep(nothingUsed);
        expect((await snapshots.list()).map((info) => info.key)).toEqual(["base"]);
      }, 20_000);
    }

    test("a snapshot whose commit was interrupted is committed, and not mounted after a sweep", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, (root) => writeFileSync(join(root, "f"), "base"));
      const child = Bun.spawn(workerCommand(bench, "prepare-commit", "snapshot:committed"));
      await child.exited;
      expect(child.signalCode).toBe("SIGKILL");
      await snapshots.sweep(allUsed);
      expect(mountsBelow(bench.top)).toEqual([]);
      await snapshots.prepare("top", "worker-committed");
      expect(readdirSync(await snapshots.mount("top")).sort()).toEqual(["f", "new"]);
    }, 20_000);

    test("processes work side by side, sweeping at the same time", async () => {
      using bench = newBench();
      const { snapshots } = bench;
      await layer(snapshots, "base", undefined, (root) => writeFileSync(join(root, "f"), "base"));
      const workers = ["a", "b", "c"].map((name) =>
        Bun.spawn(workerCommand(bench, `cycle-${name}`, ""), { stderr: "inherit", stdout: "inherit" }),
      );
      let running = true;
      const done = Promise.all(workers.map((worker) => worker.exited)).then((codes) => {
        running = false;
        return codes;
      });
      while (running) {
        await snapshots.sweep(allUsed);
        await Bun.sleep(2);
      }
      expect(await done).toEqual([0, 0, 0]);
      expect((await snapshots.list()).map((info) => info.key)).toEqual(["base"]);
      expect(bench.directories()).toHaveLength(1);
      expect(mountsBelow(bench.top)).toEqual([]);
    }, 60_000);
  });
}

/** Content, modes, owners, times, xattrs; without what overlay itself keeps in xattrs of directories. */
function seen(root: string): unknown {
  const facts = treeFacts(root);
  // The root's own time changes with what is made in it.
  delete facts.nodes["."]?.mtime;
  return facts;
}

function workerCommand(bench: StorageBench, work: string, point: string): string[] {
  const { dataRoot, execRoot } = bench.instance;
  return [
    process.execPath,
    join(import.meta.dir, "worker.ts"),
    dataRoot,
    execRoot,
    bench.snapshots.driver,
    work,
    point,
  ];
}
