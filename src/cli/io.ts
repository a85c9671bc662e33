/**
 * What a command may see of the process it runs in: its streams, terminal, signals, environment and clock.
 * Only `processIo` (made by `main`) touches the real ones; tests hand in their own.
 */

export interface TerminalSize {
  /** Columns. */
  width: number;
  /** Rows. */
  height: number;
}

export interface InputStream {
  readonly isTerminal: boolean;
  /** The bytes as they come, until the end of input. May be called once. Returning early stops the reading. */
  chunks(): AsyncIterable<Uint8Array>;
  /** Raw mode hands every key on as it is typed. Does nothing when this is no terminal. */
  setRaw(raw: boolean): void;
  /** What is typed is not shown until the returned function is called. Does nothing when this is no terminal. */
  hideTyping(): () => void;
}

export interface OutputStream {
  readonly isTerminal: boolean;
  /** Resolves when all bytes are with the kernel. @throws with code EPIPE when nobody reads any more. */
  write(data: string | Uint8Array): Promise<void>;
  /** The terminal's size; undefined when this is no terminal. */
  size(): TerminalSize | undefined;
}

export interface Io {
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back with a signal's name (`SIGINT`) instead of dying of it. Returns the way to stop. */
  onSignal(signals: readonly string[], listener: (signal: string) => void): () => void;
}
