/** Room that is kept for what frees more. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileSystemStatus } from "../../src/linux/disks.ts";
import { mount, unmountIfMounted } from "../../src/linux/mounts.ts";
import { keepReserve, useReserve } from "../../src/state/reserve.ts";

const megabyte = 1 << 20;

/** A disk of 16 MB. */
function newDisk(): { path: string; reserve: string; fill(left: number): void } & Disposable {
  const top = mkdtempSync(join(tmpdir(), "davit-test-"));
  const path = join(top, "disk");
  mkdirSync(path);
  mount("tmpfs", path, "tmpfs", 0, "size=16m");
  return {
    path,
    reserve: join(path, "reserve"),
    fill: (left) => {
      const room = fileSystemStatus(path).freeBytes - left;
      writeFileSync(join(path, "filler"), Buffer.alloc(room));
    },
    [Symbol.dispose]: () => {
      unmountIfMounted(path);
      rmSync(top, { recursive: true });
    },
  };
}

test("the reserve is made once, and not used while there is room", () => {
  using disk = newDisk();
  keepReserve(disk.reserve);
  expect(statSync(disk.reserve).size).toBe(megabyte);
  expect(useReserve(disk.reserve)).toBe(false);
  expect(statSync(disk.reserve).size).toBe(megabyte);
});

test("on a full disk a piece is given up at a time, and no more than is needed", () => {
  using disk = newDisk();
  keepReserve(disk.reserve);
  disk.fill(0);
  let uses = 0;
  while (useReserve(disk.reserve)) uses += 1;
  expect(uses).toBe(2);
  expect(fileSystemStatus(disk.path).freeBytes).toBe(256 << 10);
  expect(statSync(disk.reserve).size).toBe(megabyte - (256 << 10));
});

test("it is made whole again when there is ample room, and not before", () => {
  using disk = newDisk();
  keepReserve(disk.reserve);
  disk.fill(0);
  useReserve(disk.reserve);
  keepReserve(disk.reserve);
  expect(statSync(disk.reserve).size).toBeLessThan(megabyte);
  truncateSync(join(disk.path, "filler"), 0);
  keepReserve(disk.reserve);
  expect(statSync(disk.reserve).size).toBe(megabyte);
});

test("a disk that never had room for it has none", () => {
  using disk = newDisk();
  disk.fill(4 * megabyte);
  keepReserve(disk.reserve);
  expect(statSync(disk.reserve, { throwIfNoEntry: false })).toBeUndefined();
  expect(useReserve(disk.reserve)).toBe(false);
});
