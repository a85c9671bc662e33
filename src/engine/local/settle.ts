/**
 * What follows a container's end, done once by whoever gets there first: conmon's exit command, a waiting
 * client, or the next command. Kernel things are given back, then the end is recorded, then `--rm` and the restart
 * policy have their say. Until it is recorded everything here can be done again, so a crash in the middle is
 * repaired by doing it again.
 */

import { faultPoint } from "../../core/fault.ts";
import type { ContainerId } from "../../core/ids.ts";
import { bundlePath } from "../../core/instance.ts";
import { rmSync } from "../../linux/files.ts";
import { isAlive, openProcess } from "../../linux/processes.ts";
import { containerCgroup, wasOomKilled } from "../../runtime/cgroups.ts";
import { type ExitRecord, readExitRecord } from "../../runtime/conmon.ts";
import {
  beginOperation,
  type ContainerRecord,
  containerById,
  updateContainer,
} from "../../state/containers.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import { hasEnded } from "./liveness.ts";
import { containerEvent, type Local, timestamp } from "./local.ts";
import { lockContainer } from "./lock-container.ts";
import { releaseKernelObjects } from "./release.ts";
import { beginRemoval, finishRemoval } from "./remove.ts";
import { nextRestart, spawnRestarter } from "./restart-policy.ts";

/** Docker's exit code for a container whose end nobody saw. */
const unknownExitCode = 255;
const sigkill = 9;

/**
 * Records the container's end if it has ended.
 * @returns its record afterwards; undefined when it is gone.
 */
export async function settle(local: Local, id: ContainerId): Promise<ContainerRecord | undefined> {
  const before = containerById(local.state, id);
  if (before === undefined || !hasEnded(local, before.state)) return before;
  using _ = await lockContainer(local, id);
  return await settleLocked(local, id);
}

/** As `settle`, for a caller who holds the container's lock. */
export async function settleLocked(local: Local, id: ContainerId): Promise<ContainerRecord | undefined> {
  const record = containerById(local.state, id);
  if (record === undefined || !hasEnded(local, record.state)) return record;

  const exit = await findExit(local, record);
  const oomKilled = exit.oomKilled || wasOomKilled(local.cgroups(), cgroupOf(local, record));
  await releaseKernelObjects(local, record);
  faultPoint("settle:released");

  record.exitCode = exit.exitCode;
  record.oomKilled = oomKilled;
  // A file's time comes from a coarser clock, some milliseconds behind.
  record.finishedAt = timestamp(Math.max(exit.finishedAt, Date.parse(record.startedAt)));
  const restart = nextRestart(record);
  const goes = record.hostConfig.AutoRemove === true && restart === undefined;
  // While conmon lives its exit command is still to come, and can take the files.
  const filesLater = goes && monitorLives(record);
  record.state =
    restart === undefined ? { status: "exited" } : { status: "restarting", restartAt: restart.at };
  if (restart !== undefined) {
    record.restartDelay = restart.delay;
    // As in Docker, now: who sees it run again finds it counted.
    record.restartCount += 1;
  }
  local.state.transaction(() => {
    updateContainer(local.state, record);
    if (goes) beginRemoval(local, record, { status: "removing", volumes: true });
    if (restart !== undefined) {
      beginOperation(local.state, { containerId: id, verb: "restart", owner: local.me });
    }
    if (oomKilled) appendEvent(local.state, containerEvent(record, "oom"));
    appendEvent(local.state, containerEvent(record, "die", { exitCode: String(record.exitCode) }));
  });
  faultPoint("settle:recorded");

  if (goes) {
    await finishRemoval(local, record, { filesLater });
    return undefined;
  }
  rmSync(bundlePath(local.instance, id), { recursive: true, force: true });
  if (restart !== undefined) spawnRestarter(local, id);
  ringBell(local.instance);
  return record;
}

function monitorLives({ state }: ContainerRecord): boolean {
  const runs = state.status === "running" || state.status === "paused";
  return runs && isAlive(state.monitor.pid, state.monitor.started);
}

function cgroupOf(local: Local, record: ContainerRecord): string {
  return containerCgroup(local.instance, record.id, record.hostConfig.CgroupParent);
}

/**
 * What conmon wrote. While conmon lives it may still be draining the container's output: its word is worth the
 * wait. When it was killed first, or the machine went down, the exit code is nowhere: 255, as Docker has it.
 */
async function findExit(local: Local, record: ContainerRecord): Promise<ExitRecord> {
  const bundle = bundlePath(local.instance, record.id);
  const unknown = { exitCode: unknownExitCode, finishedAt: Date.now(), oomKilled: false };
  if (record.state.status !== "running" && record.state.status !== "paused") return unknown;
  const { monitor, bootId } = record.state;
  if (bootId !== local.bootId) return unknown;
  for (let pause = 1; ; pause = Math.min(pause * 2, 20)) {
    // Asked before the file is looked for: a monitor that ends in between has written it.
    const monitorLives = isAlive(monitor.pid, monitor.started);
    const exit = readExitRecord(bundle);
    if (exit !== undefined) {
      // With --rm its exit command still has files to remove.
      if (record.hostConfig.AutoRemove !== true) endMonitor(monitor.pid, monitor.started);
      return exit;
    }
    if (!monitorLives) return unknown;
    await Bun.sleep(pause);
  }
}

/**
 * conmon has nothing left to do but to run its exit command, which is what is being done here. Its end frees the
 * sockets that hold the published ports.
 */
function endMonitor(pid: number, started: number): void {
  if (!isAlive(pid, started)) return;
  using monitor = openProcess(pid);
  if (monitor !== undefined && isAlive(pid, started)) monitor.signal(sigkill);
}
