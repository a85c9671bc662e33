/** The variables of a stage as they are at each of its steps, without a copy for each. */

import { LineFault } from "../errors.ts";
import type { Variables } from "../expansion/variables.ts";

/** How much the stages of one file may assign and write into their histories: enough for thousands, not for a bomb. */
export class AssignmentBudget {
  #left = 32 * 1024 * 1024;

  /** @throws LineFault when it is used up */
  spend(characters: number): void {
    this.#left -= characters;
    if (this.#left < 0) throw new LineFault("the variables and histories of the stages are too long");
  }
}

/** What an assignment costs besides its characters. */
const overhead = 16;

/** Assignments in the order in which they are made. */
export class EnvironmentLog {
  readonly #budget: AssignmentBudget;
  readonly #names: string[] = [];
  readonly #values: string[] = [];
  /** Where in the log each name is assigned. */
  readonly #positions = new Map<string, number[]>();

  /** @param below what another stage has come to */
  constructor(budget: AssignmentBudget, below?: Environment) {
    this.#budget = budget;
    for (const name of below?.names() ?? []) this.set(name, below?.get(name) ?? "");
  }

  /** @throws LineFault when the budget is used up */
  set(name: string, value: string): void {
    this.#budget.spend(name.length + value.length + overhead);
    const positions = this.#positions.get(name);
    if (positions === undefined) this.#positions.set(name, [this.#names.length]);
    else positions.push(this.#names.length);
    this.#names.push(name);
    this.#values.push(value);
  }

  /** The variables as they are now, whatever is set later. */
  view(): Environment {
    return new Environment(this, this.#names.length);
  }

  /** The value among the first `count` assignments. */
  lookUp(name: string, count: number): string | undefined {
    const positions = this.#positions.get(name);
    if (positions === undefined) return undefined;
    // The last of them below `count`.
    let low = 0;
    let high = positions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((positions[middle] ?? 0) < count) low = middle + 1;
      else high = middle;
    }
    const last = positions[low - 1];
    return last === undefined ? undefined : this.#values[last];
  }

  /** Each name among the first `count` assignments once, in the order in which they were set first. */
  *namesUpTo(count: number): Iterable<string> {
    for (const [name, [first = count]] of this.#positions) if (first < count) yield name;
  }
}

export class Environment implements Variables {
  readonly #log: EnvironmentLog;
  readonly #count: number;

  constructor(log: EnvironmentLog, count: number) {
    this.#log = log;
    this.#count = count;
  }

  get(name: string): string | undefined {
    return this.#log.lookUp(name, this.#count);
  }

  /** Each name once, in the order in which they were set first. */
  names(): Iterable<string> {
    return this.#log.namesUpTo(this.#count);
  }

  /** `NAME=value` for a process. */
  list(): string[] {
    return [...this.names()].map((name) => `${name}=${this.get(name) ?? ""}`);
  }
}
