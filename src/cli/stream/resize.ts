/** Keeps the size of a terminal in a container the same as ours. */
import { DavitError } from "../../core/errors.ts";
import type { Io, TerminalSize } from "../io.ts";

/** The terminal inside may not be there yet when the first size is sent. */
const tries = 10;
const pause = 10;

/** Sends our size now and whenever it changes. Returns the way to stop. */
export function followSize(io: Io, send: (size: TerminalSize) => Promise<void>): () => void {
  let stopped = false;
  const sendNow = async (): Promise<void> => {
    for (let attempt = 1; !stopped && attempt <= tries; attempt += 1) {
      const size = io.stdout.size();
      if (size === undefined || (size.width === 0 && size.height === 0)) return;
      try {
        return await send(size);
      } catch (error) {
        if (!(error instanceof DavitError)) throw error;
        await Bun.sleep(pause * attempt);
      }
    }
  };
  // A process that has ended has no terminal to resize: not worth a word.
  const start = () => void sendNow();
  const forget = io.onSignal(["SIGWINCH"], start);
  start();
  return () => {
    stopped = true;
    forget();
  };
}
