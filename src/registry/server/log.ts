/** One record for each request that was answered. */

export interface RequestRecord {
  /** ISO 8601. */
  time: string;
  remote: string;
  method: string;
  /** Path with its query, control characters escaped. */
  path: string;
  status: number;
  /** Bytes of the blob or manifest that was asked for or sent. */
  bytes: number;
  /** Milliseconds until the answer began. */
  duration: number;
  user?: string;
  agent?: string;
  /** What went wrong inside, for a status of 500 and more. */
  error?: string;
}

const longestField = 512;

/** As web servers write it: one line, safe for terminals. */
export function plainLine(record: RequestRecord): string {
  const { time, remote, user, method, path, status, bytes, duration, error } = record;
  const line = `${time} ${remote} ${user ?? "-"} ${method} ${path} ${status} ${bytes} ${duration.toFixed(1)}ms`;
  return error === undefined ? line : `${line} ${JSON.stringify(printable(error))}`;
}

export function jsonLine(record: RequestRecord): string {
  return JSON.stringify(record);
}

/** Printable, of bounded length. */
export function printable(text: string): string {
  const clipped = text.length > longestField ? `${text.slice(0, longestField)}…` : text;
  return clipped.replace(
    /[\x00-\x20\x7f-\x9f"\\]/g,
    (letter) => `\\x${letter.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
