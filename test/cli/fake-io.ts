/** A process's surroundings in memory: what commands print can be read, and signals can be sent. */
import type { Io } from "../../src/cli/io.ts";

export interface FakeIo {
  readonly io: Io;
  readonly stdout: string;
  readonly stderr: string;
  /** What was done to the terminal, in order. */
  readonly modes: ("raw" | "hidden" | "cooked")[];
  send(signal: string): void;
}

export interface FakeIoOptions {
  stdin?: readonly (string | Uint8Array)[] | AsyncIterable<Uint8Array>;
  terminal?: { width: number; height: number };
  env?: Record<string, string>;
  cwd?: string;
  /** Milliseconds since 1970. */
  now?: number;
  /** Called for each write to stdout, and may throw. */
  onWrite?: () => void;
}

export function fakeIo(options: FakeIoOptions = {}): FakeIo {
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const printed = { stdout: "", stderr: "" };
  const modes: ("raw" | "hidden" | "cooked")[] = [];
  const listeners = new Map<string, Set<(signal: string) => void>>();
  const isTerminal = options.terminal !== undefined;
  const output = (name: "stdout" | "stderr") => ({
    isTerminal,
    size: () => options.terminal,
    async write(data: string | Uint8Array) {
      if (name === "stdout") options.onWrite?.();
      printed[name] += typeof data === "string" ? data : decoders[name].decode(data, { stream: true });
    },
  });
  const io: Io = {
    stdin: {
      isTerminal,
      async *chunks() {
        for await (const chunk of options.stdin ?? []) {
          yield typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
        }
      },
      setRaw(raw) {
        modes.push(raw ? "raw" : "cooked");
      },
      hideTyping() {
        modes.push("hidden");
        return () => {
          modes.push("cooked");
        };
      },
    },
    stdout: output("stdout"),
    stderr: output("stderr"),
    env: options.env ?? {},
    cwd: options.cwd ?? "/",
    now: () => options.now ?? 0,
    onSignal(signals, listener) {
      for (const signal of signals) listeners.set(signal, (listeners.get(signal) ?? new Set()).add(listener));
      return () => {
        for (const signal of signals) listeners.get(signal)?.delete(listener);
      };
    },
  };
  return {
    io,
    modes,
    get stdout() {
      return printed.stdout;
    },
    get stderr() {
      return printed.stderr;
    },
    send(signal) {
      for (const listener of listeners.get(signal) ?? []) listener(signal);
    },
  };
}
