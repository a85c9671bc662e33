/** Writes lines in order, many at once, and never keeps more than a bounded number when nobody reads them. */
import { hasErrno } from "../../core/errors.ts";
import type { OutputStream } from "../io.ts";

const mostWaiting = 10_000;

export class LineWriter {
  readonly #output: OutputStream;
  #lines: string[] = [];
  #writing: Promise<void> | undefined;
  #lost = 0;
  #failure: unknown;

  constructor(output: OutputStream) {
    this.#output = output;
  }

  write(line: string): void {
    if (this.#lines.length >= mostWaiting) {
      this.#lost += 1;
      return;
    }
    this.#lines.push(line);
    this.#writing ??= this.#drain();
  }

  /** Resolves when all that was written is out. @throws what went wrong on the way, except that nobody reads. */
  async end(): Promise<void> {
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #drain(): Promise<void> {
    // Lines of the same turn go out together.
    await Promise.resolve();
    while (this.#lines.length > 0) {
      const lines = this.#lines;
      this.#lines = [];
      if (this.#lost > 0) lines.push(`(${this.#lost} lines lost: they are not read fast enough)`);
      this.#lost = 0;
      try {
        await this.#output.write(`${lines.join("\n")}\n`);
      } catch (error) {
        // A reader that goes away must not stop the server.
        if (!hasErrno(error, "EPIPE", "EIO")) this.#failure ??= error;
      }
    }
    this.#writing = undefined;
  }
}
