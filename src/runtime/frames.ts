/** Frames between a socket that pushes and a reader that pulls. */
import type { OutputFrame } from "../core/streams.ts";

/** Bytes that wait at most before the source is asked to pause, and at which it may go on. */
const highWater = 1024 * 1024;
const lowWater = 256 * 1024;

/** One reader. Frames come out in the order in which they went in; the end comes after all of them. */
export class FrameQueue implements AsyncIterable<OutputFrame> {
  #frames: OutputFrame[] = [];
  #next = 0;
  #bytes = 0;
  #ended = false;
  #paused = false;
  #wake: (() => void) | undefined;
  #pressure: (full: boolean) => void = () => {};

  /** `listener` hears `true` when too much waits, and `false` when it has been read. */
  onPressure(listener: (full: boolean) => void): void {
    this.#pressure = listener;
    if (this.#bytes > highWater) this.#pause(true);
  }

  push(frame: OutputFrame): void {
    this.#frames.push(frame);
    this.#bytes += frame.data.length;
    if (this.#bytes > highWater && !this.#paused) this.#pause(true);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  #pause(full: boolean): void {
    this.#paused = full;
    this.#pressure(full);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<OutputFrame> {
    for (;;) {
      const frame = this.#frames[this.#next];
      if (frame !== undefined) {
        this.#next += 1;
        this.#bytes -= frame.data.length;
        if (this.#next === this.#frames.length) {
          this.#frames = [];
          this.#next = 0;
        }
        if (this.#paused && this.#bytes < lowWater) this.#pause(false);
        yield frame;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }
}
