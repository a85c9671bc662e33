/**
 * What a step will be known by, as far as that can be told before the stages that it takes files from are made. When
 * its result is in a cache, those stages need not be made, nor be in any cache.
 */
import type { State } from "../../state/state.ts";
import { addAlias, hasAlias, keyByAlias } from "../cache/results.ts";
import type { FilesOperation, ImageOperation, Operation, StepOperation } from "../graph/operations.ts";
import type { FoundSource } from "../steps/sources.ts";
import { keyOfSources } from "../steps/sources.ts";
import { keyOf, keys } from "./keys.ts";

export interface ForesightOptions {
  readonly state: State;
  /** The key that a cache elsewhere has for this other key. */
  readonly keyElsewhere: (alias: string) => string | undefined;
  readonly scratchKey: () => string;
  readonly imageKey: (operation: ImageOperation) => string;
  /** What a step takes of a context; undefined where it has to be fetched. */
  readonly sourcesOf: (operation: FilesOperation) => Promise<readonly FoundSource[] | undefined>;
  /** Layers of `--link` are made aside. */
  readonly linksLayers: boolean;
}

/** What a step needs besides its input. */
export function sidesOf(operation: StepOperation): Operation[] {
  if (operation.kind === "directory") return [];
  const all = operation.kind === "files" ? [operation.from] : operation.mounts.map(({ from }) => from);
  return [...new Set(all)].flatMap((from) => from ?? []);
}

/** True for a step that takes files of other stages or images. */
function takesOthers(operation: StepOperation): boolean {
  return sidesOf(operation).some(({ kind }) => kind !== "context");
}

export class Foresight {
  readonly #options: ForesightOptions;
  readonly #keys = new Map<Operation, Promise<string | undefined>>();

  constructor(options: ForesightOptions) {
    this.#options = options;
  }

  /**
   * The key of a step whose result may be known; undefined when it is not worth while to look, or nothing can be told.
   * To look is to read what steps before it take of contexts.
   */
  async keyOf(operation: StepOperation): Promise<string | undefined> {
    if (!takesOthers(operation)) return undefined;
    const mark = markOf(operation);
    const { state, keyElsewhere } = this.#options;
    if (!hasAlias(state, mark) && keyElsewhere(mark) === undefined) return undefined;
    // What is wrong with another step, that step says when it is made.
    return this.#key(operation).catch(() => undefined);
  }

  /** From now on it is worth while to look for this step. */
  note(operation: StepOperation, resultId: string): void {
    if (takesOthers(operation)) addAlias(this.#options.state, markOf(operation), resultId);
  }

  #key(operation: Operation): Promise<string | undefined> {
    const known = this.#keys.get(operation);
    if (known !== undefined) return known;
    const key = this.#tell(operation);
    this.#keys.set(operation, key);
    key.catch(() => undefined);
    return key;
  }

  async #tell(operation: Operation): Promise<string | undefined> {
    switch (operation.kind) {
      case "scratch":
        return this.#options.scratchKey();
      case "image":
        return this.#options.imageKey(operation);
      case "context":
        return undefined;
      default:
        return operation.ignoreCache ? undefined : this.#step(operation);
    }
  }

  async #step(operation: StepOperation): Promise<string | undefined> {
    const input = await this.#key(operation.input);
    if (input === undefined) return undefined;
    switch (operation.kind) {
      case "directory":
        return keys.directory(operation, input);
      case "run": {
        const mounts: string[] = [];
        for (const { from } of operation.mounts) {
          const key = from === undefined ? "" : await this.#key(from);
          if (key === undefined) return undefined;
          mounts.push(key);
        }
        return keys.run(operation, input, mounts);
      }
      case "files":
        return this.#files(operation, input);
    }
  }

  async #files(operation: FilesOperation, input: string): Promise<string | undefined> {
    if (operation.from.kind !== "context") {
      const from = await this.#key(operation.from);
      if (from === undefined) return undefined;
      const quick = keys.filesOf(operation, input, from);
      return keyByAlias(this.#options.state, quick) ?? this.#options.keyElsewhere(quick);
    }
    const sources = await this.#options.sourcesOf(operation);
    if (sources === undefined) return undefined;
    const content = keyOfSources(sources);
    return operation.isLinked && this.#options.linksLayers
      ? keys.linked(keys.alone(operation, content), input)
      : keys.files(operation, content, input);
  }
}

/** Says that a step was made that says this, whatever went into it. */
function markOf({ digest }: StepOperation): string {
  return keyOf(["made", digest]);
}
