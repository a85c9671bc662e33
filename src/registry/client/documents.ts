/** Small answers, read whole. */
import { InvalidParameter } from "../../core/errors.ts";
import type { HttpAnswer } from "./http.ts";

/** An answer that is larger than anyone would send who means well. */
export class TooLarge extends InvalidParameter {}

/** The whole body, unless it has more than `limit` bytes: then nothing beyond is read. @throws TooLarge */
export async function readWhole(answer: HttpAnswer, limit: number, what: string): Promise<Uint8Array> {
  const promised = Number(answer.headers.get("content-length") ?? "0");
  if (promised > limit) {
    await answer.discard();
    throw new TooLarge(`${what} has ${promised} bytes; at most ${limit} are read`);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body()) {
    size += chunk.byteLength;
    if (size > limit) throw new TooLarge(`${what} has more than ${limit} bytes`);
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size);
}
