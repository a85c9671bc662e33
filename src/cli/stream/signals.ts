/** Hands the signals that we get on to the container. */
import type { Engine } from "../../engine/engine.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";

/**
 * What people and supervisors send. SIGWINCH is not among them (the terminal's size travels by itself, and servers
 * take it as an order to stop), nor are SIGCHLD and SIGPIPE, which mean us.
 */
const forwarded = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGCONT",
  "SIGTSTP",
  "SIGALRM",
];

/** So many signals that could not be handed on, and we go. */
const patience = 3;

export interface Forwarding {
  /** Rejects with a CommandError when the user insists and the container cannot be reached. */
  readonly givenUp: Promise<never>;
  stop(): void;
}

/** @param isWanted false: signals are not for the container */
export function forwardSignals(io: Io, engine: Engine, id: string, isWanted: boolean): Forwarding {
  const { promise: givenUp, reject } = Promise.withResolvers<never>();
  if (!isWanted) return { givenUp, stop: () => {} };
  let missed = 0;
  const stop = io.onSignal(forwarded, (signal) => {
    engine.containers.kill(id, signal).then(
      () => {
        missed = 0;
      },
      () => {
        // Not running yet, or no more: the next lines of `run` tell.
        if (["SIGINT", "SIGTERM", "SIGHUP"].includes(signal)) missed += 1;
        if (missed >= patience) reject(new CommandError("got 3 SIGTERM/SIGINTs, forcefully exiting"));
      },
    );
  });
  return { givenUp, stop };
}
