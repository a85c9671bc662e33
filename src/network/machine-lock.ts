import { closeLockFile, openLockFile, tryLock } from "../linux/flock.ts";

/**
 * The one lock that all instances of a machine share: it is held, for milliseconds, while a free subnet is looked
 * for and taken by an address of a new bridge, so that two instances never choose the same.
 */
const path = "/run/davit-subnets.lock";
const pause = 2;

export async function lockSubnetsOfMachine(): Promise<Disposable> {
  const fd = openLockFile(path);
  try {
    while (!tryLock(fd, "exclusive", path)) await Bun.sleep(pause);
  } catch (error) {
    closeLockFile(fd);
    throw error;
  }
  return { [Symbol.dispose]: () => closeLockFile(fd) };
}
