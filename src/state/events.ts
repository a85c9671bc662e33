/**
 * The event log: one row an event, in the order in which they were committed. A writer appends in the
 * transaction that makes the event true and rings the bell afterwards; followers in other processes watch the
 * bell, a small file, and read on from the last row that they saw. So no event is lost or seen before its time.
 */

import { hasErrno } from "../core/errors.ts";
import type { Instance } from "../core/instance.ts";
import type { EventMessage } from "../core/objects.ts";
import { join } from "../core/paths.ts";
import { closeSync, mkdirSync, openSync, writeSync } from "../linux/files.ts";
import { openFlag } from "../linux/paths.ts";
import type { State } from "./state.ts";

export type NewEvent = Pick<EventMessage, "Type" | "Action" | "Actor">;

/** Rows kept; older ones are dropped now and then. */
const kept = 4096;

/** Appends an event; within a transaction of the caller's, if there is one. Ring the bell after the commit. */
export function appendEvent(state: State, event: NewEvent): void {
  const timeNano = Date.now() * 1_000_000;
  const message: EventMessage = { ...event, scope: "local", time: Math.floor(timeNano / 1e9), timeNano };
  const { lastInsertRowid } = state.db
    .query("INSERT INTO events (time_nano, message) VALUES (?, ?)")
    .run(timeNano, JSON.stringify(message));
  if (Number(lastInsertRowid) % 512 === 0) {
    state.db.query("DELETE FROM events WHERE id <= ?").run(Number(lastInsertRowid) - kept);
  }
}

function bellPath(instance: Instance): string {
  return join(instance.execRoot, "bell", "rung");
}

/** Wakes the followers. */
export function ringBell(instance: Instance): void {
  const path = bellPath(instance);
  // Not truncated: to free the block each time is dear on disks that are told of it.
  const mode = openFlag.writeOnly | openFlag.create;
  let fd: number;
  try {
    fd = openSync(path, mode);
  } catch (error) {
    // The first event of this boot: the directory is not there yet.
    if (!hasErrno(error, "ENOENT")) throw error;
    mkdirSync(join(instance.execRoot, "bell"), { recursive: true });
    fd = openSync(path, mode);
  }
  writeSync(fd, "!", 0);
  closeSync(fd);
}

/** Appends an event by itself and wakes the followers. */
export function emitEvent(state: State, event: NewEvent): void {
  appendEvent(state, event);
  ringBell(state.instance);
}

export interface StoredEvent {
  id: number;
  message: EventMessage;
}

interface Row {
  id: number;
  message: string;
}

/** Number of the newest event; 0 when there is none. */
export function lastEventId(state: State): number {
  return state.db.query<{ id: number | null }, []>("SELECT max(id) AS id FROM events").get()?.id ?? 0;
}

/** In the order in which they were committed. @param id of the last event that is known */
export function eventsAfter(state: State, id: number): StoredEvent[] {
  return state.db
    .query<Row, [number]>("SELECT id, message FROM events WHERE id > ? ORDER BY id")
    .all(id)
    .map((row) => ({ id: row.id, message: JSON.parse(row.message) }));
}

/** Events at or after a time, in nanoseconds since 1970. */
export function eventsSince(state: State, timeNano: number): StoredEvent[] {
  return state.db
    .query<Row, [number]>("SELECT id, message FROM events WHERE time_nano >= ? ORDER BY id")
    .all(timeNano)
    .map((row) => ({ id: row.id, message: JSON.parse(row.message) }));
}

/** Something that wakes a waiter when files in some directories change, or a while has passed. */
export interface Doorbell extends Disposable {
  /** Resolves at the next change, at one since the last call, or after `timeout` milliseconds. */
  next(timeout: number): Promise<void>;
}

/** Loaded by those who wait only. */
const nodeFiles = (): typeof import("node:fs") => require("node:fs");

/** Watches directories (made if missing) by inotify. */
export function watchDirectories(paths: readonly string[], signal?: AbortSignal): Doorbell {
  let rung = false;
  let wake: (() => void) | undefined;
  const ring = (): void => {
    rung = true;
    wake?.();
  };
  const watchers = paths.map((path) => {
    mkdirSync(path, { recursive: true });
    return nodeFiles().watch(path, ring);
  });
  signal?.addEventListener("abort", ring);
  return {
    async next(timeout) {
      if (!rung) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, timeout);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        wake = undefined;
      }
      rung = false;
      signal?.throwIfAborted();
    },
    [Symbol.dispose]() {
      signal?.removeEventListener("abort", ring);
      for (const watcher of watchers) watcher.close();
    },
  };
}

/** Where the bell hangs; for `watchDirectories`. */
export function bellDirectory(instance: Instance): string {
  return join(instance.execRoot, "bell");
}

/** Events after `id` as they come, until the signal. */
export async function* followEvents(
  state: State,
  id: number,
  signal?: AbortSignal,
): AsyncGenerator<StoredEvent> {
  using bell = watchDirectories([bellDirectory(state.instance)], signal);
  let seen = id;
  for (;;) {
    for (const event of eventsAfter(state, seen)) {
      seen = event.id;
      yield event;
    }
    if (signal?.aborted) return;
    await bell.next(1000);
  }
}
