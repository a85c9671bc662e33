/** Hands the signals that we get on to the container. */
import type { Engine } from "../../engine/engine.ts";
import type { Io } from "../io.ts";

/**
 * What people and supervisors send. SIGWINCH is not among them (the terminal's size travels by itself, and servers
 * take it as an order to stop), nor are SIGCHLD and SIGPIPE, which mean us.
 */
const proxied = [
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

/**
 * @param giveUp called when the user insists and the container cannot be reached
 * @returns the way to stop
 */
export function proxySignals(io: Io, engine: Engine, id: string, giveUp: () => void): () => void {
  let missed = 0;
  return io.onSignal(proxied, (signal) => {
    engine.containers.kill(id, signal).then(
      () => {
        missed = 0;
      },
      () => {
        // Not running yet, or no more: the next lines of `run` tell.
        if (["SIGINT", "SIGTERM", "SIGHUP"].includes(signal)) missed += 1;
        if (missed >= patience) giveUp();
      },
    );
  });
}
