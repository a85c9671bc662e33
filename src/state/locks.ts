/**
 * Locks that work across processes and die with their holder. Order, from the outside in (docs/architecture.md):
 * container → images → volumes → network. A holder never asks for a lock that stands to the left of one it has.
 */
import { join } from "node:path";
import type { Instance } from "../core/instance.ts";
import { closeLockFile, openLockFile, tryLock } from "../linux/flock.ts";

export type LockName = `container-${string}` | "images" | "volumes" | "network";

export interface LockOptions {
  mode?: "shared" | "exclusive";
  signal?: AbortSignal;
}

const longestPause = 16;

/** Waits for the lock; `using` gives it back. */
export async function lock(
  instance: Instance,
  name: LockName,
  options: LockOptions = {},
): Promise<Disposable> {
  const path = join(instance.execRoot, "locks", name);
  const fd = openLockFile(path);
  try {
    for (
      let pause = 1;
      !tryLock(fd, options.mode ?? "exclusive", path);
      pause = Math.min(pause * 2, longestPause)
    ) {
      options.signal?.throwIfAborted();
      await Bun.sleep(pause);
    }
  } catch (error) {
    closeLockFile(fd);
    throw error;
  }
  return { [Symbol.dispose]: () => closeLockFile(fd) };
}

/** Takes the lock only if nobody holds it. */
export function lockIfFree(instance: Instance, name: LockName): Disposable | undefined {
  const path = join(instance.execRoot, "locks", name);
  const fd = openLockFile(path);
  if (tryLock(fd, "exclusive", path)) return { [Symbol.dispose]: () => closeLockFile(fd) };
  closeLockFile(fd);
  return undefined;
}
