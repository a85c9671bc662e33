/** The real process behind `Io`. Made once, by `main`. */
import { write } from "node:fs";
import { isatty } from "node:tty";
import { hasErrno } from "../core/errors.ts";
import { makeRaw } from "../linux/terminal.ts";
import type { InputStream, Io, OutputStream, TerminalSize } from "./io.ts";

/** Longest pause between tries while a non-blocking stdout is full, in milliseconds. */
const longestPause = 16;

export function processIo(): Io {
  return {
    stdin: processInput(),
    stdout: processOutput(1),
    stderr: processOutput(2),
    env: process.env,
    cwd: process.cwd(),
    now: Date.now,
    onSignal(signals, listener) {
      const handlers = signals.map((signal) => ({ signal, handler: () => listener(signal) }));
      for (const { signal, handler } of handlers) process.on(signal, handler);
      return () => {
        for (const { signal, handler } of handlers) process.off(signal, handler);
      };
    },
  };
}

function processInput(): InputStream {
  const isTerminal = isatty(0);
  let restore: (() => void) | undefined;
  return {
    isTerminal,
    chunks: () => Bun.stdin.stream(),
    setRaw(wanted) {
      if (!isTerminal || wanted === (restore !== undefined)) return;
      if (restore === undefined) {
        restore = makeRaw(0);
      } else {
        restore();
        restore = undefined;
      }
    },
  };
}

/**
 * Writes go through the thread pool: the event loop stays free for signals while a reader is slow, and the
 * descriptor, which siblings may share, keeps its blocking mode.
 */
function processOutput(fd: 1 | 2): OutputStream {
  const isTerminal = isatty(fd);
  return {
    isTerminal,
    async write(data) {
      let rest = typeof data === "string" ? Buffer.from(data) : data;
      let pause = 1;
      while (rest.length > 0) {
        try {
          const written = await writeSome(fd, rest);
          rest = rest.subarray(written);
          pause = 1;
        } catch (error) {
          if (!hasErrno(error, "EAGAIN")) throw error;
          await Bun.sleep(pause);
          pause = Math.min(pause * 2, longestPause);
        }
      }
    },
    size: () => (isTerminal ? sizeOf(fd) : undefined),
  };
}

function writeSome(fd: number, data: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, data, 0, data.length, null, (error, written) =>
      error === null ? resolve(written) : reject(error),
    );
  });
}

function sizeOf(fd: 1 | 2): TerminalSize {
  const stream = fd === 1 ? process.stdout : process.stderr;
  // Bun keeps the size of the start; Node's own name for asking again works there, too.
  if ("_refreshSize" in stream && typeof stream._refreshSize === "function") stream._refreshSize();
  const [width, height] = stream.getWindowSize();
  return { width, height };
}
