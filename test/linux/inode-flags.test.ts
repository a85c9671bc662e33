import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spreadSubdirectories } from "../../src/linux/inode-flags.ts";

test("a directory's subdirectories are spread over the disk where the file system knows how", async () => {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-inode-flags-"));
  try {
    const isExt4 = (await Bun.$`stat -f -c %T ${directory}`.text()).startsWith("ext2");
    const isSpread = spreadSubdirectories(directory);
    if (!isExt4) return;
    expect(isSpread).toBe(true);
    expect((await Bun.$`lsattr -d ${directory}`.text()).split(" ")[0]).toContain("T");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a file system without such a flag is left as it is", () => {
  expect(spreadSubdirectories("/proc")).toBe(false);
});
