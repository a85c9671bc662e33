/** Stages and how they depend on each other, before anything in them is evaluated. */
import type { Platform } from "../../../images/manifest.ts";
import { DockerfileError, LineFault } from "../errors.ts";
import { expand } from "../expansion/expand.ts";
import { noVariables } from "../expansion/variables.ts";
import type { StageInstruction } from "../instructions.ts";
import type { WrittenStage } from "../parse.ts";
import type { Range, Source } from "../source.ts";
import { withSuggestion } from "../suggest.ts";
import type { EscapeCharacter } from "../words.ts";
import type { BaseImage, Stage } from "./model.ts";
import type { StageState } from "./state.ts";

/** An instruction of a stage with what it takes files from. */
export interface Command {
  readonly instruction: StageInstruction;
  readonly range: Range;
  readonly isTrigger: boolean;
  /** By the instruction's mounts, those without a `from` undefined; the only one of a COPY with `--from`. */
  readonly sources: readonly (Node | undefined)[];
}

/** A stage of the file, or an image or context that is copied from as if it were one. */
export interface Node {
  /** Undefined for what is no stage of the file. */
  readonly written: WrittenStage | undefined;
  /** Of the FROM, or of what copies from it. */
  readonly range: Range;
  name: string;
  /** Expanded; `scratch`, a stage or an image. */
  readonly baseName: string;
  readonly platform: Platform | undefined;
  /** The stage that it is built on. */
  base: Node | undefined;
  /** It is given by `--build-context`, under this name. */
  context: string | undefined;
  commands: Command[];
  readonly dependencies: Map<Node, StageInstruction>;
  image: BaseImage | undefined;
  hasTriggers: boolean;
  /** What evaluation made of it. */
  state: StageState | undefined;
  stage: Stage | undefined;
}

export class StageGraph {
  readonly nodes: Node[] = [];
  /** Those of the file, which `--from` may number. */
  readonly #stages: Node[] = [];
  readonly #byName = new Map<string, Node>();
  readonly #source: Source;
  readonly #escape: EscapeCharacter;

  constructor(source: Source, escapeCharacter: EscapeCharacter) {
    this.#source = source;
    this.#escape = escapeCharacter;
  }

  /** A base that is a stage must have been added before. */
  add(node: Node): void {
    this.nodes.push(node);
    if (node.written !== undefined) this.#stages.push(node);
    if (node.context === undefined) node.base = this.#byName.get(node.baseName);
    const name = node.written?.from.stage;
    if (name !== undefined) this.#byName.set(name, node);
  }

  find(name: string): Node | undefined {
    return this.#byName.get(name.toLowerCase());
  }

  get names(): string[] {
    return this.nodes.map(({ name }) => name).filter((name) => name !== "");
  }

  /** The stage to build: the last one, or the one that is asked for. @throws DockerfileError */
  target(name: string): Node {
    const found = name === "" ? this.nodes.at(-1) : this.find(name);
    if (found !== undefined) return found;
    const message = withSuggestion(`target stage "${name}" could not be found`, name, this.names);
    throw new DockerfileError(message, this.#source, this.#source.linesRange(1, 1));
  }

  /** Adds an instruction to a stage, finding what it takes files from. @throws DockerfileError */
  connect(node: Node, instruction: StageInstruction, place: { range: Range; isTrigger: boolean }): Command {
    const sources = this.#sourcesOf(instruction, place.range);
    for (const source of sources) {
      if (source === undefined) continue;
      node.dependencies.set(source, instruction);
      if (source.written === undefined) this.add(source);
    }
    return { instruction, ...place, sources };
  }

  #sourcesOf(instruction: StageInstruction, range: Range): (Node | undefined)[] {
    if (instruction.kind === "run") {
      return instruction.mounts.map(({ from }) => (from === "" ? undefined : this.#byReference(from, range)));
    }
    if (instruction.kind !== "copy" || instruction.from === "") return [];
    const { from } = instruction;
    if (this.#expanded(from, range) !== from) {
      throw new DockerfileError(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
        this.#source,
        range,
      );
    }
    if (!/^[-+]?[0-9]+$/.test(from)) return [this.#byReference(from, range)];
    const node = this.#stages[Number(from)];
    if (node === undefined) {
      throw new DockerfileError(`invalid stage index ${Number(from)}`, this.#source, range);
    }
    return [node];
  }

  #expanded(text: string, range: Range): string {
    try {
      return expand(text, noVariables, { escapeCharacter: this.#escape }).text;
    } catch (error) {
      if (error instanceof LineFault) throw new DockerfileError(error.message, this.#source, range);
      throw error;
    }
  }

  #byReference(name: string, range: Range): Node {
    return this.find(name) ?? nodeFor({ written: undefined, range, name: "", baseName: name });
  }

  /** @throws DockerfileError when stages need each other in a circle */
  checkCircles(): void {
    const done = new Set<Node>();
    for (const start of this.nodes) {
      const circle = findCircle(start, done);
      if (circle === undefined) continue;
      const ranges = circle.map(({ range }) => range).sort((a, b) => a.start.offset - b.start.offset);
      const [first = start.range] = ranges;
      throw new DockerfileError(
        `circular dependency detected on stage: ${start.name}`,
        this.#source,
        { start: first.start, end: ranges.at(-1)?.end ?? first.end },
        first,
      );
    }
  }

  /** A stage and all that it needs. */
  reachable(from: Node): Set<Node> {
    const reached = new Set<Node>();
    const left = [from];
    for (let node = left.pop(); node !== undefined; node = left.pop()) {
      if (reached.has(node)) continue;
      reached.add(node);
      if (node.base !== undefined) left.push(node.base);
      left.push(...node.dependencies.keys());
    }
    return reached;
  }
}

export function nodeFor(
  parts: Pick<Node, "written" | "range" | "name" | "baseName"> & Partial<Pick<Node, "platform" | "context">>,
): Node {
  return {
    platform: undefined,
    context: undefined,
    ...parts,
    base: undefined,
    commands: [],
    dependencies: new Map(),
    image: undefined,
    hasTriggers: false,
    state: undefined,
    stage: undefined,
  };
}

/** The instructions around a circle that `start` reaches. Its own stack, as files may have many stages. */
function findCircle(start: Node, done: Set<Node>): StageInstruction[] | undefined {
  if (done.has(start)) return undefined;
  const path: { node: Node; left: Iterator<[Node, StageInstruction]>; via: StageInstruction | undefined }[] =
    [];
  const onPath = new Set<Node>();
  const enter = (node: Node, via: StageInstruction | undefined) => {
    done.add(node);
    onPath.add(node);
    path.push({ node, left: node.dependencies.entries(), via });
  };
  enter(start, undefined);
  for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
    const { value: next, done: isDone } = last.left.next();
    if (isDone) {
      onPath.delete(last.node);
      path.pop();
    } else if (onPath.has(next[0])) {
      return [...path.flatMap(({ via }) => (via === undefined ? [] : [via])), next[1]];
    } else if (!done.has(next[0])) enter(...next);
  }
  return undefined;
}
