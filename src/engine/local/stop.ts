/** Asks a container to end, and ends it when it does not. */
import { NotModified } from "../../core/errors.ts";
import type { ContainerRecord } from "../../state/containers.ts";
import { signalNumber } from "./configuration.ts";
import { killAndWait, noteUsersStop, openInit, signalContainer } from "./kill.ts";
import { containerEvent, type Local } from "./local.ts";
import { findContainer } from "./lookup.ts";
import { settle } from "./settle.ts";
import { start } from "./start.ts";
import { type LiveState, liveState } from "./status.ts";

/** Seconds that a container has between the signal and SIGKILL, if neither it nor the caller says otherwise. */
const defaultTimeout = 10;

export interface StopOptions {
  signal?: string;
  /** Seconds; -1 waits for ever. */
  timeout?: number;
  abort?: AbortSignal;
}

/** @throws NotFound; NotModified when it does not run */
export async function stop(local: Local, reference: string, options: StopOptions = {}): Promise<void> {
  const found = findContainer(local.state, reference);
  const record = await settle(local, found.id);
  if (record === undefined) return;
  if (record.state.status !== "restarting" && liveState(record) === undefined) {
    throw new NotModified(`Container ${record.id} is already stopped`);
  }
  const signal = signalNumber(options.signal || record.config.StopSignal || "TERM");
  // Its policy may have started it once more, or it has ended, since it was looked at.
  const noted = await noteUsersStop(local, record.id);
  const live = noted && liveState(noted);
  if (noted !== undefined && live !== undefined)
    await stopRunning(local, noted, live, { ...options, signal });
}

async function stopRunning(
  local: Local,
  record: ContainerRecord,
  live: LiveState,
  options: Omit<StopOptions, "signal"> & { signal: number },
): Promise<void> {
  const { signal } = options;
  const timeout = options.timeout ?? record.config.StopTimeout ?? defaultTimeout;
  using init = openInit(live);
  await signalContainer(local, record, live, signal);
  local.emit(containerEvent(record, "kill", { signal: String(signal) }));
  const inTime = init === undefined || (await endsWithin(init, timeout, options.abort));
  if (inTime) await settle(local, record.id);
  else await killAndWait(local, record);
  local.emit(containerEvent(record, "stop"));
}

async function endsWithin(
  init: { ended(signal?: AbortSignal): Promise<void> },
  seconds: number,
  abort: AbortSignal | undefined,
): Promise<boolean> {
  const limits = abort === undefined ? [] : [abort];
  if (seconds >= 0) limits.push(AbortSignal.timeout(seconds * 1000));
  try {
    await init.ended(AbortSignal.any(limits));
    return true;
  } catch (error) {
    abort?.throwIfAborted();
    if (error instanceof DOMException && error.name === "TimeoutError") return false;
    throw error;
  }
}

/** `docker restart`: stop, if it runs, and start. */
export async function restart(local: Local, reference: string, options: StopOptions = {}): Promise<void> {
  const { id } = findContainer(local.state, reference);
  try {
    await stop(local, id, options);
  } catch (error) {
    if (!(error instanceof NotModified)) throw error;
  }
  await start(local, id);
  local.emit(containerEvent(findContainer(local.state, id), "restart"));
}
