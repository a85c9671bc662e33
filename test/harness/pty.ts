/** A command in a real terminal, as a person at a keyboard has it. */

export interface TerminalSession {
  /** All that was printed so far, as the terminal got it (line ends are CR LF). */
  readonly screen: string;
  /** Presses keys: `\x03` is Ctrl-C, `\x10\x11` the detach keys. */
  type(keys: string): void;
  resize(columns: number, rows: number): void;
  /** Waits until `text` has been printed `times` times. @throws with the screen after `timeout` milliseconds. */
  see(text: string | RegExp, options?: { times?: number; timeout?: number }): Promise<void>;
  /** Exit code of the command; 128 + n after signal n. @throws with the screen after `timeout` milliseconds. */
  exited(timeout?: number): Promise<number>;
  kill(signal: NodeJS.Signals): void;
  [Symbol.dispose](): void;
}

export interface TerminalOptions {
  env?: Record<string, string>;
  cwd?: string;
  columns?: number;
  rows?: number;
}

const defaultTimeout = 20_000;

/** Starts `command` as the leader of a session on a pseudo-terminal of its own. */
export function openTerminal(command: readonly string[], options: TerminalOptions = {}): TerminalSession {
  const decoder = new TextDecoder();
  let screen = "";
  let wake = Promise.withResolvers<void>();
  const child = Bun.spawn([...command], {
    env: { ...process.env, TERM: "xterm", ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    terminal: {
      cols: options.columns ?? 80,
      rows: options.rows ?? 24,
      data(_, bytes) {
        screen += decoder.decode(bytes, { stream: true });
        wake.resolve();
        wake = Promise.withResolvers<void>();
      },
    },
  });
  const { terminal } = child;
  if (terminal === undefined) throw new Error("no pseudo-terminal");

  const before = async <Result>(deadline: number, what: string, work: Promise<Result>): Promise<Result> => {
    let timer: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${what} did not come; the screen:\n${screen}`)),
        Math.max(deadline - Date.now(), 0),
      );
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    get screen() {
      return screen;
    },
    type(keys) {
      terminal.write(keys);
    },
    resize(columns, rows) {
      terminal.resize(columns, rows);
    },
    async see(text, seeOptions = {}) {
      const deadline = Date.now() + (seeOptions.timeout ?? defaultTimeout);
      while (countOf(screen, text) < (seeOptions.times ?? 1))
        await before(deadline, String(text), wake.promise);
    },
    exited: (timeout = defaultTimeout) => before(Date.now() + timeout, "the end", child.exited),
    kill: (signal) => child.kill(signal),
    [Symbol.dispose]() {
      child.kill("SIGKILL");
      terminal.close();
    },
  };
}

function countOf(screen: string, text: string | RegExp): number {
  if (typeof text === "string") return screen.split(text).length - 1;
  return [...screen.matchAll(new RegExp(text, text.flags.includes("g") ? text.flags : `${text.flags}g`))]
    .length;
}
