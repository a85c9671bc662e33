/** Locks by key, so that builds that come to the same step at once run it once. They die with their holder. */

import type { Instance } from "../../core/instance.ts";
import { join } from "../../core/paths.ts";
import { closeLockFile, openLockFile, tryLockByte } from "../../linux/flock.ts";

const longestPause = 32;

/** @param key hex; the first 60 bits tell it from others. @throws the reason of `signal` */
export async function lockStep(instance: Instance, key: string, signal: AbortSignal): Promise<Disposable> {
  const path = join(instance.execRoot, "locks", "build-steps");
  const fd = openLockFile(path);
  const byte = BigInt(`0x${key.slice(0, 15)}`);
  try {
    for (let pause = 1; !tryLockByte(fd, byte, path); pause = Math.min(pause * 2, longestPause)) {
      signal.throwIfAborted();
      await Bun.sleep(pause);
    }
  } catch (error) {
    closeLockFile(fd);
    throw error;
  }
  return { [Symbol.dispose]: () => closeLockFile(fd) };
}
