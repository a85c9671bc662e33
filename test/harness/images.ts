/** The small image that most tests run: busybox in a docker-archive, made once and kept. */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { closeLockFile, openLockFile, tryLock } from "../../src/linux/flock.ts";

/** The name that the archive gives the image. */
export const busyboxImage = "davit-busybox:latest";

const repository = join(import.meta.dir, "..", "..");
const script = join(repository, "scripts", "busybox-image.sh");
const cache = join(repository, "node_modules", ".cache", "davit-test");

/** @returns the path of a docker-archive of `davit-busybox:latest`, the same file for all tests. */
export async function busyboxArchive(): Promise<string> {
  const archive = join(cache, `busybox-${await fingerprint()}.tar`);
  if (await Bun.file(archive).exists()) return archive;

  mkdirSync(cache, { recursive: true });
  const lockPath = join(cache, "lock");
  const fd = openLockFile(lockPath);
  try {
    while (!tryLock(fd, "exclusive", lockPath)) await Bun.sleep(20);
    if (await Bun.file(archive).exists()) return archive;
    const making = `${archive}.${process.pid}`;
    const made = Bun.spawnSync(["sh", script, making, busyboxImage]);
    if (made.exitCode !== 0) {
      rmSync(making, { force: true });
      throw new Error(`${script} failed (is busybox-static installed?): ${made.stderr.toString()}`);
    }
    renameSync(making, archive);
    return archive;
  } finally {
    closeLockFile(fd);
  }
}

/** Changes when the script or the machine's busybox changes. */
async function fingerprint(): Promise<string> {
  const busybox = Bun.which("busybox") ?? "/bin/busybox";
  const file = Bun.file(busybox);
  const hash = new Bun.CryptoHasher("sha256");
  hash.update(await Bun.file(script).bytes());
  hash.update(`${busybox} ${file.size} ${file.lastModified}`);
  return hash.digest("hex").slice(0, 16);
}
