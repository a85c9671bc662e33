/** Lines from a socket that we hold, one at a time. */
import { SystemFailure } from "../core/errors.ts";
import { adoptSocket } from "./adopt.ts";

const longestLine = 64 * 1024;

export interface LineReader extends Disposable {
  /** The next line without its end; undefined when the peer has closed. @throws SystemFailure above 64 KiB. */
  next(): Promise<string | undefined>;
}

/** Takes over the descriptor and closes it. */
export async function readLines(fd: number): Promise<LineReader> {
  let text = "";
  let ended = false;
  let wake: (() => void) | undefined;
  const end = () => {
    ended = true;
    wake?.();
  };
  const socket = await adoptSocket(fd, {
    data: (_, chunk) => {
      text += chunk.toString("utf8");
      wake?.();
    },
    close: end,
    error: end,
  });
  return {
    next: async () => {
      for (;;) {
        const length = text.indexOf("\n");
        if (length >= 0) {
          const line = text.slice(0, length);
          text = text.slice(length + 1);
          return line;
        }
        if (text.length > longestLine) throw new SystemFailure("a line is too long");
        if (ended) return undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    [Symbol.dispose]: () => socket.terminate(),
  };
}
