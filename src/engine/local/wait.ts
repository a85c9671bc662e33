/** Waiting for a container's end. The event log tells what happened, so that nothing that comes at once is missed. */
import type { ContainerId } from "../../core/ids.ts";
import type { ContainerWaitResponse } from "../../core/objects.ts";
import { type ContainerRecord, containerById } from "../../state/containers.ts";
import {
  bellDirectory,
  type Doorbell,
  eventsAfter,
  lastEventId,
  watchDirectories,
} from "../../state/events.ts";
import type { RegisteredWait, WaitCondition } from "../engine.ts";
import { openInit } from "./kill.ts";
import type { Local } from "./local.ts";
import { findContainer } from "./lookup.ts";
import { settle } from "./settle.ts";
import { liveState } from "./status.ts";

/** `Containers.wait`. @throws NotFound */
export async function wait(
  local: Local,
  reference: string,
  condition: WaitCondition = "not-running",
  signal?: AbortSignal,
): Promise<RegisteredWait> {
  const { id } = findContainer(local.state, reference);
  const seen = lastEventId(local.state);
  const record = await settle(local, id);
  if (condition === "not-running" && (record === undefined || liveState(record) === undefined)) {
    return { result: Promise.resolve({ StatusCode: record?.exitCode ?? 0 }) };
  }
  const isLive = record !== undefined && liveState(record) !== undefined;
  return { result: followToEnd(local, id, { condition, seen, isLive, signal }) };
}

interface Watch {
  condition: WaitCondition;
  /** Number of the last event before the wait. */
  seen: number;
  /** It runs already. */
  isLive: boolean;
  signal: AbortSignal | undefined;
}

/** Milliseconds, less than any start takes. */
const headStart = 12;

/** Longest time between two looks, in milliseconds, should a bell go unheard. */
const patience = 1000;

async function followToEnd(local: Local, id: ContainerId, watch: Watch): Promise<ContainerWaitResponse> {
  // Whoever waits for what does not run yet is about to start it: that is not to be held up, and the log keeps all.
  if (!watch.isLive) await Bun.sleep(headStart);
  watch.signal?.throwIfAborted();
  using bell = watchDirectories([bellDirectory(local.instance)], watch.signal);
  let seen = watch.seen;
  let exitCode: number | undefined;
  for (;;) {
    // Before the events: of a container that has gone by now, the end is among them.
    const record = containerById(local.state, id);
    for (const event of eventsAfter(local.state, seen)) {
      seen = event.id;
      if (event.message.Type !== "container" || event.message.Actor.ID !== id) continue;
      if (event.message.Action === "die") {
        exitCode = Number(event.message.Actor.Attributes.exitCode);
        if (watch.condition !== "removed") return { StatusCode: exitCode };
      }
      if (event.message.Action === "destroy") return { StatusCode: exitCode ?? 0 };
    }
    if (record === undefined) return { StatusCode: exitCode ?? 0 };
    await untilSomethingHappens(local, record, bell, watch.signal);
  }
}

/** Returns at the container's end, having recorded it, or at the next ring. */
async function untilSomethingHappens(
  local: Local,
  record: ContainerRecord,
  bell: Doorbell,
  signal: AbortSignal | undefined,
): Promise<void> {
  const live = liveState(record);
  if (live === undefined) return await bell.next(patience);
  using init = openInit(live);
  if (init === undefined) {
    await settle(local, record.id);
    return;
  }
  const stop = new AbortController();
  const ended = init.ended(stop.signal).then(
    () => true,
    () => false,
  );
  try {
    if (await Promise.race([ended, bell.next(patience).then(() => false)])) await settle(local, record.id);
  } finally {
    stop.abort();
  }
  signal?.throwIfAborted();
}
