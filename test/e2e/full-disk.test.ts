/** The disk that holds the data root fills up: a clear word, nothing half-done, and all works again afterwards. */
import { expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasErrno } from "../../src/core/errors.ts";
import { busyboxArchive } from "../harness/images.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";
import { expectStateAgain, stateOf } from "./world.ts";

const image = "davit-busybox";
const timeout = 120_000;
const kilobyte = 1024;

interface Disk extends AsyncDisposable {
  readonly path: string;
  /** Uses up the room that is left, but for this many bytes. */
  fill(left?: number): void;
  free(): void;
}

/** A small file system of its own, in a file. */
function smallDisk(megabytes: number): Disk {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-"));
  const [device, path] = [join(directory, "disk.img"), join(directory, "disk")];
  mkdirSync(path);
  const run = (...words: string[]) => {
    const done = Bun.spawnSync(words);
    if (done.exitCode !== 0) throw new Error(`${words.join(" ")}: ${done.stderr}`);
  };
  closeSync(openSync(device, "w"));
  truncateSync(device, megabytes * kilobyte * kilobyte);
  run("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", device);
  run("mount", "-o", "loop", device, path);
  const filler = join(path, "filler");
  return {
    path,
    fill: (left = 0) => {
      const fd = openSync(filler, "w");
      let written = 0;
      for (let size = kilobyte * kilobyte; size >= kilobyte; ) {
        try {
          written += writeSync(fd, Buffer.alloc(size, 1));
        } catch (error) {
          if (!hasErrno(error, "ENOSPC")) throw error;
          size /= 2;
        }
      }
      closeSync(fd);
      truncateSync(filler, Math.max(0, written - left));
    },
    free: () => rmSync(filler),
    [Symbol.asyncDispose]: async () => {
      run("umount", path);
      rmSync(directory, { recursive: true });
    },
  };
}

async function onDisk(disk: Disk): Promise<DavitInstance> {
  return await newInstance({ dataRoot: join(disk.path, "data") });
}

/** Every line that was printed is one for a person: no traces. */
const clear =
  /^(Error response from daemon: |davit: Error response from daemon: )?(write |mkdir |open )?\S.*no space left on device/i;

test(
  "a disk without any room: what cannot be done is told, and leaves nothing behind",
  async () => {
    await using disk = smallDisk(16);
    await using davit = await onDisk(disk);
    const before = await stateOf(davit);
    const commands = [
      ["create", "--name", "made", image],
      ["run", "--rm", "-v", "data:/data", image, "true"],
      ["run", "-d", "--name", "running", "-p", "127.0.0.1::80", image, "sleep", "600"],
      ["volume", "create", "made"],
      ["tag", image, "made"],
      ["load", "--input", await busyboxArchive()],
      ["rmi", image],
    ];
    let refusals = 0;
    for (const left of [0, 8 * kilobyte, 32 * kilobyte, 96 * kilobyte]) {
      disk.fill(left);
      for (const args of commands.slice(0, left === 0 ? commands.length : 3)) {
        const { code, stdout, stderr } = await davit.run(args);
        // That much room, or what davit keeps for what frees more, was enough for it.
        if (code === 0) continue;
        refusals += 1;
        expect({ args, code, stdout }).toEqual({ args, code: args[0] === "run" ? 125 : 1, stdout: "" });
        expect(stderr).toMatch(clear);
        expect(stderr.split("\n").length).toBeLessThanOrEqual(args[0] === "run" ? 4 : 2);
      }
      disk.free();
      const made = await davit.output(["ps", "--all", "--quiet"]);
      if (made !== "") await davit.output(["rm", "--force", ...made.split("\n")]);
      const volumes = await davit.output(["volume", "ls", "--quiet"]);
      if (volumes !== "") await davit.output(["volume", "rm", ...volumes.split("\n")]);
      if ((await davit.output(["images", "--quiet", "made"])) !== "") await davit.output(["rmi", "made"]);
      if ((await davit.output(["images", "--quiet"])) === "") await davit.loadBusybox();
      await expectStateAgain(davit, { ...before, snapshots: (await stateOf(davit)).snapshots });
      expect(await davit.output(["run", "--rm", image, "echo", "works"])).toBe("works");
    }
    expect(refusals).toBeGreaterThan(0);
  },
  timeout,
);

test(
  "a load that does not fit leaves the disk as it was",
  async () => {
    await using disk = smallDisk(16);
    await using davit = await newInstance({ busybox: false, dataRoot: join(disk.path, "data") });
    await davit.output(["images"]);
    const archive = await busyboxArchive();
    const before = await stateOf(davit);
    // Room for nothing, for some of the blobs, for these but not for the files in them.
    for (const left of [64, 1024, 3000]) {
      disk.fill(left * kilobyte);
      const { code, stdout, stderr } = await davit.run(["load", "--input", archive]);
      expect({ left, code, stdout }).toEqual({ left, code: 1, stdout: "" });
      expect(stderr).toMatch(clear);
      await expectStateAgain(davit, { ...before, snapshots: (await stateOf(davit)).snapshots });
      disk.free();
      const blobs = join(davit.instance.dataRoot, "content", "blobs", "sha256");
      expect(existsSync(blobs) ? Array.from(new Bun.Glob("*").scanSync(blobs)) : []).toEqual([]);
    }
    await davit.loadBusybox();
    expect(await davit.output(["run", "--rm", image, "echo", "works"])).toBe("works");
  },
  timeout,
);

test(
  "a container that fills the disk is told by the kernel, ends, and can be removed",
  async () => {
    await using disk = smallDisk(24);
    await using davit = await onDisk(disk);
    const fill = "dd if=/dev/zero of=/big bs=64k 2>/dev/null; echo ended with $?; exit 7";
    const run = await davit.run(["run", "--name", "filler", image, "sh", "-c", fill]);
    // Its output reached us, whatever became of the log.
    expect(run.stdout).toBe("ended with 1\n");
    expect([7, 125]).toContain(run.code);
    if (run.code === 125) expect(run.stderr).toMatch(clear);
    // The way out that a person has: remove it.
    await davit.output(["rm", "--force", "filler"]);
    expect(await davit.output(["ps", "--all", "--quiet"])).toBe("");
    expect(await davit.output(["run", "--rm", image, "echo", "works"])).toBe("works");

    const removing = await davit.run(["run", "--rm", image, "sh", "-c", fill]);
    expect(removing.stdout).toBe("ended with 1\n");
    expect(removing.code).toBe(7);
    expect(await davit.output(["run", "--rm", image, "echo", "works"])).toBe("works");
  },
  timeout,
);
