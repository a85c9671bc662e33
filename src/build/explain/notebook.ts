/**
 * Notes what goes into the steps of a build, and says of one that is built anew what is another than in the nearest
 * earlier build of the same step.
 */
import type { State } from "../../state/state.ts";
import type { Operation, StepOperation } from "../graph/operations.ts";
import type { Vertex } from "../solver/progress.ts";
import { type Difference, differenceOf } from "./differences.ts";
import { inputsOfStep, type StepFacts, type StepInputs } from "./inputs.ts";
import { type InputsRow, packInputs, readInputs, rowOfTitle, rowsOfLine, writeInputs } from "./records.ts";

export interface NotebookOptions {
  /** Stands for what is built again and again: which Dockerfile of which context. */
  readonly line: string;
  readonly isArgument: (name: string) => boolean;
  /** Why steps are built anew is told. */
  readonly isExplaining: boolean;
}

interface Note {
  readonly key: string;
  readonly place: string;
  readonly title: string;
  /** Undefined for a step of which all this is known. */
  readonly inputs: StepInputs | undefined;
  isDone: boolean;
}

export class Notebook implements Disposable {
  readonly #state: State;
  readonly #options: NotebookOptions;
  readonly #earlier: ReadonlyMap<string, InputsRow>;
  readonly #notes = new Map<StepOperation, Note>();
  /** By the names of steps. */
  readonly #differences = new Map<string, Difference>();

  constructor(state: State, options: NotebookOptions) {
    this.#state = state;
    this.#options = options;
    this.#earlier = rowsOfLine(state, options.line);
  }

  /** What goes into a step is known. */
  note(operation: StepOperation, facts: StepFacts): void {
    const { place, title } = placeOf(operation);
    const known = this.#earlier.get(place);
    const isKnown = known?.key === facts.key && known.title === title && !this.#options.isExplaining;
    const inputs = isKnown ? undefined : inputsOfStep(operation, facts);
    this.#notes.set(operation, { key: facts.key, place, title, inputs, isDone: false });
  }

  /** The step has a result. */
  done(operation: StepOperation): void {
    const note = this.#notes.get(operation);
    if (note !== undefined) note.isDone = true;
  }

  /** The step's result is in no cache: tells why, if that is wanted. */
  missed(operation: StepOperation, vertex: Pick<Vertex, "explain">): void {
    if (!this.#options.isExplaining) return;
    const note = this.#notes.get(operation);
    if (note?.inputs !== undefined) vertex.explain(this.#reason(operation, note));
  }

  /** Keeps what was noted for the builds that come: also after a failure, of the steps that were done. */
  [Symbol.dispose](): void {
    const rows: (InputsRow & { inputs: Uint8Array })[] = [];
    for (const { key, place, title, inputs, isDone } of this.#notes.values()) {
      const known = this.#earlier.get(place);
      if (!isDone || inputs === undefined || (known?.key === key && known.title === title)) continue;
      rows.push({ line: this.#options.line, place, title, key, inputs: packInputs(inputs) });
    }
    writeInputs(this.#state, rows);
  }

  #reason({ ignoreCache, title: name }: StepOperation, note: Note): string {
    if (ignoreCache) return "the cache was not to be used (--no-cache)";
    const { place, title, key } = note;
    const row = this.#nearest(place, title);
    if (row === undefined) return "it has not been built here before";
    if (row.key === key) return "its result is in the cache no more";
    const { own, inherited } = this.#differenceOf(name);
    if (own.length > 0) return own.join("; ");
    const causes = new Set(inherited.map((each) => this.#causeOf(each)));
    return causes.size > 0 ? `follows from ${[...causes].join(" and ")}` : "what it is made of has changed";
  }

  /** From the nearest earlier build of the step with this name. */
  #differenceOf(name: string): Difference {
    const known = this.#differences.get(name);
    if (known !== undefined) return known;
    const note = [...this.#notes].find(([operation]) => operation.title === name)?.[1];
    const row = note === undefined ? undefined : this.#nearest(note.place, note.title);
    const before = row === undefined ? undefined : readInputs(this.#state, row);
    const difference =
      note?.inputs === undefined || before === undefined
        ? { own: [], inherited: [] }
        : differenceOf(before, note.inputs, this.#options.isArgument);
    this.#differences.set(name, difference);
    return difference;
  }

  /** The step that a chain of steps, of which each followed from the one before, began with. */
  #causeOf(name: string): string {
    const seen = new Set<string>();
    for (let cause = name; ; ) {
      const { own, inherited } = this.#differenceOf(cause);
      const [next] = inherited;
      if (own.length > 0 || next === undefined || seen.has(cause)) return cause;
      seen.add(cause);
      cause = next;
    }
  }

  /** At the same place, or moved within its stage; else the same instruction anywhere. */
  #nearest(place: string, title: string): InputsRow | undefined {
    const same = this.#earlier.get(place);
    if (same?.title === title) return same;
    const stage = stageOf(place);
    const moved = [...this.#earlier.values()].filter(
      (row) => row.title === title && stageOf(row.place) === stage,
    );
    const [nearest] = moved.sort((a, b) => distance(a.place, place) - distance(b.place, place));
    if (nearest !== undefined) return nearest;
    // Another instruction where this one stands: it was changed, if it is of the same kind.
    if (same !== undefined && firstWord(same.title) === firstWord(title)) return same;
    return rowOfTitle(this.#state, title);
  }
}

/** Where a step stands, from its title: `[build 3/6] RUN make`. */
function placeOf({ title }: Operation): { place: string; title: string } {
  const [, stage, number, rest] = /^\[(.*?)(\d+)\/\d+\] (.*)$/s.exec(title) ?? [];
  return rest === undefined ? { place: title, title } : { place: `${stage ?? ""}${number}`, title: rest };
}

function stageOf(place: string): string {
  return place.replace(/\d+$/, "");
}

function distance(one: string, other: string): number {
  const numberOf = (place: string) => Number(/\d+$/.exec(place)?.[0] ?? 0);
  return Math.abs(numberOf(one) - numberOf(other));
}

function firstWord(title: string): string {
  return title.split(" ")[0] ?? "";
}
