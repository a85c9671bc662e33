/** Asks people at a terminal for a line. */
import { CommandError } from "./command.ts";
import type { Io } from "./io.ts";

/** A line longer than this is no answer. Bytes. */
const longestLine = 64 << 10;
/** 128 + SIGINT, as a shell shows it. */
const interrupted = 130;

export class Prompter {
  readonly #io: Io;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #pending = Buffer.alloc(0);

  constructor(io: Io) {
    this.#io = io;
    this.#chunks = io.stdin.chunks()[Symbol.asyncIterator]();
  }

  /** The answer without its line end and spaces around it; what was typed so far at the end of the input. */
  async ask(question: string): Promise<string> {
    await this.#io.stdout.write(question);
    return (await this.#line()).trim();
  }

  /** As `ask`, without showing what is typed. @throws CommandError when a signal ends the wait */
  async askSecretly(question: string): Promise<string> {
    const signal = Promise.withResolvers<never>();
    // Unheard before the race below begins; it then throws it.
    signal.promise.catch(() => {});
    const forget = this.#io.onSignal(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"], () =>
      signal.reject(new CommandError("", interrupted)),
    );
    const show = this.#io.stdin.hideTyping();
    try {
      // Hidden first: some type, or paste, as soon as they are asked.
      await this.#io.stdout.write(question);
      return (await Promise.race([this.#line(), signal.promise])).trim();
    } finally {
      show();
      forget();
      await this.#io.stdout.write("\n");
    }
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#pending.indexOf("\n");
      if (end >= 0 || this.#pending.length > longestLine) {
        const cut = end >= 0 ? end : this.#pending.length;
        const line = this.#pending.subarray(0, cut).toString();
        this.#pending = this.#pending.subarray(cut + 1);
        return line;
      }
      const next = await this.#chunks.next();
      if (next.done === true) {
        const rest = this.#pending.toString();
        this.#pending = Buffer.alloc(0);
        return rest;
      }
      this.#pending = Buffer.concat([this.#pending, next.value]);
    }
  }
}
