/**
 * The directories of `RUN --mount=type=cache`: `<data root>/build/mounts/<id>`. They outlive builds, belong to no
 * image, and may be thrown away whenever no build uses them.
 */

import { Conflict, hasErrno, SystemFailure } from "../../core/errors.ts";
import { randomId } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import { removeTree } from "../../linux/directories.ts";
import { chmodSync, chownSync, existsSync, mkdirSync, renameSync } from "../../linux/files.ts";
import { closeLockFile, openLockFile, tryLock } from "../../linux/flock.ts";
import { closeFile, descriptorPath, openDirectory, openFlag, openInRoot } from "../../linux/paths.ts";
import type { State } from "../../state/state.ts";
import { copyTree } from "../../storage/copy-tree.ts";
import type { CacheSharing } from "../dockerfile/mounts.ts";
import type { BuildRooms } from "../rooms.ts";

export interface CacheRequest {
  readonly id: string;
  readonly sharing: CacheSharing;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** What a new one begins with; undefined for nothing. */
  readonly fill: () => Promise<
    ({ readonly path: string; readonly source: string } & AsyncDisposable) | undefined
  >;
  readonly signal: AbortSignal;
}

export interface CacheDirectory extends Disposable {
  readonly path: string;
}

const longestPause = 50;

/**
 * Takes the directory for a step: `locked` waits until nobody has it, `private` takes another one then.
 * Everybody holds its lock, shared or alone, so that it is not pruned meanwhile.
 */
export async function takeCacheDirectory(rooms: BuildRooms, request: CacheRequest): Promise<CacheDirectory> {
  const name = nameOf(request.id);
  for (let attempt = 0; ; attempt += 1) {
    const directory = attempt === 0 ? name : `${name}-${attempt}`;
    const lock = await lockDirectory(rooms, directory, request);
    if (lock === undefined) continue;
    try {
      const path = join(mountsRoot(rooms.instance.dataRoot), directory);
      if (!existsSync(path)) await make(path, request);
      note(rooms.state, directory, request.id);
      return { path, [Symbol.dispose]: () => lock[Symbol.dispose]() };
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }
}

export function mountsRoot(dataRoot: string): string {
  return join(dataRoot, "build", "mounts");
}

function nameOf(id: string): string {
  return new Bun.CryptoHasher("sha256").update(id).digest("hex").slice(0, 32);
}

/** @returns undefined when a private one is to try the next directory. */
async function lockDirectory(
  rooms: BuildRooms,
  directory: string,
  { sharing, signal }: CacheRequest,
): Promise<Disposable | undefined> {
  const locked = openMountLock(rooms, directory);
  const mode = sharing === "shared" ? "shared" : "exclusive";
  try {
    for (let pause = 1; !locked.take(mode); pause = Math.min(pause * 2, longestPause)) {
      if (sharing === "private") {
        locked[Symbol.dispose]();
        return undefined;
      }
      signal.throwIfAborted();
      await Bun.sleep(pause);
    }
    return locked;
  } catch (error) {
    locked[Symbol.dispose]();
    throw error;
  }
}

export interface MountLock extends Disposable {
  take(mode: "shared" | "exclusive"): boolean;
}

export function openMountLock({ instance }: Pick<BuildRooms, "instance">, directory: string): MountLock {
  const locks = join(instance.execRoot, "locks");
  mkdirSync(locks, { recursive: true });
  const path = join(locks, `build-mount-${directory}`);
  const fd = openLockFile(path);
  return { take: (mode) => tryLock(fd, mode, path), [Symbol.dispose]: () => closeLockFile(fd) };
}

/** Made aside, then put in its place: nobody sees a half-filled one. */
async function make(path: string, request: CacheRequest): Promise<void> {
  const aside = `${path}.${randomId().slice(0, 12)}`;
  mkdirSync(aside, { recursive: true, mode: 0o755 });
  try {
    await using filling = await request.fill();
    if (filling !== undefined) await copyFrom(filling, aside);
    chownSync(aside, request.uid, request.gid);
    chmodSync(aside, request.mode);
    renameSync(aside, path);
  } catch (error) {
    removeTree(aside);
    // Another process made it meanwhile: it is as good.
    if (!hasErrno(error, "EEXIST", "ENOTEMPTY")) throw error;
  }
}

async function copyFrom({ path, source }: { path: string; source: string }, to: string): Promise<void> {
  const top = openDirectory(path, openFlag.path);
  try {
    const fd = openInRoot(top, source.replace(/^\/+/, "") || ".", openFlag.readOnly | openFlag.directory);
    try {
      await copyTree(descriptorPath(fd), to);
    } finally {
      closeFile(fd);
    }
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR"))
      throw new SystemFailure(`cache mount: ${source}: not found`, { cause: error });
    throw error;
  } finally {
    closeFile(top);
  }
}

function note(state: State, directory: string, id: string): void {
  state.db
    .query(
      `INSERT INTO build_mounts VALUES (?1, ?2, ?3, ?3, 1)
         ON CONFLICT (id) DO UPDATE SET used_at = ?3, uses = uses + 1`,
    )
    .run(directory, `mount / from exec, id ${id}`, Date.now());
}

/** Removes one that nobody uses. @throws Conflict when somebody does */
export function removeCacheDirectory(rooms: BuildRooms, directory: string): void {
  using lock = openMountLock(rooms, directory);
  if (!lock.take("exclusive")) throw new Conflict(`cache mount ${directory} is in use`);
  removeTree(join(mountsRoot(rooms.instance.dataRoot), directory));
  rooms.state.db.query("DELETE FROM build_mounts WHERE id = ?1").run(directory);
}
