/** A file that another thread still writes: its bytes as far as they are there, then a wait for more. */
import { readAt } from "../../linux/nodes.ts";
import { atCurrentDirectory, closeFile, openAt, openFlag } from "../../linux/paths.ts";

/** To be disposed of: whoever reads it may be cut off, and a thread that is ended does not close what it has open. */
export class GrowingFile implements AsyncIterable<Uint8Array>, Disposable {
  readonly #path: string;
  readonly #buffer: Uint8Array<ArrayBuffer>;
  readonly #taken: (bytes: number) => void;
  readonly #signal: AbortSignal;
  #written: number;
  #isWhole: boolean;
  #wake: (() => void) | undefined;
  #fd: number | undefined;

  /**
   * A chunk is good until the next one is asked for.
   * @param taken is told how many bytes have been read so far.
   */
  constructor(
    path: string,
    extent: { written: number; isWhole: boolean },
    options: { chunkSize: number; taken: (bytes: number) => void; signal: AbortSignal },
  ) {
    this.#path = path;
    this.#written = extent.written;
    this.#isWhole = extent.isWhole;
    this.#buffer = new Uint8Array(options.chunkSize);
    this.#taken = options.taken;
    this.#signal = options.signal;
    this.#signal.addEventListener("abort", () => this.#wake?.());
  }

  grow(written: number, isWhole: boolean): void {
    this.#written = written;
    this.#isWhole = isWhole;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    let position = 0;
    for (;;) {
      this.#signal.throwIfAborted();
      const available = this.#written;
      if (position < available) {
        const chunk = this.#read(position, Math.min(this.#buffer.length, available - position));
        position += chunk.length;
        yield chunk;
        this.#taken(position);
      } else if (this.#isWhole) return;
      else await this.#more();
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined && this.#fd >= 0) closeFile(this.#fd);
    this.#fd = -1;
  }

  #read(position: number, length: number): Uint8Array {
    this.#fd ??= openAt(atCurrentDirectory, this.#path, openFlag.readOnly);
    const buffer = this.#buffer.subarray(0, length);
    const got = readAt(this.#fd, buffer, position, this.#path);
    if (got === 0) throw new Error(`${this.#path} is shorter than was said`);
    return buffer.subarray(0, got);
  }

  async #more(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
  }
}
