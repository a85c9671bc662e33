/** Small archives written by hand, entry by entry: also such as no tool would make. */
import {
  encodeHeader,
  endOfArchive,
  padding,
  type TarEntryInput,
} from "../../src/images/layers/tar-writer.ts";

export type HandEntry = TarEntryInput & { content?: string | Uint8Array };

export function archive(...entries: HandEntry[]): Buffer {
  return Buffer.concat([...entries.map(member), endOfArchive]);
}

export function member({ content = "", ...entry }: HandEntry): Buffer {
  const bytes = Buffer.from(content);
  const size = entry.type === "file" ? bytes.length : 0;
  return Buffer.concat([encodeHeader({ size, ...entry }), bytes, padding(bytes.length)]);
}

export async function* stream(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

/** Makes the checksum of a changed header block right again. */
export function reseal(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}
