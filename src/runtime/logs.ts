/** Reads conmon's log: the CRI format, `<RFC 3339 time> <stream> <P|F> <bytes>`, one record a line. */
import type { OutputFrame } from "../core/streams.ts";

export interface ReadLogOptions {
  stdout: boolean;
  stderr: boolean;
  timestamps?: boolean;
  /** Unix seconds, fractions allowed. */
  since?: number;
  until?: number;
  /** Last n lines. */
  tail?: number;
  /** Goes on until this says that the container has ended, and then to the end of the file. */
  follow?: { hasEnded(): boolean };
  signal?: AbortSignal;
}

/** A file that does not exist is an empty log. Bytes are given exactly as they were written. */
export declare function readLog(path: string, options: ReadLogOptions): AsyncIterable<OutputFrame>;
