/** Signals to a container's first process. */
import { Conflict } from "../../core/errors.ts";
import type { ContainerId } from "../../core/ids.ts";
import { isAlive, openProcess, type ProcessHandle } from "../../linux/processes.ts";
import { type ContainerRecord, containerById, updateContainer } from "../../state/containers.ts";
import { signalNumber } from "./configuration.ts";
import { containerEvent, type Local } from "./local.ts";
import { lockContainer } from "./lock-container.ts";
import { findContainer } from "./lookup.ts";
import { thaw } from "./pause.ts";
import { settle, settleLocked } from "./settle.ts";
import { type LiveState, liveState } from "./status.ts";

const sigkill = 9;

/** `docker kill`. A kill by SIGKILL, or by the stop signal, counts as the user's wish that it stay stopped. */
export async function kill(local: Local, reference: string, signal = "KILL"): Promise<void> {
  const number = signalNumber(signal);
  const record =
    (await settle(local, findContainer(local.state, reference).id)) ?? findContainer(local.state, reference);
  const live = liveState(record);
  if (live === undefined) {
    throw new Conflict(`cannot kill container: ${reference}: container ${record.id} is not running`);
  }
  const ends = number === sigkill || number === signalNumber(record.config.StopSignal || "TERM");
  const noted = ends ? await noteUsersStop(local, record.id) : record;
  // Its policy may have started it once more: then that is what is meant.
  const current = noted && liveState(noted);
  if (current !== undefined) await signalContainer(local, record, current, number);
  local.emit(containerEvent(record, "kill", { signal: String(number) }));
}

/** The container's init, if it is still the process that was recorded. */
export function openInit(state: LiveState): ProcessHandle | undefined {
  const handle = openProcess(state.process.pid);
  if (handle === undefined) return undefined;
  // Asked after the handle was opened: now the pid cannot change hands any more.
  if (isAlive(state.process.pid, state.process.started)) return handle;
  handle[Symbol.dispose]();
  return undefined;
}

/** Sends a signal; a frozen container is thawed for SIGKILL, which it could not take otherwise. */
export async function signalContainer(
  local: Local,
  record: ContainerRecord,
  state: LiveState,
  signal: number,
): Promise<void> {
  using init = openInit(state);
  init?.signal(signal);
  if (state.status === "paused" && signal === sigkill) await thaw(local, record);
}

/**
 * Writes down, before the signal goes out, that the restart policy is to leave it alone, and ends its wait for a restart.
 * @returns the record as it is from then on, live or not; undefined when it is gone.
 */
export async function noteUsersStop(local: Local, id: ContainerId): Promise<ContainerRecord | undefined> {
  using _ = await lockContainer(local, id);
  await settleLocked(local, id);
  return local.state.transaction(() => {
    const now = containerById(local.state, id);
    if (now === undefined) return undefined;
    const isWaiting = now.state.status === "restarting";
    const noted: ContainerRecord = {
      ...now,
      ...(isWaiting ? { state: { status: "exited" } } : {}),
      stoppedByUser: true,
    };
    updateContainer(local.state, noted);
    return noted;
  });
}

/** Kills and waits until the end is recorded. For a container in whatever state. */
export async function killAndWait(local: Local, record: ContainerRecord): Promise<void> {
  const noted = await noteUsersStop(local, record.id);
  const live = noted && liveState(noted);
  if (live === undefined) return;
  using init = openInit(live);
  await signalContainer(local, record, live, sigkill);
  await init?.ended();
  await settle(local, record.id);
}
