/** Turns work that tells of events into an iteration of them. */
import type { BuildEvent } from "./events.ts";

/**
 * Runs `work` and yields what it tells, in order, then its failure if it fails. When the reader stops early, the
 * work's signal is aborted and its end awaited.
 */
export async function* eventsOf(
  work: (tell: (event: BuildEvent) => void, signal: AbortSignal) => Promise<void>,
  outer?: AbortSignal,
): AsyncGenerator<BuildEvent> {
  const stop = new AbortController();
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal]);
  const queue: BuildEvent[] = [];
  let wake = Promise.withResolvers<void>();
  let hasEnded = false;
  const running = work((event) => {
    queue.push(event);
    wake.resolve();
  }, signal).finally(() => {
    hasEnded = true;
    wake.resolve();
  });
  // Thrown below, by the await; until then it must not count as unhandled.
  running.catch(() => undefined);
  try {
    for (;;) {
      while (queue.length > 0) yield* queue.splice(0);
      if (hasEnded) break;
      await wake.promise;
      wake = Promise.withResolvers<void>();
    }
    await running;
  } finally {
    if (!hasEnded) {
      stop.abort();
      await running.catch(() => undefined);
    }
  }
}
