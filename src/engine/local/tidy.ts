/**
 * Files of containers that are gone. Removing them takes longer than all the rest of a short container's end, so
 * `run --rm` leaves it to conmon's exit command. Should that be killed, a later command sends a process after it.
 */

import { type ContainerId, isContainerId } from "../../core/ids.ts";
import { bundlePath, containerDataPath, type Instance } from "../../core/instance.ts";
import { collectForgottenLayers } from "../../images/collect.ts";
import { namesIn } from "../../linux/directories.ts";
import { rmSync } from "../../linux/files.ts";
import { containerById } from "../../state/containers.ts";
import type { Local } from "./local.ts";

/** What conmon's exit command does in the end: removes the files of its container if that is gone, and of all others. */
export async function tidyAfter(local: Local, id: ContainerId): Promise<void> {
  if (containerById(local.state, id) !== undefined) return;
  await tidyAll(local);
  await collectForgottenLayers(local);
}

/**
 * Removes the files of all containers that are gone. Directories first: condemned snapshots are what tells the next
 * command that there is something to do.
 */
export async function tidyAll(local: Local): Promise<void> {
  const { instance } = local;
  local.state.makeRoom();
  const isGone = (id: string): boolean => !isContainerId(id) || containerById(local.state, id) === undefined;
  for (const path of [bundlePath(instance, ""), containerDataPath(instance, "")]) {
    for (const id of namesIn(path).filter(isGone)) removeDirectories(instance, id);
  }
  await local.snapshots.collect();
}

/** What a container has on the disk besides its snapshot. */
export function removeDirectories(instance: Instance, id: string): void {
  rmSync(containerDataPath(instance, id), { recursive: true, force: true });
  rmSync(bundlePath(instance, id), { recursive: true, force: true });
}
