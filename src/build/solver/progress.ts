/** Tells what a build does, vertex by vertex. */
import type { BuildEvent } from "../events.ts";

export type Tell = (event: BuildEvent) => void;

/** Bytes of output that are shown of one step, as in BuildKit. */
const longestLog = 2 << 20;
const clipped = Buffer.from("\n[output clipped, log limit 2MiB reached]\n");

/** One line of work. Numbered when it is first told of. */
export class Vertex {
  readonly #progress: Progress;
  readonly #name: string;
  readonly #digest: string;
  #number: number | undefined;
  #isStarted = false;
  #logged = 0;

  constructor(progress: Progress, name: string, digest: string) {
    this.#progress = progress;
    this.#name = name;
    this.#digest = digest;
  }

  /** Undefined while nothing has been told of it. */
  get numberIfTold(): number | undefined {
    return this.#number;
  }

  get number(): number {
    if (this.#number === undefined) {
      this.#number = this.#progress.nextNumber();
      this.#progress.tell({ kind: "vertex", vertex: this.#number, name: this.#name, digest: this.#digest });
    }
    return this.#number;
  }

  started(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#progress.tell({ kind: "started", vertex: this.number, time: Date.now() });
  }

  cached(): void {
    this.#progress.tell({ kind: "cached", vertex: this.number, time: Date.now() });
  }

  log(stream: "stdout" | "stderr", output: Uint8Array): void {
    if (this.#logged >= longestLog) return;
    const left = longestLog - this.#logged;
    this.#logged += output.byteLength;
    const data = output.byteLength < left ? output : Buffer.concat([output.subarray(0, left), clipped]);
    this.#progress.tell({ kind: "log", vertex: this.number, stream, data, time: Date.now() });
  }

  /** @returns tells that it is done */
  status(text: string): () => void {
    const vertex = this.number;
    const started = Date.now();
    this.#progress.tell({ kind: "status", vertex, text, started });
    return () => this.#progress.tell({ kind: "status", vertex, text, started, finished: Date.now() });
  }

  /** Why it was built anew. */
  explain(reason: string): void {
    this.#progress.tell({ kind: "explanation", vertex: this.number, reason });
  }

  finished(error?: string): void {
    this.#progress.tell({
      kind: "finished",
      vertex: this.number,
      time: Date.now(),
      ...(error === undefined ? {} : { error }),
    });
  }
}

export class Progress {
  readonly tell: Tell;
  #count = 0;

  constructor(tell: Tell) {
    this.tell = tell;
  }

  nextNumber(): number {
    this.#count += 1;
    return this.#count;
  }

  vertex(name: string, digest = ""): Vertex {
    return new Vertex(this, name, digest);
  }
}
