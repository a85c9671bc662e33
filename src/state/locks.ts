/**
 * Locks that work across processes and die with their holder. Order, from the outside in (docs/architecture.md):
 * container → lists → images → volumes → network. A holder never asks for a lock that stands to the left of one it has.
 */

import type { Instance } from "../core/instance.ts";
import { join } from "../core/paths.ts";
import { closeLockFile, openLockFile, tryLock, tryLockByte } from "../linux/flock.ts";

export type LockName = `container-${string}` | "lists" | "images" | "volumes" | "network";

export interface LockOptions {
  mode?: "shared" | "exclusive";
  signal?: AbortSignal;
}

const longestPause = 16;

/** Waits for the lock; `using` gives it back. A container's lock is always exclusive. */
export async function lock(
  instance: Instance,
  name: LockName,
  options: LockOptions = {},
): Promise<Disposable> {
  const attempt = openLock(instance, name, options.mode ?? "exclusive");
  try {
    for (let pause = 1; !attempt.take(); pause = Math.min(pause * 2, longestPause)) {
      options.signal?.throwIfAborted();
      await Bun.sleep(pause);
    }
  } catch (error) {
    attempt[Symbol.dispose]();
    throw error;
  }
  return attempt;
}

/** Takes the lock only if nobody holds it. */
export function lockIfFree(instance: Instance, name: LockName): Disposable | undefined {
  const attempt = openLock(instance, name, "exclusive");
  if (attempt.take()) return attempt;
  attempt[Symbol.dispose]();
  return undefined;
}

interface Attempt extends Disposable {
  /** False while another holds it. */
  take(): boolean;
}

function openLock(instance: Instance, name: LockName, mode: "shared" | "exclusive"): Attempt {
  const id = name.startsWith("container-") ? name.slice("container-".length) : undefined;
  const path = join(instance.execRoot, "locks", id === undefined ? name : "containers");
  const fd = openLockFile(path);
  const take = id === undefined ? () => tryLock(fd, mode, path) : () => tryLockByte(fd, byteOf(id), path);
  return { take, [Symbol.dispose]: () => closeLockFile(fd) };
}

/** Each container has a byte of its own: 60 bits of its id. */
function byteOf(id: string): bigint {
  return BigInt(`0x${id.slice(0, 15)}`);
}
