/** Says how far a long transfer is: on a terminal, after a second, on one line that goes away again. */
import type { ProgressMessage } from "../engine/engine.ts";
import { humanSize } from "./format/units.ts";
import type { Io } from "./io.ts";

/** Milliseconds before the first word, and between two. */
const patience = 1000;
const interval = 200;

export class Progress {
  readonly #io: Io;
  readonly #word: string;
  readonly #started: number;
  #bytes = 0;
  /** Bytes of each layer that the engine says it is done with: all that is known of a file that it reads itself. */
  readonly #layers = new Map<string, number>();
  #shownAt = 0;

  /** @param word `Loading` */
  constructor(io: Io, word: string) {
    this.#io = io;
    this.#word = word;
    this.#started = io.now();
  }

  /** Passes the stream on and counts. */
  async *count(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      this.#bytes += chunk.length;
      await this.#show();
      yield chunk;
    }
  }

  /** Takes what the engine says of its own progress. */
  async report({ id, progressDetail }: ProgressMessage): Promise<void> {
    if (id === undefined || progressDetail?.current === undefined) return;
    this.#layers.set(id, progressDetail.current);
    const loaded = this.#layers.values().reduce((sum, bytes) => sum + bytes, 0);
    this.#bytes = Math.max(this.#bytes, loaded);
    await this.#show();
  }

  /** Takes the line away, before something else is printed. */
  async clear(): Promise<void> {
    if (this.#shownAt === 0) return;
    this.#shownAt = 0;
    await this.#io.stderr.write("\r\x1b[K");
  }

  async #show(): Promise<void> {
    const now = this.#io.now();
    if (!this.#io.stderr.isTerminal || now - this.#started < patience || now - this.#shownAt < interval)
      return;
    this.#shownAt = now;
    const seconds = (now - this.#started) / 1000;
    await this.#io.stderr.write(
      `\r${this.#word} ${humanSize(this.#bytes, 3)} (${humanSize(this.#bytes / seconds, 3)}/s)\x1b[K`,
    );
  }
}
