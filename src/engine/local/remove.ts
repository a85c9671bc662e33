/**
 * Takes a container away: its processes, mounts, snapshot, files and record. The intent is recorded first, so
 * that whoever comes after a crash goes on from there.
 */
import { rmSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { Conflict, hasErrno } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import { bundlePath, containerDataPath } from "../../core/instance.ts";
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
import { releaseKernelObjects } from "./release.ts";
import { settle, settleLocked } from "./settle.ts";
import { volumeStore } from "./volume-store.ts";

export interface RemoveOptions {
  force?: boolean;
  /** Its anonymous volumes too. */
  volumes?: boolean;
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
    if (now === undefined) return;
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
  await takeAway(local, record);
  const anonymous = local.state.transaction(() => {
    appendEvent(local.state, containerEvent(record, "destroy"));
    return forget(local, record);
  });
  faultPoint("remove:forgotten");
  ringBell(local.instance);
  if (options.volumes === true) await removeUnused(volumeStore(local), anonymous);
  removeLockFile(local, record);
}

/** Undoes a `create` that did not get to its end: as if it had never been. */
export async function discard(local: Local, record: ContainerRecord): Promise<void> {
  await takeAway(local, record);
  const anonymous = local.state.transaction(() => forget(local, record));
  await removeUnused(volumeStore(local), anonymous);
  removeLockFile(local, record);
}

async function takeAway(local: Local, record: ContainerRecord): Promise<void> {
  await releaseKernelObjects(local, record);
  faultPoint("remove:released");
  await local.snapshots.remove(record.id);
  faultPoint("remove:snapshot");
  rmSync(containerDataPath(local.instance, record.id), { recursive: true, force: true });
  rmSync(bundlePath(local.instance, record.id), { recursive: true, force: true });
}

/** @returns its anonymous volumes that nobody else refers to. */
function forget(local: Local, record: ContainerRecord): string[] {
  deleteContainer(local.state, record.id);
  endOperation(local.state, record.id);
  return forgetUses(local.state, record.id);
}

/** A waiter may still hold the file open; it will find the record gone. */
function removeLockFile(local: Local, record: ContainerRecord): void {
  try {
    unlinkSync(join(local.instance.execRoot, "locks", `container-${record.id}`));
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
  }
}
