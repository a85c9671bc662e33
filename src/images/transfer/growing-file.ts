/** A file that another thread still writes: its bytes as far as they are there, then a wait for more. */
import { RangeReader } from "../layers/byte-source.ts";

export class GrowingFile implements AsyncIterable<Uint8Array> {
  readonly #path: string;
  readonly #chunkSize: number;
  readonly #taken: (bytes: number) => void;
  readonly #signal: AbortSignal;
  #written: number;
  #isWhole: boolean;
  #wake: (() => void) | undefined;

  /** @param taken is told how many bytes have been read so far. */
  constructor(
    path: string,
    extent: { written: number; isWhole: boolean },
    options: { chunkSize: number; taken: (bytes: number) => void; signal: AbortSignal },
  ) {
    this.#path = path;
    this.#written = extent.written;
    this.#isWhole = extent.isWhole;
    this.#chunkSize = options.chunkSize;
    this.#taken = options.taken;
    this.#signal = options.signal;
    this.#signal.addEventListener("abort", () => this.#wake?.());
  }

  grow(written: number, isWhole: boolean): void {
    this.#written = written;
    this.#isWhole = isWhole;
    this.#wake?.();
  }

  /** Each chunk has memory of its own: whoever decompresses them works behind. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    let position = 0;
    for (;;) {
      this.#signal.throwIfAborted();
      const available = this.#written;
      if (position < available) {
        using reader = new RangeReader({ path: this.#path, offset: position, length: available - position });
        while (position < available) {
          const chunk = reader.read(new Uint8Array(Math.min(this.#chunkSize, available - position)));
          if (chunk.length === 0) throw new Error(`${this.#path} is shorter than was said`);
          position += chunk.length;
          yield chunk;
          this.#signal.throwIfAborted();
          this.#taken(position);
        }
      } else if (this.#isWhole) return;
      else await this.#more();
    }
  }

  async #more(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
  }
}
