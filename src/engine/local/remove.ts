/**
 * Takes a container away: its processes, mounts, snapshot, files and record. The intent is recorded first, so
 * that whoever comes after a crash goes on from there.
 */
import { Conflict } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import { collectForgottenLayers } from "../../images/collect.ts";
import {
  beginOperation,
  type ContainerRecord,
  deleteContainer,
  endOperation,
  updateContainer,
} from "../../state/containers.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import { lock } from "../../state/locks.ts";
import { forgetUses, removeUnused } from "../../volumes/store.ts";
import { killAndWait } from "./kill.ts";
import { containerEvent, type Local } from "./local.ts";
import { findContainer } from "./lookup.ts";
import { settle, settleLocked } from "./settle.ts";
import { removeDirectories, removeLockFile } from "./tidy.ts";
import { volumeStore } from "./volume-store.ts";

export interface RemoveOptions {
  force?: boolean;
  /** Its anonymous volumes too. */
  volumes?: boolean;
  /** Leave its files to `tidyAfter`, which conmon's exit command calls: somebody waits for us. */
  filesLater?: boolean;
}

export async function remove(local: Local, reference: string, options: RemoveOptions = {}): Promise<void> {
  const { id } = findContainer(local.state, reference);
  for (;;) {
    const record = await settle(local, id);
    if (record === undefined) return;
    const { status } = record.state;
    if (status === "running" || status === "paused" || status === "restarting") {
      if (options.force !== true) throw stillRuns(record, reference);
      await killAndWait(local, record);
    }
    using _ = await lock(local.instance, `container-${id}`);
    const now = await settleLocked(local, id);
    if (now === undefined) {
      removeLockFile(local.instance, id);
      return;
    }
    // Started again between the kill and the lock: once more.
    if (now.state.status === "running" || now.state.status === "paused") continue;
    await removeLocked(local, now, options);
    return;
  }
}

function stillRuns(record: ContainerRecord, reference: string): Conflict {
  const advice =
    record.state.status === "paused"
      ? "unpause and then stop the container"
      : "stop the container before removing";
  return new Conflict(
    `cannot remove container "${reference}": container is ${record.state.status}: ${advice} or force remove`,
  );
}

/** Removes a container that does not run, for a caller who holds its lock. */
export async function removeLocked(
  local: Local,
  record: ContainerRecord,
  options: RemoveOptions,
): Promise<void> {
  record.state = { status: "removing" };
  local.state.transaction(() => {
    beginOperation(local.state, { containerId: record.id, verb: "remove", owner: local.me });
    updateContainer(local.state, record);
  });
  faultPoint("remove:recorded");
  await takeAway(local, record, options.filesLater === true);
  const anonymous = local.state.transaction(() => {
    appendEvent(local.state, containerEvent(record, "destroy"));
    return forget(local, record);
  });
  faultPoint("remove:forgotten");
  ringBell(local.instance);
  if (options.volumes === true) await removeUnused(volumeStore(local), anonymous);
  if (options.filesLater === true) return;
  removeLockFile(local.instance, record.id);
  await collectForgottenLayers(local);
}

/** Undoes a `create` that did not get to its end: as if it had never been. */
export async function discard(local: Local, record: ContainerRecord): Promise<void> {
  await takeAway(local, record, false);
  const anonymous = local.state.transaction(() => forget(local, record));
  await removeUnused(volumeStore(local), anonymous);
  removeLockFile(local.instance, record.id);
}

/** It does not run: what it held in the kernel went with its end, and its root is unmounted with its snapshot. */
async function takeAway(local: Local, record: ContainerRecord, filesLater: boolean): Promise<void> {
  if (filesLater) await local.snapshots.condemn(record.id);
  else await local.snapshots.remove(record.id);
  faultPoint("remove:snapshot");
  if (!filesLater) removeDirectories(local.instance, record.id);
}

/** @returns its anonymous volumes that nobody else refers to. */
function forget(local: Local, record: ContainerRecord): string[] {
  deleteContainer(local.state, record.id);
  endOperation(local.state, record.id);
  return forgetUses(local.state, record.id, record.plan);
}
