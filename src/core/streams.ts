/** The streams of a process in a container, as attach and exec give them. */

/** Output of a process, in the order in which it came. With a TTY everything is `stdout`. */
export interface OutputFrame {
  stream: "stdout" | "stderr";
  data: Uint8Array;
}

/** A live connection to a process's streams. */
export interface AttachedStreams {
  /** Ends when the process has ended and all its output was read, or after `close`. */
  readonly output: AsyncIterable<OutputFrame>;
  /** Feeds the process's stdin. Resolves when the data is handed on; rejects when nobody reads any more. */
  write(data: Uint8Array): Promise<void>;
  /** Tells the process that its stdin has ended. */
  closeInput(): Promise<void>;
  /** Detaches: the process goes on. */
  close(): void;
}
