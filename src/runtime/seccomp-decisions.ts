/**
 * What a seccomp filter decides, as a graph without order or detours: each decision is an answer, or a comparison
 * with two decisions after it. Equal decisions are one object, so comparing them is `===`.
 */

import {
  AND,
  type Comparison,
  IF_EQUAL,
  IF_GREATER_OR_EQUAL,
  type Instruction,
  JUMP,
  LOAD,
  RETURN,
} from "./seccomp-instructions.ts";

export interface Answer {
  readonly kind: "answer";
  readonly id: number;
  /** SECCOMP_RET_*, with its data. */
  readonly value: number;
}

/** Compares a word of struct seccomp_data, of which the bits outside `mask` do not count, with a constant. */
export interface Test extends Comparand {
  readonly kind: "test";
  readonly id: number;
  readonly comparison: Comparison;
  readonly constant: number;
  readonly whenTrue: Decision;
  readonly whenFalse: Decision;
}

export interface Comparand {
  /** The word's offset. */
  readonly field: number;
  readonly mask: number;
}

export type Decision = Answer | Test;

/** The values from `from` up to the next run's have one outcome. */
export interface Run {
  readonly from: number;
  readonly outcome: Decision;
}

const allBits = 0xffff_ffff;

/** Makes decisions, each only once. */
export class Decisions {
  readonly #answers = new Map<number, Answer>();
  readonly #tests = new Map<string, Test>();

  get count(): number {
    return this.#answers.size + this.#tests.size;
  }

  answer(value: number): Answer {
    const known = this.#answers.get(value);
    if (known !== undefined) return known;
    const made: Answer = { kind: "answer", id: this.count, value };
    this.#answers.set(value, made);
    return made;
  }

  test(
    comparand: Comparand,
    comparison: Comparison,
    constant: number,
    outcomes: [Decision, Decision],
  ): Decision {
    const [whenTrue, whenFalse] = outcomes;
    if (whenTrue === whenFalse) return whenTrue;
    const { field, mask } = comparand;
    const key = `${field} ${mask} ${comparison} ${constant} ${whenTrue.id} ${whenFalse.id}`;
    const known = this.#tests.get(key);
    if (known !== undefined) return known;
    const id = this.count;
    const made: Test = { kind: "test", id, field, mask, comparison, constant, whenTrue, whenFalse };
    this.#tests.set(key, made);
    return made;
  }

  /** Finds the run of a field's value. `runs` are in order, the first one from 0. */
  search(field: number, runs: readonly Run[]): Decision {
    return this.#searchGroups({ field, mask: allBits }, groupRuns(runs));
  }

  #searchGroups(comparand: Comparand, groups: readonly Group[]): Decision {
    const middle = groups.length >> 1;
    const upper = groups.slice(middle);
    const [group] = upper;
    if (group === undefined) throw new Error("no runs to search");
    if (middle > 0) {
      const below = this.#searchGroups(comparand, groups.slice(0, middle));
      const above = this.#searchGroups(comparand, upper);
      return this.test(comparand, IF_GREATER_OR_EQUAL, group.from, [above, below]);
    }
    return group.exceptions.reduceRight(
      (others, { from, outcome }) => this.test(comparand, IF_EQUAL, from, [outcome, others]),
      group.usual,
    );
  }
}

/** Neighbouring runs with one outcome, but for a few single values among them. */
interface Group {
  readonly from: number;
  readonly usual: Decision;
  readonly exceptions: readonly Run[];
}

/** So many single values are looked for one after the other. */
const maxExceptions = 3;

/** Makes groups of runs such that the tests, for their exceptions and between them, are as few as can be. */
function groupRuns(runs: readonly Run[]): Group[] {
  const groups: Group[] = [];
  const plan = planGroups(runs);
  for (let end = runs.length; end > 0; ) {
    const step = plan[end];
    const members = runs.slice(step?.start ?? 0, end);
    const [first] = members;
    if (step?.usual === undefined || first === undefined) throw new Error("runs without a group");
    const { start, usual } = step;
    groups.push({ from: first.from, usual, exceptions: members.filter((run) => run.outcome !== usual) });
    end = start;
  }
  return groups.reverse();
}

/** The best last group of the runs before an index, and the number of tests for all of them. */
interface Step {
  readonly start: number;
  readonly usual: Decision | undefined;
  readonly tests: number;
}

/** @returns for each number of runs from the first one on, how their groups end; nothing useful for none. */
function planGroups(runs: readonly Run[]): Step[] {
  const plan: Step[] = [{ start: 0, usual: undefined, tests: 0 }];
  const isSingle = runs.map(({ from }, index) => (runs[index + 1]?.from ?? allBits + 1) === from + 1);
  for (let end = 1; end <= runs.length; end += 1) {
    let best: Step = { start: end, usual: undefined, tests: Number.POSITIVE_INFINITY };
    // With three exceptions between them, no more than four runs of the usual outcome can follow each other.
    const earliest = Math.max(0, end - 2 * maxExceptions - 1);
    for (let candidate = earliest; candidate < end; candidate += 1) {
      const usual = runs[candidate]?.outcome;
      let exceptions = 0;
      for (let start = end - 1; start >= earliest; start -= 1) {
        if (runs[start]?.outcome !== usual) {
          exceptions += 1;
          if (exceptions > maxExceptions || isSingle[start] !== true) break;
        }
        const tests = (plan[start]?.tests ?? 0) + exceptions + (start === 0 ? 0 : 1);
        if (tests < best.tests) best = { start, usual, tests };
      }
    }
    plan.push(best);
  }
  return plan;
}

/** How far a conditional jump reaches, less one instruction that may still come between. */
const reach = 0xff - 1;

/** The program for a decision. It may be larger than the kernel's limit. */
export function layOut(root: Decision): Instruction[] {
  return new Layout(root).instructions();
}

/** An instruction's place, counted from the program's end: `near` may be a jump to it, or a copy, closer by. */
interface Place {
  readonly own: number;
  near: number;
}

/** Made from the end to the start: all jumps go forward, so their targets' places are known. */
class Layout {
  readonly #reversed: Instruction[] = [];
  /** Where a decision begins whose word is in the accumulator, or that needs none. */
  readonly #loaded = new Map<Decision, Place>();
  /** Where one begins that loads its word first. */
  readonly #unloaded = new Map<Decision, Place>();
  readonly #needsLoad: ReadonlySet<Decision>;

  constructor(root: Decision) {
    this.#needsLoad = findLoads(root);
    this.#place(root);
  }

  instructions(): Instruction[] {
    return this.#reversed.toReversed();
  }

  #place(decision: Decision): void {
    if (this.#loaded.has(decision)) return;
    if (decision.kind === "answer") {
      this.#loaded.set(decision, this.#emit({ code: RETURN, constant: decision.value }));
      return;
    }
    const { field, mask, comparison, constant, whenTrue, whenFalse } = decision;
    this.#place(whenTrue);
    this.#place(whenFalse);
    const [onTrue, onFalse] = [this.#bringNear(decision, whenTrue), this.#bringNear(decision, whenFalse)];
    const test: Instruction = {
      code: comparison,
      constant,
      whenTrue: this.#distance(onTrue.near),
      whenFalse: this.#distance(onFalse.near),
    };
    this.#loaded.set(decision, this.#emit(test));
    if (!this.#needsLoad.has(decision)) return;
    if (mask !== allBits) this.#emit({ code: AND, constant: mask });
    this.#unloaded.set(decision, this.#emit({ code: LOAD, constant: field }));
  }

  /** Sees to it that a test which comes next, or after one more instruction, can jump to the decision after it. */
  #bringNear(test: Test, next: Decision): Place {
    const place = (needsLoadAfter(test, next) ? this.#unloaded : this.#loaded).get(next);
    if (place === undefined) throw new Error("a decision comes before one that follows from it");
    if (this.#distance(place.near) <= reach) return place;
    const jump: Instruction =
      next.kind === "answer"
        ? { code: RETURN, constant: next.value }
        : { code: JUMP, constant: this.#distance(place.own) };
    place.near = this.#emit(jump).own;
    return place;
  }

  /** From the instruction that would be made now. */
  #distance(place: number): number {
    return this.#reversed.length - place - 1;
  }

  #emit(instruction: Instruction): Place {
    const own = this.#reversed.push(instruction) - 1;
    return { own, near: own };
  }
}

/** The decisions that are reached, by one way at least, with another word than theirs in the accumulator. */
function findLoads(root: Decision): Set<Decision> {
  const found = new Set([root]);
  const seen = new Set<Decision>();
  const visit = (decision: Decision): void => {
    if (decision.kind === "answer" || seen.has(decision)) return;
    seen.add(decision);
    for (const next of [decision.whenTrue, decision.whenFalse]) {
      if (needsLoadAfter(decision, next)) found.add(next);
      visit(next);
    }
  };
  visit(root);
  return found;
}

function needsLoadAfter(test: Test, next: Decision): boolean {
  return next.kind === "test" && (next.field !== test.field || next.mask !== test.mask);
}
