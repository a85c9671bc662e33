/** Makes records and kernel agree again after a crash; `repair.ts` tells when that is needed. */

import { hasErrno } from "../../core/errors.ts";
import { type ContainerId, isContainerId } from "../../core/ids.ts";
import { bundlePath } from "../../core/instance.ts";
import { join } from "../../core/paths.ts";
import { readFileSync, rmSync, statSync } from "../../linux/files.ts";
import { processesWithArgument } from "../../linux/process-search.ts";
import { isAlive, openProcess, startTimeOf } from "../../linux/processes.ts";
import { repairNetwork } from "../../network/repair.ts";
import { readExitRecord } from "../../runtime/conmon.ts";
import { containerState } from "../../runtime/runtimes.ts";
import {
  activeContainers,
  allOperations,
  beginOperation,
  type ContainerRecord,
  type ContainerState,
  containerById,
  endOperation,
  operationOn,
  type ProcessIdentity,
  updateContainer,
  wasStarted,
} from "../../state/containers.ts";
import { lockIfFree } from "../../state/locks.ts";
import { sweepVolumes } from "../../volumes/store.ts";
import { hasEnded } from "./liveness.ts";
import { type Local, timestamp } from "./local.ts";
import { releaseKernelObjects } from "./release.ts";
import { discard, finishRemoval } from "./remove.ts";
import { isTidyOverdue } from "./repair.ts";
import { spawnInternal, spawnRestarter } from "./restart-policy.ts";
import { settleLocked } from "./settle.ts";
import { recordRunning } from "./start.ts";
import { removeDirectories } from "./tidy.ts";
import { volumeStore } from "./volume-store.ts";

const sigkill = 9;

/** Finishes, undoes and settles whatever a crash has left. */
export async function repairAll(local: Local): Promise<void> {
  let repaired = false;
  for (const { containerId, owner } of allOperations(local.state)) {
    if (isAlive(owner.pid, owner.started)) continue;
    // Whoever holds the lock is at work on it already.
    using held = lockIfFree(local.instance, `container-${containerId}`);
    if (held === undefined) continue;
    await repairOperation(local, containerId);
    repaired = true;
  }
  for (const record of activeContainers(local.state)) {
    if (hasEnded(local, record.state)) await settleIfFree(local, record.id);
    else if (record.state.status === "restarting") adoptRestart(local, record);
  }
  if (repaired) await repairShared(local);
  if (isTidyOverdue(local.state)) spawnInternal(local, "tidy");
}

/** What the dead left in rooms that containers share: addresses, rules, veths, volumes' references. */
async function repairShared(local: Local): Promise<void> {
  using held = lockIfFree(local.instance, "network");
  if (held === undefined) return;
  const starting = allOperations(local.state).map(({ containerId }) => containerId);
  const active = activeContainers(local.state).map(({ id }) => id);
  repairNetwork(local.state, new Set([...starting, ...active]));
  await local.snapshots.sweep(() => true);
  await sweepVolumes(
    volumeStore(local),
    (id) => isContainerId(id) && containerById(local.state, id) !== undefined,
  );
}

/** Whoever holds the lock is at work on it already. */
async function settleIfFree(local: Local, id: ContainerId): Promise<void> {
  using held = lockIfFree(local.instance, `container-${id}`);
  if (held !== undefined) await settleLocked(local, id);
}

/** Its restarter was killed before it could write down that it is there. */
function adoptRestart(local: Local, record: ContainerRecord): void {
  if (operationOn(local.state, record.id) !== undefined) return;
  beginOperation(local.state, { containerId: record.id, verb: "restart", owner: local.me });
  spawnRestarter(local, record.id);
}

/** Finishes or undoes what a dead process had begun on a container, for a caller who holds the container's lock. */
export async function repairOperation(local: Local, id: ContainerId): Promise<void> {
  const now = operationOn(local.state, id);
  if (now === undefined || isAlive(now.owner.pid, now.owner.started)) return;
  if (now.verb === "build") return await repairBuildStep(local, id);
  const record = containerById(local.state, id);
  if (record === undefined) {
    removeDirectories(local.instance, id);
    endOperation(local.state, id);
    return;
  }
  switch (now.verb) {
    case "create":
      return await discard(local, record);
    case "remove":
      return await finishRemoval(local, record);
    case "start":
      return await repairStart(local, record);
    case "restart":
      if (record.state.status === "restarting") {
        beginOperation(local.state, { ...now, owner: local.me });
        spawnRestarter(local, id);
      } else {
        endOperation(local.state, id);
      }
  }
}

/** A RUN step, or the network of one, whose build was killed. */
async function repairBuildStep(local: Local, id: ContainerId): Promise<void> {
  const { removeLostRun } = await import("../../build/steps/run.ts");
  await removeLostRun(
    { instance: local.instance, cgroups: local.cgroups, runtime: () => local.runtime() },
    id,
  );
  endOperation(local.state, id);
}

/**
 * A start that was cut off. If the container's program was let run, it is taken over as it is; if it has ended
 * meanwhile, its end is recorded. If not, all is undone, as if the start had never been tried.
 */
async function repairStart(local: Local, record: ContainerRecord): Promise<void> {
  const bundle = bundlePath(local.instance, record.id);
  const process = identityIn(join(bundle, "pid"));
  const monitor = identityIn(join(bundle, "conmon.pid"));
  if (process !== undefined && (await hasRun(local, record, process))) {
    const startedAt = timestamp(statSync(join(bundle, "pid")).mtimeMs);
    recordRunning(local, record, process, monitor ?? { pid: 0, started: 0 }, startedAt);
    await settleLocked(local, record.id);
    return;
  }
  await endLaunch(bundle);
  await releaseKernelObjects(local, record);
  // What a runtime that was killed in the middle does not know any more itself.
  rmSync(join(local.runtime(record.runtime).stateDirectory, record.id), { recursive: true, force: true });
  rmSync(bundle, { recursive: true, force: true });
  undoRecord(local, record);
}

/** True when the runtime let the container's program run, whether it still does or not. */
async function hasRun(local: Local, record: ContainerRecord, process: ProcessIdentity): Promise<boolean> {
  if (readExitRecord(bundlePath(local.instance, record.id)) !== undefined) return true;
  if (!isAlive(process.pid, process.started)) return false;
  const state = await containerState(local.runtime(record.runtime), record.id);
  return state?.status === "running" || state?.status === "paused";
}

/** Ends a conmon that is still about to create the container, and the runtime that it has called. */
async function endLaunch(bundle: string): Promise<void> {
  // Until a look finds none: one may have forked while we looked.
  for (let pids = processesWithArgument(bundle); pids.length > 0; pids = processesWithArgument(bundle)) {
    for (const pid of pids) {
      using handle = openProcess(pid);
      handle?.signal(sigkill);
      await handle?.ended();
    }
  }
}

function undoRecord(local: Local, record: ContainerRecord): void {
  const restarting = record.state.status === "restarting";
  const before: ContainerState = wasStarted(record) ? { status: "exited" } : { status: "created" };
  local.state.transaction(() => {
    updateContainer(local.state, { ...record, state: restarting ? record.state : before });
    if (restarting) beginOperation(local.state, { containerId: record.id, verb: "restart", owner: local.me });
    else endOperation(local.state, record.id);
  });
  if (restarting) spawnRestarter(local, record.id);
}

/** The process whose pid a file holds; its start time is 0 when it has ended. */
function identityIn(path: string): ProcessIdentity | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  const pid = Number.parseInt(text, 10);
  return pid > 0 ? { pid, started: startTimeOf(pid) ?? 0 } : undefined;
}
