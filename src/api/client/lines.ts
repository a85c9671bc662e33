/** JSON values, one after the other, as the Engine API streams progress, events and stats. */
import { SystemFailure } from "../../core/errors.ts";

/** A progress message is a few hundred bytes, a sample of stats a few thousand. */
const lineLimit = 4 << 20;
const lineFeed = 10;

/**
 * Reads one JSON value a line; lines are split by LF or CRLF.
 * @throws SystemFailure when a line is too long, or not JSON.
 */
export async function* jsonLines<Value>(source: AsyncIterable<Uint8Array>): AsyncGenerator<Value> {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  for await (const chunk of source) {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(lineFeed, start);
      const piece = chunk.subarray(start, end < 0 ? chunk.length : end);
      pendingBytes += piece.length;
      if (pendingBytes > lineLimit) throw new SystemFailure("the server sent a line that is too long");
      // The chunk may be reused by its reader before the line is complete.
      pending.push(end < 0 ? piece.slice() : piece);
      if (end < 0) break;
      const value = parse<Value>(pending);
      if (value !== undefined) yield value;
      pending = [];
      pendingBytes = 0;
      start = end + 1;
    }
  }
  const value = parse<Value>(pending);
  if (value !== undefined) yield value;
}

function parse<Value>(pieces: Uint8Array[]): Value | undefined {
  const text = Buffer.concat(pieces).toString("utf8").trim();
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SystemFailure(
      `the server sent a line that is not JSON: ${JSON.stringify(text.slice(0, 200))}`,
      {
        cause: error,
      },
    );
  }
}
