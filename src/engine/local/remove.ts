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
  type RemovingState,
  updateContainer,
} from "../../state/containers.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import { forgetUses, removeUnused } from "../../volumes/store.ts";
import { killAndWait } from "./kill.ts";
import { containerEvent, type Local } from "./local.ts";
import { lockContainer } from "./lock-container.ts";
import { findContainer } from "./lookup.ts";
import { settle, settleLocked } from "./settle.ts";
import { removeDirectories } from "./tidy.ts";
import { volumeStore } from "./volume-store.ts";

export interface RemoveOptions {
  force?: boolean;
  /** Its anonymous volumes too. */
  volumes?: boolean;
}

/** @throws NotFound; Conflict when it runs and `force` is not given */
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
    using _ = await lockContainer(local, id);
    const now = await settleLocked(local, id);
    if (now === undefined) return;
    // Started again between the kill and the lock: once more.
    if (now.state.status === "running" || now.state.status === "paused") continue;
    beginRemoval(local, now, { status: "removing", volumes: options.volumes === true });
    await finishRemoval(local, now);
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

/** Writes down that the container goes, and how. Part of a transaction of the caller's, if there is one. */
export function beginRemoval(local: Local, record: ContainerRecord, state: RemovingState): void {
  local.state.makeRoom();
  record.state = state;
  local.state.transaction(() => {
    beginOperation(local.state, { containerId: record.id, verb: "remove", owner: local.me });
    updateContainer(local.state, record);
  });
}

/** Undoes a `create` that did not get to its end: as if it had never been. */
export async function discard(local: Local, record: ContainerRecord): Promise<void> {
  beginRemoval(local, record, { status: "removing", volumes: true, neverMade: true });
  await finishRemoval(local, record);
  // A snapshot that was only half made has no name by which it could be removed.
  await local.snapshots.sweep(() => true);
}

/**
 * Takes away what is left of a container that is marked `removing`, for a caller who holds its lock. It does not run:
 * what it held in the kernel went with its end. Every step may be done again.
 * @param options.filesLater leave its files to `tidyAfter`, which conmon's exit command calls: somebody waits for us.
 */
export async function finishRemoval(
  local: Local,
  record: ContainerRecord,
  options: { filesLater?: boolean } = {},
): Promise<void> {
  const filesLater = options.filesLater === true;
  faultPoint("remove:recorded");
  if (filesLater) await local.snapshots.condemn(record.id);
  else await local.snapshots.remove(record.id);
  faultPoint("remove:snapshot");
  if (!filesLater) removeDirectories(local.instance, record.id);
  await removeAnonymousVolumes(local, record);
  faultPoint("remove:volumes");
  local.state.transaction(() => {
    deleteContainer(local.state, record.id);
    endOperation(local.state, record.id);
    if (!isNeverMade(record)) appendEvent(local.state, containerEvent(record, "destroy"));
  });
  faultPoint("remove:forgotten");
  ringBell(local.instance);
  if (filesLater) return;
  await collectForgottenLayers(local);
}

/** Forgets its volumes; takes along those that nobody but it ever had a name for, if that was asked for. */
async function removeAnonymousVolumes(local: Local, record: ContainerRecord): Promise<void> {
  const { state } = record;
  if (state.status !== "removing") return;
  const anonymous =
    state.anonymous ??
    local.state.transaction(() => {
      const names = forgetUses(local.state, record.id, record.plan);
      record.state = { ...state, anonymous: names };
      updateContainer(local.state, record);
      return names;
    });
  if (state.volumes) await removeUnused(volumeStore(local), anonymous);
}

function isNeverMade(record: ContainerRecord): boolean {
  return record.state.status === "removing" && record.state.neverMade === true;
}
