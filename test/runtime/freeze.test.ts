/** A process that waits in the kernel cannot be frozen at once: here for a disk that is far too slow. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SystemFailure } from "../../src/core/errors.ts";
import {
  containerPids,
  controllerDirectory,
  detectCgroups,
  isFrozen,
  readText,
} from "../../src/runtime/cgroups.ts";
import { freezeContainer } from "../../src/runtime/freeze.ts";
import { containerState } from "../../src/runtime/runtimes.ts";
import { type LoopDisk, loopDisk, missingForLoopDisk } from "../storage/loop-disk.ts";
import { Box, unpackRoot } from "./box.ts";

let root: ReturnType<typeof unpackRoot>;
beforeAll(() => {
  root = unpackRoot();
  mkdirSync(join(root.path, "disk"));
});
afterAll(() => root.remove());

const layout = detectCgroups();
const controller = layout.version === "v2" ? "io" : "blkio";
const missing = layout.controllers.has(controller)
  ? missingForLoopDisk("mkfs.ext4")
  : `no cgroup controller ${controller}`;
const suite = missing === undefined ? describe : describe.skip;

for (const runtime of ["crun", "runc"] as const) {
  suite(`a container under ${runtime}${missing === undefined ? "" : ` (${missing})`}`, () => {
    test("that waits for its disk is paused when it has what it waits for", async () => {
      using disk = loopDisk(["mkfs.ext4", "-q"], 16);
      await using box = await reader(disk);
      using slow = await slowDown(disk, box);
      const paused = freezeContainer(box.runtime, box.id, place(box));
      await Bun.sleep(600);
      expect(isFrozen(box.cgroups, box.cgroupPath)).toBe(false);
      slow[Symbol.dispose]();
      await paused;
      expect(isFrozen(box.cgroups, box.cgroupPath)).toBe(true);
      expect(await containerState(box.runtime, box.id)).toMatchObject({ status: "paused" });
    });

    test("that goes on waiting for its disk is not paused", async () => {
      using disk = loopDisk(["mkfs.ext4", "-q"], 16);
      await using box = await reader(disk);
      using slow = await slowDown(disk, box);
      const attempt = freezeContainer(box.runtime, box.id, { ...place(box), patience: 300 });
      await expect(attempt).rejects.toThrow(SystemFailure);
      await expect(attempt).rejects.toThrow(/unable to freeze: .* waited for a disk/);
      expect(await containerState(box.runtime, box.id)).toMatchObject({ status: "running" });
      slow[Symbol.dispose]();
      while (waitsInTheKernel(box)) await Bun.sleep(5);
      expect(isFrozen(box.cgroups, box.cgroupPath)).toBe(false);
    });
  });

  /** A container that reads from the disk itself, never from memory, all the time. */
  async function reader(disk: LoopDisk): Promise<Box> {
    writeFileSync(join(disk.path, "file"), new Uint8Array(1_000_000));
    const box = await Box.create({
      rootfs: root.path,
      runtime,
      args: ["sh", "-c", "while :; do dd if=/disk/file of=/dev/null bs=4096 iflag=direct; done"],
      mounts: [{ type: "bind", source: disk.path, destination: "/disk", readonly: false }],
    });
    await box.start();
    return box;
  }
}

const place = (box: Box) => ({ layout: box.cgroups, path: box.cgroupPath });

/** Until it is disposed of, the disk gives the container a byte a second. Resolves when the container waits for it. */
async function slowDown(disk: LoopDisk, box: Box): Promise<Disposable> {
  limit(disk, box, 1);
  let slow = true;
  const guard = {
    [Symbol.dispose]: () => {
      if (slow) limit(disk, box, undefined);
      slow = false;
    },
  };
  try {
    while (!waitsInTheKernel(box)) await Bun.sleep(2);
    return guard;
  } catch (error) {
    guard[Symbol.dispose]();
    throw error;
  }
}

/** @param rate bytes a second; no limit when undefined. */
function limit(disk: LoopDisk, box: Box, rate: number | undefined): void {
  const directory = controllerDirectory(box.cgroups, controller, box.cgroupPath);
  if (directory === undefined) throw new Error(`no cgroup controller ${controller}`);
  const { dev } = statSync(disk.path);
  const device = `${dev >> 8}:${dev & 255}`;
  if (controller === "io") writeFileSync(join(directory, "io.max"), `${device} rbps=${rate ?? "max"}`);
  else writeFileSync(join(directory, "blkio.throttle.read_bps_device"), `${device} ${rate ?? 0}`);
}

/** The state is the third field of proc_pid_stat(5), after a name that may hold anything. */
function waitsInTheKernel(box: Box): boolean {
  return containerPids(box.cgroups, box.cgroupPath).some((pid) => {
    const stat = readText(`/proc/${pid}/stat`) ?? "";
    return stat.slice(stat.lastIndexOf(")")).startsWith(") D");
  });
}
