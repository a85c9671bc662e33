/**
 * A runtime in a terminal that is made for it, where our own streams are none: our input is typed there, and what it
 * shows is our output. Runtimes connect the program's own terminal with theirs.
 */
import { hasErrno, SystemFailure } from "../../core/errors.ts";
import { writeSync } from "../../linux/files.ts";

/** What a person types at the end of input. termios(3), VEOF. */
const endOfInput = "\x04";

/** As terminals mostly are when nobody says how large. */
const size = { cols: 80, rows: 24 };

/**
 * So much is typed at once, in bytes, and so long is waited then, in milliseconds: a runtime that writes into a full
 * terminal (4096 bytes) shows nothing meanwhile, and a program that wants to show something would wait for it for ever.
 */
const [largestPiece, pause] = [512, 2];

const output = 1;

/** @returns the runtime, and the end of what it shows */
export function spawnTyped(command: string[]): { child: Bun.Subprocess; forwarded: Promise<void> } {
  const shown = Promise.withResolvers<void>();
  let room = Promise.withResolvers<void>();
  // Made by the spawn, the terminal is the child's alone and ends with it.
  const child = Bun.spawn(command, {
    env: {},
    terminal: {
      ...size,
      data: (_, data) => {
        try {
          writeWhole(data);
        } catch (error) {
          child.kill("SIGKILL");
          // Nobody reads any more: the program ends, as one does that writes into a pipe.
          if (!hasErrno(error, "EPIPE")) shown.reject(error);
        }
      },
      drain: () => room.resolve(),
      exit: () => shown.resolve(),
    },
  });
  const { terminal } = child;
  if (terminal === undefined) throw new SystemFailure("no terminal can be made");
  // Only the program's own terminal shows what is typed.
  terminal.setRawMode(true);
  const reader = Bun.stdin.stream().getReader();
  const type = async (data: string | Uint8Array) => {
    room = Promise.withResolvers();
    terminal.write(data);
    await Promise.race([room.promise, child.exited]);
  };
  const typeAll = async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const { value } = next;
      for (let at = 0; at < value.length; at += largestPiece) {
        await type(value.subarray(at, at + largestPiece));
        if (value.length > largestPiece) await Bun.sleep(pause);
      }
    }
    if (child.exitCode === null) await type(endOfInput);
  };
  typeAll().catch(shown.reject);
  const ended = async () => {
    try {
      await child.exited;
      await shown.promise;
    } finally {
      terminal.close();
      await reader.cancel();
    }
  };
  return { child, forwarded: ended() };
}

/** All of it before anything else is done: who shows faster than somebody reads has to wait. */
function writeWhole(data: Uint8Array): void {
  for (let rest = data; rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(output, rest));
    } catch (error) {
      if (!hasErrno(error, "EAGAIN")) throw error;
      Bun.sleepSync(1);
    }
  }
}
