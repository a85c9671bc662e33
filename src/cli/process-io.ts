/** The real process behind `Io`. Made once, by `main`. */

import { hasErrno } from "../core/errors.ts";
import { writeSync } from "../linux/files.ts";
import { bytesOf } from "../linux/libc.ts";
import { hideTyping, isTerminal, isWritable, makeRaw, terminalSize } from "../linux/terminal.ts";
import type { InputStream, Io, OutputStream } from "./io.ts";

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
  const terminal = isTerminal(0);
  let restore: (() => void) | undefined;
  return {
    isTerminal: terminal,
    chunks: () => Bun.stdin.stream(),
    setRaw(wanted) {
      if (!terminal || wanted === (restore !== undefined)) return;
      if (restore === undefined) {
        restore = makeRaw(0);
      } else {
        restore();
        restore = undefined;
      }
    },
    hideTyping: () => (terminal ? hideTyping(0) : () => {}),
  };
}

/** What a pipe that takes anything at all takes at once, in bytes. pipe(7). */
const pipeBuffer = 4096;

/**
 * What could block goes through the thread pool: the event loop stays free for signals while a reader is slow, and
 * the descriptor, which siblings may share, keeps its blocking mode. A little text that there is room for does not.
 */
function processOutput(fd: 1 | 2): OutputStream {
  const terminal = isTerminal(fd);
  return {
    isTerminal: terminal,
    async write(data) {
      let rest = typeof data === "string" ? bytesOf(data) : data;
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
    size: () => (terminal ? terminalSize(fd) : undefined),
  };
}

/** Loaded where there is much to write only. */
const nodeFiles = (): typeof import("node:fs") => require("node:fs");

function writeSome(fd: number, data: Uint8Array): Promise<number> {
  if (data.length <= pipeBuffer && isWritable(fd)) return Promise.resolve(writeSync(fd, data));
  return new Promise((resolve, reject) => {
    nodeFiles().write(fd, data, 0, data.length, null, (error, written) =>
      error === null ? resolve(written) : reject(error),
    );
  });
}
