/** A file system of its own, in a file that is mounted through a loop device. */
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface LoopDisk extends Disposable {
  /** Where it is mounted. */
  readonly path: string;
}

/** Why there can be no such disk here, in words for the one who runs the tests; undefined when there can. */
export function missingForLoopDisk(mkfs: string): string | undefined {
  return Bun.which(mkfs) === null ? `${mkfs} is not installed (scripts/setup.sh --tests)` : undefined;
}

/** @param mkfs the program and its options; the device comes last. */
export function loopDisk(mkfs: readonly string[], megabytes = 512): LoopDisk {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-disk-"));
  const [image, path] = [join(directory, "disk.img"), join(directory, "disk")];
  try {
    mkdirSync(path);
    closeSync(openSync(image, "w"));
    truncateSync(image, megabytes * 1024 * 1024);
    run(...mkfs, image);
    run("mount", "-o", "loop", image, path);
  } catch (error) {
    rmSync(directory, { recursive: true });
    throw error;
  }
  return {
    path,
    [Symbol.dispose]: () => {
      try {
        run("umount", path);
      } catch (error) {
        // A failure: somebody has left something open in it. But nothing is to stay behind.
        run("umount", "-l", path);
        throw error;
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
  };
}

function run(...words: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(words);
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
}
