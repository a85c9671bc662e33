/**
 * The Engine API's framing of stdout and stderr on one stream: 8 bytes of header (stream, three zeros, length in
 * big endian), then the data. Engine API reference, "Attach to a container", stream format.
 */
import { SystemFailure } from "../../core/errors.ts";
import type { OutputFrame } from "../../engine/engine.ts";

const headerSize = 8;
const streams = ["stdout", "stdout", "stderr"] as const;
/** The fourth stream: an error of the server's own, said in the middle of the output. */
const systemError = 3;
const errorLimit = 64 << 10;

/**
 * Takes frames apart. Data is passed on as it comes: a frame may be given in several pieces.
 * @throws SystemFailure when the stream is not framed, ends inside a frame, or carries the server's error.
 */
export async function* demultiplex(source: AsyncIterable<Uint8Array>): AsyncGenerator<OutputFrame> {
  const header = Buffer.alloc(headerSize);
  let headerBytes = 0;
  let remaining = 0;
  let failure = "";

  for await (const chunk of source) {
    let rest = chunk;
    while (rest.length > 0) {
      if (remaining === 0) {
        const part = rest.subarray(0, headerSize - headerBytes);
        header.set(part, headerBytes);
        headerBytes += part.length;
        rest = rest.subarray(part.length);
        if (headerBytes < headerSize) break;
        remaining = lengthOf(header);
        if (remaining === 0) headerBytes = 0;
        continue;
      }
      const data = rest.subarray(0, remaining);
      rest = rest.subarray(data.length);
      remaining -= data.length;
      if (header[0] === systemError)
        failure = (failure + Buffer.from(data).toString("utf8")).slice(0, errorLimit);
      else yield { stream: streams[header[0] ?? 1] ?? "stdout", data };
      if (remaining > 0) continue;
      headerBytes = 0;
      if (failure !== "") throw new SystemFailure(failure.trim());
    }
  }
  if (headerBytes > 0) throw new SystemFailure("the server's output stream ended inside a frame");
}

function lengthOf(header: Buffer): number {
  const stream = header[0] ?? 255;
  if (stream > systemError || header[1] !== 0 || header[2] !== 0 || header[3] !== 0) {
    throw new SystemFailure(
      `the server's output stream is not framed as expected (${header.toString("hex")})`,
    );
  }
  return header.readUInt32BE(4);
}

/** A TTY's stream: everything is stdout. */
export async function* unframed(source: AsyncIterable<Uint8Array>): AsyncGenerator<OutputFrame> {
  for await (const data of source) yield { stream: "stdout", data };
}
