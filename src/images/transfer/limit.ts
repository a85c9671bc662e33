/** Lets a number of things go on at the same time; the others wait in the order in which they came. */
export class Limit {
  readonly #most: number;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(most: number) {
    this.#most = Math.max(1, most);
  }

  /** True when who comes now has to wait. */
  get isFull(): boolean {
    return this.#running >= this.#most;
  }

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.isFull) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      // Whoever is next takes over the place.
      const next = this.#queue.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
