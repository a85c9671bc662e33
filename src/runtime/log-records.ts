/** Records of the CRI log format that conmon writes: `<RFC 3339 time> <stream> <P|F> <bytes>`, one a line. */

export interface LogRecord {
  /** RFC 3339 with nanoseconds, as it stands in the file. */
  time: string;
  stream: "stdout" | "stderr";
  /** The record ends a line of output; else the line goes on in the stream's next record. */
  full: boolean;
  /** Without the newline that `full` stands for. Shares memory with the block it was parsed from. */
  content: Buffer;
}

const space = 0x20;

/** Parses one record, given without its newline; undefined for a torn one. */
export function parseRecord(line: Buffer): LogRecord | undefined {
  const timeEnd = line.indexOf(space);
  const streamEnd = timeEnd < 0 ? -1 : line.indexOf(space, timeEnd + 1);
  if (streamEnd < 0 || line[streamEnd + 2] !== space) return undefined;
  const stream = line.toString("latin1", timeEnd + 1, streamEnd);
  const tag = line[streamEnd + 1];
  if ((stream !== "stdout" && stream !== "stderr") || (tag !== fullTag && tag !== partialTag))
    return undefined;
  return {
    time: line.toString("latin1", 0, timeEnd),
    stream,
    full: tag === fullTag,
    content: line.subarray(streamEnd + 3),
  };
}

const fullTag = 0x46;
const partialTag = 0x50;

/** Unix seconds with their fraction. */
export function unixTime(time: string): number {
  const fraction = time.match(/\.(\d+)/)?.[1] ?? "0";
  return Date.parse(time.replace(/\.\d+/, "")) / 1000 + Number(`0.${fraction}`);
}

/** As Docker prints it: in UTC, with nine digits and `Z`. */
export function utcTime(time: string): string {
  const fraction = (time.match(/\.(\d+)/)?.[1] ?? "").padEnd(9, "0").slice(0, 9);
  const seconds = time.endsWith("+00:00")
    ? time.slice(0, 19)
    : new Date(Date.parse(time)).toISOString().slice(0, 19);
  return `${seconds}.${fraction}Z`;
}
