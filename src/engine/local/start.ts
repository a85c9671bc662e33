/**
 * Starts a created container: mounts its root, joins its network, hands it to conmon. The intent is recorded
 * first; each step can be undone by `releaseKernelObjects`, which is what a failure here and repair after a crash
 * both do.
 */

import { Conflict, messageOf, NotModified, StartFailure, SystemFailure } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import { bundlePath, logPath } from "../../core/instance.ts";
import { mkdirSync, rmSync } from "../../linux/files.ts";
import { startTimeOf } from "../../linux/processes.ts";
import type { Reservation } from "../../network/model.ts";
import { attach } from "../../runtime/attach.ts";
import { writeConfig } from "../../runtime/config-file.ts";
import { findConmon, type LaunchedContainer, launchConmon } from "../../runtime/conmon.ts";
import { programOfProcess, untilReplaced } from "../../runtime/handover.ts";
import { startContainer } from "../../runtime/runtimes.ts";
import {
  beginOperation,
  type ContainerRecord,
  endOperation,
  type ProcessIdentity,
  updateContainer,
  wasStarted,
} from "../../state/containers.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import { mountVolumes } from "../../volumes/activate.ts";
import { makeBundle } from "./bundle.ts";
import { containerEvent, type Local, timestamp } from "./local.ts";
import { lockContainer } from "./lock-container.ts";
import { findContainer } from "./lookup.ts";
import { releaseKernelObjects } from "./release.ts";
import { beginRemoval, finishRemoval } from "./remove.ts";
import { internalCommand } from "./restart-policy.ts";
import { settleLocked } from "./settle.ts";
import { volumeStore } from "./volume-store.ts";

/** @throws NotModified when it runs already; StartFailure when its program cannot be run. */
export async function start(local: Local, reference: string): Promise<void> {
  const { id } = findContainer(local.state, reference);
  using _ = await lockContainer(local, id);
  const record = (await settleLocked(local, id)) ?? findContainer(local.state, reference);
  switch (record.state.status) {
    case "running":
      throw new NotModified(`Container ${id} is already running`);
    case "paused":
      throw new Conflict("cannot start a paused container, try unpause instead");
    case "removing":
      throw new Conflict("container is marked for removal and cannot be started");
  }
  await startLocked(local, { ...record, restartCount: 0, restartDelay: 0 });
}

/** For a caller who holds the lock and knows that the container does not run. */
export async function startLocked(local: Local, record: ContainerRecord): Promise<void> {
  beginOperation(local.state, { containerId: record.id, verb: "start", owner: local.me });
  faultPoint("start:recorded");
  try {
    await launch(local, record);
  } catch (error) {
    await undoStart(local, record, error);
    throw error;
  }
}

async function launch(local: Local, record: ContainerRecord): Promise<void> {
  const { id } = record;
  const bundle = bundlePath(local.instance, id);
  const runtime = local.runtime(record.runtime);
  rmSync(bundle, { recursive: true, force: true });
  mkdirSync(bundle, { recursive: true, mode: 0o710 });

  const rootfs = await local.snapshots.mount(id, { volatile: record.hostConfig.AutoRemove === true });
  faultPoint("start:mounted");
  const mounts = await mountVolumes(volumeStore(local), {
    containerId: id,
    mounts: record.plan,
    rootfs,
    fill: !wasStarted(record),
  });
  const bridged = await reserveNetwork(local, record);
  faultPoint("start:reserved");
  let launched: LaunchedContainer;
  try {
    using conmon = await launchConmon({
      instance: local.instance,
      conmon: findConmon(local.searchPath),
      cgroups: local.cgroups,
      runtime,
      id,
      bundle,
      logPath: record.hostConfig.LogConfig?.Type === "none" ? undefined : logPath(local.instance, record.id),
      tty: record.config.Tty === true,
      stdin: record.config.OpenStdin === true,
      stdinOnce: record.config.StdinOnce === true,
      exitCommand: internalCommand(local, "exit", id),
      inheritedFds: bridged?.reservation.sockets ?? [],
    });
    const { spec } = await makeBundle(local, record, {
      bundle,
      rootfs,
      mounts,
      endpoint: bridged?.reservation.endpoint,
    });
    writeConfig(bundle, spec, runtime);
    // The runtime is at work in processes of its own; meanwhile the host's side of the network is made.
    const [outcome, host] = await Promise.allSettled([conmon.create(), bridged?.prepareHost()]);
    if (outcome.status === "rejected") throw outcome.reason;
    if (host.status === "rejected") throw host.reason;
    launched = outcome.value;
  } finally {
    bridged?.reservation[Symbol.dispose]();
  }
  faultPoint("start:created");
  await bridged?.plug(launched.pid);
  faultPoint("start:plugged");
  const clients = local.waitingClients.get(id) ?? [];
  local.waitingClients.delete(id);
  for (const client of clients) client.connected(await attach(bundle));
  const process = identify(launched.pid);
  const monitor = identify(launched.conmonPid);
  // Taken before: the program may have ended by the time the runtime is back.
  const startedAt = timestamp();
  const runtimeProgram = programOfProcess(launched.pid);
  await startContainer(runtime, id);
  faultPoint("start:started");
  await untilReplaced(launched.pid, runtimeProgram);
  recordRunning(local, record, process, monitor, startedAt);
  faultPoint("start:done");
}

/** Writes down that the container runs. */
export function recordRunning(
  local: Local,
  record: ContainerRecord,
  process: ProcessIdentity,
  monitor: ProcessIdentity,
  startedAt: string,
): void {
  const running: ContainerRecord = {
    ...record,
    state: { status: "running", process, monitor, bootId: local.bootId },
    startedAt,
    exitCode: 0,
    error: "",
    oomKilled: false,
    stoppedByUser: false,
  };
  local.state.transaction(() => {
    updateContainer(local.state, running);
    endOperation(local.state, record.id);
    appendEvent(local.state, containerEvent(running, "start"));
  });
  ringBell(local.instance);
}

/** Back to as it was, with the failure on record; a container with --rm goes. */
async function undoStart(local: Local, record: ContainerRecord, error: unknown): Promise<void> {
  for (const client of local.waitingClients.get(record.id) ?? []) client.failed();
  local.waitingClients.delete(record.id);
  await releaseKernelObjects(local, record);
  rmSync(bundlePath(local.instance, record.id), { recursive: true, force: true });
  const failed: ContainerRecord = {
    ...record,
    state: wasStarted(record) ? { status: "exited" } : { status: "created" },
    exitCode: error instanceof StartFailure ? error.exitCode : 128,
    error: messageOf(error),
  };
  local.state.transaction(() => {
    updateContainer(local.state, failed);
    endOperation(local.state, record.id);
    appendEvent(local.state, containerEvent(failed, "die", { exitCode: String(failed.exitCode) }));
  });
  if (record.hostConfig.AutoRemove === true) {
    beginRemoval(local, failed, { status: "removing", volumes: true });
    await finishRemoval(local, failed);
  } else {
    ringBell(local.instance);
  }
}

/** A start's part of the bridge network. */
interface Bridged {
  reservation: Reservation;
  prepareHost(): Promise<void>;
  plug(pid: number): Promise<void>;
}

/** The network's code is loaded for those that are on the bridge only. */
async function reserveNetwork(local: Local, record: ContainerRecord): Promise<Bridged | undefined> {
  const mode = record.hostConfig.NetworkMode ?? "bridge";
  if (mode !== "bridge") return undefined;
  const { plug, prepareHost, reserve } = await import("../../network/endpoint.ts");
  const reservation = await reserve(local.state, {
    containerId: record.id,
    containerName: record.name,
    portBindings: record.hostConfig.PortBindings,
    exposedPorts: Object.keys(record.config.ExposedPorts ?? {}),
    publishAll: record.hostConfig.PublishAllPorts,
  });
  return {
    reservation,
    prepareHost: () => prepareHost(local.state, reservation),
    plug: (pid) => plug(local.state, reservation.endpoint, pid),
  };
}

/** @throws SystemFailure when the process is gone already. */
function identify(pid: number): ProcessIdentity {
  const started = startTimeOf(pid);
  if (started === undefined) throw new SystemFailure(`process ${pid} ended before its container was started`);
  return { pid, started };
}
