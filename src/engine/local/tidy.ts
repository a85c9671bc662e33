/**
 * Files of containers that are gone. Removing them takes longer than all the rest of a short container's end, so
 * `run --rm` leaves it to conmon's exit command. Should that be killed, a later command sends a process after it.
 */
import { readdirSync, rmSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "../../core/errors.ts";
import type { ContainerId } from "../../core/ids.ts";
import { bundlePath, containerDataPath, type Instance } from "../../core/instance.ts";
import { collectForgottenLayers } from "../../images/collect.ts";
import { containerById } from "../../state/containers.ts";
import type { Local } from "./local.ts";

/** Milliseconds after which a lock file without a container is not one of a container that is just being made. */
const staleLock = 60_000;

/** What conmon's exit command does in the end: removes the files of its container if that is gone, and of all others. */
export async function tidyAfter(local: Local, id: ContainerId): Promise<void> {
  if (containerById(local.state, id) !== undefined) return;
  removeLockFile(local.instance, id);
  await tidyAll(local);
  await collectForgottenLayers(local);
}

/**
 * Removes the files of all containers that are gone. Directories first: condemned snapshots are what tells the next
 * command that there is something to do.
 */
export async function tidyAll(local: Local): Promise<void> {
  const { instance } = local;
  const isGone = (id: string): boolean => containerById(local.state, id as ContainerId) === undefined;
  for (const path of [bundlePath(instance, ""), containerDataPath(instance, "")]) {
    for (const id of namesIn(path).filter(isGone)) removeDirectories(instance, id);
  }
  const locks = join(instance.execRoot, "locks");
  for (const name of namesIn(locks)) {
    const [, id] = /^container-([0-9a-f]{64})$/.exec(name) ?? [];
    if (id !== undefined && isGone(id) && isOld(join(locks, name))) removeLockFile(instance, id);
  }
  await local.snapshots.collect();
}

export function removeDirectories(instance: Instance, id: string): void {
  rmSync(containerDataPath(instance, id), { recursive: true, force: true });
  rmSync(bundlePath(instance, id), { recursive: true, force: true });
}

/** A waiter may still hold the file open; it will find the record gone. */
export function removeLockFile(instance: Instance, id: string): void {
  try {
    unlinkSync(join(instance.execRoot, "locks", `container-${id}`));
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
  }
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function isOld(path: string): boolean {
  return Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > staleLock;
}
