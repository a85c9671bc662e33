/** Counts the bytes of a stream that the user waits for, and says how many after a second. */
import { humanSize } from "../format/units.ts";
import type { Io } from "../io.ts";
import type { ProgressDisplay } from "./display.ts";

/** Milliseconds before the first word, and between two. */
const patience = 1000;
const interval = 200;

/** Passes `source` on. @param word `Loading` */
export async function* counted(
  io: Io,
  display: Pick<ProgressDisplay, "note">,
  word: string,
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const started = io.now();
  let noted = started + patience - interval;
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    const now = io.now();
    if (now - noted >= interval) {
      noted = now;
      const rate = bytes / ((now - started) / 1000);
      await display.note(`${word} ${humanSize(bytes, 3)} (${humanSize(rate, 3)}/s)`);
    }
    yield chunk;
  }
}
