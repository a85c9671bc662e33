/** Work that tells how far it is, and that the user may break off. */
import type { ProgressMessage } from "../../engine/engine.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import type { ProgressDisplay } from "../progress/display.ts";

const interrupted = 130;

/** @throws CommandError without words when a signal came */
export async function shownBy<Result>(
  io: Io,
  display: ProgressDisplay,
  work: (report: (message: ProgressMessage) => void, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  let shown: Promise<void> = Promise.resolve();
  const report = (message: ProgressMessage): void => {
    shown = shown.then(() => display.show(message));
    // Told below, once the work has ended.
    shown.catch(() => {});
  };
  return await interruptible(io, async (signal) => {
    try {
      const result = await work(report, signal);
      await shown;
      return result;
    } finally {
      await display.finish();
    }
  });
}

/** @throws CommandError without words when a signal came */
export async function interruptible<Result>(
  io: Io,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const abort = new AbortController();
  const stop = io.onSignal(["SIGINT", "SIGTERM"], () => abort.abort(new CommandError("", interrupted)));
  try {
    return await work(abort.signal);
  } catch (error) {
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    stop();
  }
}
