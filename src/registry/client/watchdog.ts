/** Barks when something has taken too long since it was last armed. One timer, however often it is armed. */
export class Watchdog {
  readonly #limit: number;
  readonly #controller = new AbortController();
  #since: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param limit milliseconds */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The time counts from now. */
  arm(): void {
    this.#since = performance.now();
    this.#timer ??= setTimeout(() => this.#look(), this.#limit);
  }

  /** No time counts. */
  disarm(): void {
    this.#since = undefined;
  }

  close(): void {
    this.disarm();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    this.#timer = undefined;
    // Disarmed when the timer fires: the next arm starts another.
    if (this.#since === undefined) return;
    const left = this.#since + this.#limit - performance.now();
    if (left > 0) this.#timer = setTimeout(() => this.#look(), left);
    else this.#controller.abort(new Error(`no answer for ${Math.round(this.#limit / 1000)} s`));
  }
}
