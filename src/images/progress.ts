/** Progress as the Engine API streams it, from work that reports as it goes. */

export interface ProgressMessage {
  stream?: string;
  status?: string;
  id?: string;
  progressDetail?: { current?: number; total?: number };
  /** The bar, as text. */
  progress?: string;
  aux?: unknown;
}

export type Report = (message: ProgressMessage) => void;

/**
 * Runs `work` and yields what it reports, in order, then its failure if it fails. When the reader stops early, the
 * work's signal is aborted and its end awaited.
 */
export async function* progressOf(
  work: (report: Report, signal: AbortSignal) => Promise<void>,
  outer?: AbortSignal,
): AsyncGenerator<ProgressMessage> {
  const stop = new AbortController();
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal]);
  const queue: ProgressMessage[] = [];
  let wake = Promise.withResolvers<void>();
  let ended = false;
  const report: Report = (message) => {
    queue.push(message);
    wake.resolve();
  };
  const running = work(report, signal).finally(() => {
    ended = true;
    wake.resolve();
  });
  // The failure is thrown below, by the await; until then it must not count as unhandled.
  running.catch(() => undefined);
  try {
    for (;;) {
      // More may have been reported, and the work have ended, while the reader was busy with these.
      while (queue.length > 0) yield* queue.splice(0);
      if (ended) break;
      await wake.promise;
      wake = Promise.withResolvers<void>();
      if (queue.length === 0 && ended) break;
    }
    await running;
  } finally {
    if (!ended) {
      stop.abort();
      await running.catch(() => undefined);
    }
  }
}
