/**
 * Makes a compiled seccomp filter smaller and quicker to load, without changing what it decides.
 *
 * libseccomp compiles a profile to a comparison for each system call, one after the other: a thousand for Docker's
 * default profile. The kernel converts and compiles each of them, and then runs the filter once for each system call
 * that there is. So this follows the program for each set of architectures and system call numbers that it treats
 * alike, up to the tests of arguments, and makes a program anew that finds a number by halves.
 */

import { type Comparand, type Decision, Decisions, layOut, type Run } from "./seccomp-decisions.ts";
import {
  AND,
  type Conditional,
  IF_ANY_BIT,
  IF_EQUAL,
  IF_GREATER,
  IF_GREATER_OR_EQUAL,
  type Instruction,
  JUMP,
  LOAD,
  RETURN,
  readInstructions,
  writeInstructions,
} from "./seccomp-instructions.ts";

/**
 * Finds a shorter seccomp filter that answers as the given one does, for any call.
 *
 * @param program a little-endian array of struct sock_filter, as seccomp(2) takes it
 * @returns the same bytes if there is none shorter, or if the program is not understood: one that the kernel would
 * refuse, that uses more of classic BPF than libseccomp does, or that would take too long to follow
 * @see Documentation/networking/filter.rst, and seccomp_cache_prepare in kernel/seccomp.c
 */
export function optimizeFilter(program: Uint8Array): Uint8Array {
  const instructions = readInstructions(program);
  if (instructions === undefined) return program;
  const decisions = new Decisions();
  const root = decide(instructions, decisions);
  if (root === undefined) return program;
  const shorter = layOut(root);
  return shorter.length < instructions.length ? writeInstructions(shorter) : program;
}

/** Offsets in struct seccomp_data. */
const numberField = 0;
const architectureField = 4;
const allBits = 0xffff_ffff;
/** Instructions to follow, and ranges to cut; Docker's default profile takes some 30 000. */
const maxSteps = 500_000;
const maxDecisions = 8192;
/** Tests of arguments on one way; libseccomp makes two or three for each of the six. */
const maxDepth = 500;

/** Values from `low` to `high`, both included. */
interface Range {
  readonly low: number;
  readonly high: number;
}

/** A set of values: ranges in order, with values between them that do not belong to it. Never empty. */
type Values = readonly Range[];

const allValues: Values = [{ low: 0, high: allBits }];
const zero: Values = [{ low: 0, high: 0 }];

/** Before an instruction: what the accumulator holds. It holds no word of the data at the start. */
interface Position extends Comparand {
  readonly index: number;
}

const start: Position = { index: 0, field: -1, mask: allBits };

/** Values that come to a position. */
interface Arrival {
  readonly values: Values;
  readonly position: Position;
}

/** The values of `field` go two ways. */
interface Split {
  readonly kind: "split";
  readonly field: number;
  readonly ways: readonly [Arrival, Arrival];
}

/** Nothing: not understood. */
type Outcome = Decision | Split | undefined;

function decide(instructions: readonly Instruction[], decisions: Decisions): Decision | undefined {
  const follower = new Follower(instructions, decisions);
  const outcome = partition(architectureField, decisions, (architectures) =>
    partition(numberField, decisions, (numbers, position) =>
      follower.follow(architectures, numbers, position),
    ),
  );
  return outcome?.kind === "split" ? undefined : outcome;
}

/** Splits all values of a field until each set has one outcome. */
function partition(
  field: number,
  decisions: Decisions,
  follow: (values: Values, position: Position) => Outcome,
): Outcome {
  const found: Run[] = [];
  const pending: Arrival[] = [{ values: allValues, position: start }];
  for (let arrival = pending.pop(); arrival !== undefined; arrival = pending.pop()) {
    const outcome = follow(arrival.values, arrival.position);
    if (outcome === undefined || decisions.count > maxDecisions) return undefined;
    if (outcome.kind !== "split") {
      for (const { low } of arrival.values) found.push({ from: low, outcome });
      continue;
    }
    if (outcome.field !== field) return outcome;
    pending.push(...outcome.ways);
  }
  found.sort((one, other) => one.from - other.from);
  const runs = found.filter((run, index) => run.outcome !== found[index - 1]?.outcome);
  return decisions.search(field, runs);
}

/** Follows a program for one set of architectures and one of system call numbers at a time. */
class Follower {
  readonly #instructions: readonly Instruction[];
  readonly #decisions: Decisions;
  #steps = maxSteps;
  #architectures = allValues;
  #numbers = allValues;
  /** Ways through the tests of arguments come together again and again. */
  readonly #followed = new Map<string, Decision>();

  constructor(instructions: readonly Instruction[], decisions: Decisions) {
    this.#instructions = instructions;
    this.#decisions = decisions;
  }

  follow(architectures: Values, numbers: Values, position: Position): Outcome {
    this.#architectures = architectures;
    this.#numbers = numbers;
    if (this.#followed.size > 0) this.#followed.clear();
    return this.#followFrom(position, 0);
  }

  /** @param depth tests of arguments before this position */
  #followFrom({ index, field, mask }: Position, depth: number): Outcome {
    for (;;) {
      const instruction = this.#instructions[index];
      if (instruction === undefined || this.#steps <= 0) return undefined;
      this.#steps -= 1;
      const { constant } = instruction;
      switch (instruction.code) {
        case LOAD:
          field = constant;
          mask = allBits;
          break;
        case AND:
          mask = (mask & constant) >>> 0;
          break;
        case JUMP:
          index += constant;
          break;
        case RETURN:
          return this.#decisions.answer(constant);
        default: {
          const values = this.#valuesOf(field, mask);
          if (values === undefined) return undefined;
          if (values === "any") return this.#branch({ index, field, mask }, instruction, depth);
          const compared = compare(instruction, values);
          if (compared === undefined) return undefined;
          if (typeof compared !== "boolean") {
            this.#steps -= values.length;
            const onTrue = { index: index + 1 + instruction.whenTrue, field, mask };
            const onFalse = { index: index + 1 + instruction.whenFalse, field, mask };
            return split(field, compared, onTrue, onFalse);
          }
          index += compared ? instruction.whenTrue : instruction.whenFalse;
        }
      }
      index += 1;
    }
  }

  /** What the accumulator may hold; nothing if that is not known. */
  #valuesOf(field: number, mask: number): Values | "any" | undefined {
    if (field === start.field) return undefined;
    if (mask === 0) return zero;
    if (field !== numberField && field !== architectureField) return "any";
    const values = field === numberField ? this.#numbers : this.#architectures;
    if (mask === allBits) return values;
    const single = singleValue(values);
    if (single === undefined) return undefined;
    const value = (single & mask) >>> 0;
    return [{ low: value, high: value }];
  }

  #branch(position: Position, instruction: Conditional, depth: number): Outcome {
    const { index, field, mask } = position;
    const key = `${index} ${field} ${mask}`;
    const known = this.#followed.get(key);
    if (known !== undefined) return known;
    if (depth === maxDepth) return undefined;
    const outcomes: Decision[] = [];
    for (const distance of [instruction.whenTrue, instruction.whenFalse]) {
      const outcome = this.#followFrom({ index: index + 1 + distance, field, mask }, depth + 1);
      if (outcome === undefined) return undefined;
      // Each part of the set tests the argument for itself: it goes on from here, not from behind the test.
      if (outcome.kind === "split") {
        const [one, other] = outcome.ways;
        return split(outcome.field, [one.values, other.values], position, position);
      }
      outcomes.push(outcome);
    }
    const [whenTrue, whenFalse] = outcomes;
    if (whenTrue === undefined || whenFalse === undefined) return undefined;
    const made = this.#decisions.test(position, instruction.code, instruction.constant, [
      whenTrue,
      whenFalse,
    ]);
    this.#followed.set(key, made);
    return made;
  }
}

function split(field: number, [one, other]: [Values, Values], first: Position, second: Position): Split {
  return {
    kind: "split",
    field,
    ways: [
      { values: one, position: first },
      { values: other, position: second },
    ],
  };
}

function singleValue(values: Values): number | undefined {
  const [range] = values;
  return values.length === 1 && range?.low === range?.high ? range?.low : undefined;
}

/** @returns how all the values compare, or those that do and those that do not; nothing if that cannot be said. */
function compare({ code, constant }: Conditional, values: Values): boolean | [Values, Values] | undefined {
  switch (code) {
    case IF_EQUAL:
      return cut(values, constant, constant);
    case IF_GREATER_OR_EQUAL:
      return cut(values, constant, allBits);
    case IF_GREATER:
      return cut(values, constant + 1, allBits);
    case IF_ANY_BIT: {
      const single = singleValue(values);
      return single === undefined ? undefined : (single & constant) !== 0;
    }
  }
}

/** @returns whether all the values are from `low` to `high`, or those that are and those that are not. */
function cut(values: Values, low: number, high: number): boolean | [Values, Values] {
  const from = firstReaching(values, low);
  const begin = values[from];
  if (begin === undefined || begin.low > high) return false;
  if (from === 0 && begin.low >= low && (values.at(-1) ?? begin).high <= high) return true;
  let to = from + 1;
  while (low !== high && (values[to]?.low ?? high + 1) <= high) to += 1;
  const { high: last } = values[to - 1] ?? begin;
  const outside: Range[] = [];
  if (begin.low < low) outside.push({ low: begin.low, high: low - 1 });
  if (last > high) outside.push({ low: high + 1, high: last });
  const inside = values
    .slice(from, to)
    .map((range) => ({ low: Math.max(range.low, low), high: Math.min(range.high, high) }));
  return [inside, values.toSpliced(from, to - from, ...outside)];
}

/** The index of the first range that has this value or a larger one. */
function firstReaching(values: Values, value: number): number {
  // libseccomp compares with ascending numbers: what is left of those behind them is one range, the last.
  if ((values.at(-2)?.high ?? -1) < value)
    return (values.at(-1)?.high ?? -1) < value ? values.length : values.length - 1;
  let from = 0;
  let to = values.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((values[middle]?.high ?? 0) < value) from = middle + 1;
    else to = middle;
  }
  return from;
}
