/**
 * From a Dockerfile to a plan: which stages are needed, what they are built on, and each of their steps with
 * everything expanded. Images are looked up by a function that the caller gives; nothing else is touched.
 */
import { messageOf } from "../../../core/errors.ts";
import type { Platform } from "../../../images/manifest.ts";
import { formatPlatform, hostPlatform, normalizePlatform } from "../../../images/platform.ts";
import { canonicalForm, parseReference, withDefaultTag } from "../../../images/references.ts";
import type { IgnoreMatcher } from "../../context/ignore.ts";
import { checkDefaults } from "../checks/from.ts";
import { defaultCheckOptions, Linter, parseCheckOptions } from "../checks/linter.ts";
import { rules } from "../checks/rules.ts";
import { checkDescription, checkFile, checkStatement } from "../checks/written.ts";
import { directiveOf } from "../directives.ts";
import { DockerfileError, LineFault } from "../errors.ts";
import { type Dockerfile, parseDockerfile, parseTrigger } from "../parse.ts";
import { type Range, Source } from "../source.ts";
import { withSuggestion } from "../suggest.ts";
import { quote } from "../text.ts";
import {
  type GlobalArguments,
  globalArguments,
  isProxyArgument,
  type Platforms,
  predefinedArguments,
} from "./arguments.ts";
import { AssignmentBudget } from "./environment.ts";
import { evaluate, type FileContext } from "./evaluate.ts";
import { baseNameOf, platformOf } from "./from.ts";
import { type Node, nodeFor, StageGraph } from "./graph.ts";
import type { BuildPlan, FilesFrom, ImageResolver, StageBase, Step } from "./model.ts";
import { StageState } from "./state.ts";

export interface AnalyseOptions {
  /** What messages call the file. */
  readonly name?: string;
  /** `--build-arg`. */
  readonly buildArguments?: Readonly<Record<string, string>>;
  /** `--target`; the last stage when it is not given. */
  readonly target?: string;
  /** What to build for; this machine when it is not given. */
  readonly platform?: Platform;
  readonly buildPlatform?: Platform;
  readonly resolveImage: ImageResolver;
  /** Names given by `--build-context`; they come before stages and images of that name. */
  readonly contexts?: ReadonlySet<string>;
  readonly ignore?: IgnoreMatcher;
  /** Evaluates stages too that the target does not need: what `--check` without a target does. */
  readonly allStages?: boolean;
  /** Findings so far are left here also when the file has an error. */
  readonly onLinter?: (linter: Linter) => void;
}

/**
 * Parses and analyses a Dockerfile.
 * @throws DockerfileError in BuildKit's words, with the place
 */
export async function analyse(text: string, options: AnalyseOptions): Promise<BuildPlan> {
  const name = options.name ?? "Dockerfile";
  const linter = linterFor(text, name);
  options.onLinter?.(linter);
  const file = parseDockerfile(text, name, {
    onEmptyContinuation: ({ range }) =>
      linter.report(rules.noEmptyContinuation, range, "Empty continuation line"),
    onStatement: (statement) => checkStatement(statement, linter),
    onInstruction: (instruction) => checkDescription(instruction, linter),
  });
  checkFile(file, linter);
  return new Analysis(file, linter, options).run();
}

/** With what the file's `check` directive says. */
function linterFor(text: string, name: string): Linter {
  const directive = directiveOf("check", text);
  if (directive === undefined) return new Linter(defaultCheckOptions);
  try {
    return new Linter(parseCheckOptions(directive.value));
  } catch (error) {
    if (!(error instanceof LineFault)) throw error;
    const source = new Source(name, text);
    const lines = source.linesRange(directive.line, directive.line);
    throw new DockerfileError(`failed to parse check options: ${error.message}`, source, lines);
  }
}

/** Names that a mistyped image may have been meant to be. */
const commonImages = ["alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora"].flatMap(
  (name) => [name, `${name}:latest`],
);

class Analysis {
  readonly #file: Dockerfile;
  readonly #linter: Linter;
  readonly #options: AnalyseOptions;
  readonly #platforms: Platforms;
  readonly #given: ReadonlyMap<string, string>;
  readonly #globals: GlobalArguments;
  readonly #graph: StageGraph;
  readonly #budget = new AssignmentBudget();

  constructor(file: Dockerfile, linter: Linter, options: AnalyseOptions) {
    this.#file = file;
    this.#linter = linter;
    this.#options = options;
    const target = options.platform ?? hostPlatform();
    this.#platforms = { target, build: options.buildPlatform ?? target };
    this.#given = new Map(Object.entries(options.buildArguments ?? {}));
    const targetName = options.target || (file.stages.at(-1)?.from.stage ?? "");
    const predefined = predefinedArguments(this.#platforms, targetName, this.#given);
    this.#checkDefaults(predefined);
    this.#globals = globalArguments(predefined, file.globalArgs, this.#given, file);
    this.#graph = new StageGraph(file.source, file.escapeCharacter);
  }

  #checkDefaults(predefined: GlobalArguments): void {
    const { globalArgs, stages, escapeCharacter } = this.#file;
    try {
      const defaults = globalArguments(predefined, globalArgs, new Map(), this.#file);
      checkDefaults(stages, defaults, escapeCharacter, this.#linter);
    } catch (error) {
      // What is wrong with a default is said when it is used.
      if (!(error instanceof DockerfileError)) throw error;
    }
  }

  async run(): Promise<BuildPlan> {
    this.#checkSourceDate();
    this.#addStages();
    const target = this.#graph.target(this.#options.target ?? "");
    this.#connectStages();
    const needed = await this.#resolveBases(target);
    const context: FileContext = {
      escapeCharacter: this.#file.escapeCharacter,
      globals: this.#globals,
      given: this.#given,
      ignore: this.#options.ignore,
    };
    for (const [index, node] of this.#graph.nodes.entries()) {
      const isWanted = needed.has(node) || (this.#options.allStages ?? false);
      if (isWanted && node.written !== undefined) this.#evaluateStage(node, index, context);
    }
    const failure = this.#linter.failure();
    if (failure !== undefined) throw this.#error(failure, this.#file.source.linesRange(1, 1));
    return this.#plan(target, needed);
  }

  get #sourceDate(): string | undefined {
    const name = "SOURCE_DATE_EPOCH";
    return this.#given.get(name) ?? this.#globals.get(name);
  }

  /** Seconds, or what to take the time from: the context, another one, or a stage. */
  #checkSourceDate(): void {
    const value = this.#sourceDate ?? "";
    if (/^(?:[-+]?[0-9]+|context|)$/.test(value) || this.#contextNamed(value) !== undefined) return;
    if (this.#file.stages.some(({ from }) => from.stage === value.toLowerCase())) return;
    throw this.#error(`invalid SOURCE_DATE_EPOCH: ${value}`, this.#file.source.linesRange(1, 1));
  }

  #plan(target: Node, needed: ReadonlySet<Node>): BuildPlan {
    const stages = this.#graph.nodes.flatMap((node) =>
      needed.has(node) && node.stage !== undefined ? [node.stage] : [],
    );
    if (target.stage === undefined) throw new Error("the target was not evaluated");
    return {
      target: target.stage,
      stages,
      warnings: this.#linter.warnings,
      unusedArguments: this.#unusedArguments(),
      sourceDateEpoch: this.#sourceDate,
      proxy: Object.fromEntries([...this.#given].filter(([name]) => isProxyArgument(name))),
    };
  }

  #unusedArguments(): string[] {
    const declared = new Set(
      [this.#file.globalArgs, ...this.#file.stages.map(({ instructions }) => instructions)]
        .flat()
        .flatMap((instruction) => (instruction.kind === "arg" ? instruction.definitions : []))
        .map(({ name }) => name),
    );
    const predefined = predefinedArguments(this.#platforms, "", new Map());
    return [...this.#given.keys()].filter(
      (name) =>
        !declared.has(name) &&
        !predefined.has(name) &&
        !isProxyArgument(name) &&
        !/^(?:BUILDKIT_|SOURCE_DATE_EPOCH$)/.test(name),
    );
  }

  #addStages(): void {
    const declared = new Set(this.#globals.keys());
    for (const { definitions } of this.#file.globalArgs) {
      for (const { name } of definitions) declared.add(name);
    }
    for (const [index, written] of this.#file.stages.entries()) {
      const { from } = written;
      const context = {
        globals: this.#globals,
        declared,
        escapeCharacter: this.#file.escapeCharacter,
        linter: this.#linter.withComments(from.comments),
      };
      const baseName = this.#placed(from.range, () => baseNameOf(from, context), from.image.range);
      const platform = this.#placed(from.range, () => platformOf(from, context));
      const name = from.stage ?? `stage-${index}`;
      const given = from.stage === undefined ? undefined : this.#contextNamed(from.stage);
      this.#graph.add(nodeFor({ written, range: from.range, name, baseName, platform, context: given }));
    }
  }

  #connectStages(): void {
    const stages = [...this.#graph.nodes];
    for (const node of stages) {
      if (node.context !== undefined) continue;
      node.commands = (node.written?.instructions ?? []).map((instruction) =>
        this.#graph.connect(node, instruction, { range: instruction.range, isTrigger: false }),
      );
    }
    this.#graph.checkCircles();
    const [only] = this.#graph.nodes;
    if (this.#graph.nodes.length === 1 && only !== undefined) only.name = "";
  }

  /** Looks up images until no ONBUILD of theirs asks for more. */
  async #resolveBases(target: Node): Promise<ReadonlySet<Node>> {
    for (;;) {
      const needed = this.#graph.reachable(target);
      const wanted = this.#options.allStages ? new Set(this.#graph.nodes) : needed;
      for (const node of this.#graph.nodes) if (node.base === undefined) this.#checkBaseName(node);
      await Promise.all([...wanted].map((node) => this.#resolveBase(node)));
      const isMore = [...wanted].map((node) => this.#addTriggers(node)).some(Boolean);
      if (!isMore) return needed;
      this.#graph.checkCircles();
    }
  }

  #checkBaseName(node: Node): void {
    if (node.baseName === "scratch" || node.context !== undefined) return;
    this.#canonicalName(node);
  }

  #canonicalName(node: Node): string {
    try {
      return canonicalForm(withDefaultTag(parseReference(node.baseName)));
    } catch (error) {
      const message = `failed to parse stage name ${quote(node.baseName)}: ${messageOf(error)}`;
      throw this.#error(message, node.range, node.written?.from.image.range);
    }
  }

  async #resolveBase(node: Node): Promise<void> {
    const isDone = node.base !== undefined || node.image !== undefined || node.context !== undefined;
    if (isDone || node.baseName === "scratch") return;
    const name = this.#canonicalName(node);
    node.context = this.#contextNamed(node.baseName) ?? this.#contextNamed(name);
    if (node.context !== undefined) return;
    const platform = node.platform ?? this.#platforms.target;
    try {
      node.image = await this.#options.resolveImage(name, platform);
    } catch (error) {
      const message = `${node.baseName}: ${messageOf(error)}`;
      const known = [...this.#graph.names, ...commonImages];
      throw this.#error(
        withSuggestion(message, node.baseName, known),
        node.range,
        node.written?.from.image.range,
        error,
      );
    }
    this.#checkPlatform(node, platform, node.image.platform);
  }

  #checkPlatform({ baseName, range }: Node, expected: Platform, actual: Platform): void {
    if (expected.os === actual.os && expected.architecture === actual.architecture) return;
    const [wanted, found] = [expected, actual].map((platform) =>
      quote(formatPlatform(normalizePlatform(platform))),
    );
    const message = `Base image ${baseName} was pulled with platform ${found}, expected ${wanted} for current build`;
    this.#linter.report(rules.invalidBaseImagePlatform, range, message);
  }

  #contextNamed(name: string): string | undefined {
    const contexts = this.#options.contexts ?? new Set<string>();
    if (name === "scratch" || name === "context") return undefined;
    return [...contexts].find((context) => context.toLowerCase() === name.toLowerCase());
  }

  /** What the base wants done first. True when that needs stages or images that were not known. */
  #addTriggers(node: Node): boolean {
    if (node.hasTriggers || node.written === undefined || node.context !== undefined) return false;
    node.hasTriggers = true;
    const triggers = node.base === undefined ? (node.image?.config.OnBuild ?? []) : triggersOf(node.base);
    const commands = triggers.map((text) => {
      const place = { range: node.range, isTrigger: true };
      return this.#placed(node.range, () => this.#graph.connect(node, this.#trigger(text, node), place));
    });
    node.commands = [...commands, ...node.commands];
    return commands.some(({ sources }) => sources.some((source) => source !== undefined));
  }

  #trigger(text: string, node: Node) {
    try {
      return parseTrigger(text);
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error;
      throw this.#error(error.message, node.range, undefined, error);
    }
  }

  #evaluateStage(node: Node, index: number, context: FileContext): void {
    const { written, name } = node;
    if (written === undefined || node.stage !== undefined) return;
    const state = this.#placed(node.range, () => this.#initialState(node));
    node.state = state;
    const steps: Step[] = [];
    for (const { instruction, range, isTrigger, sources } of node.commands) {
      const linter = isTrigger ? this.#linter : this.#linter.withComments(instruction.comments);
      const from = (position: number) => this.#filesFrom(sources[position]);
      steps.push(
        this.#placed(range, () =>
          evaluate(instruction, { ...context, state, linter, range, isTrigger, stageName: name, from }),
        ),
      );
    }
    const dependencies = [node.base, ...node.dependencies.keys()].flatMap((other) => other?.stage ?? []);
    node.stage = {
      index,
      name,
      written,
      base: this.#stageBase(node),
      platform: state.platform,
      steps,
      dependencies: [...new Set(dependencies)],
      image: state.image(),
    };
  }

  #initialState(node: Node): StageState {
    const platform = node.platform ?? this.#platforms.target;
    if (node.base?.state !== undefined) return StageState.onStage(node.base.state, this.#budget);
    if (node.image !== undefined) return StageState.onImage(node.image, platform, this.#budget);
    return StageState.onScratch(
      node.baseName === "scratch" ? this.#platforms.target : platform,
      this.#budget,
    );
  }

  #stageBase(node: Node): StageBase {
    if (node.context !== undefined) return { kind: "context", name: node.context };
    if (node.base?.stage !== undefined) return { kind: "stage", stage: node.base.stage };
    if (node.image === undefined) return { kind: "scratch" };
    const platform = node.platform ?? this.#platforms.target;
    return { kind: "image", name: node.baseName, image: node.image, platform };
  }

  /** Undefined for a stage that stands behind what copies from it. */
  #filesFrom(source: Node | undefined): FilesFrom | undefined {
    if (source === undefined) return { kind: "main-context" };
    if (source.written === undefined) return this.#stageBase(source);
    return source.stage === undefined ? undefined : { kind: "stage", stage: source.stage };
  }

  /** Gives a fault its lines, and the point in them when that is known. */
  #placed<T>(range: Range, act: () => T, point?: Range): T {
    try {
      return act();
    } catch (error) {
      if (error instanceof LineFault) throw this.#error(error.message, range, point, error);
      throw error;
    }
  }

  #error(message: string, lines: Range, point?: Range, cause?: unknown): DockerfileError {
    return new DockerfileError(message, this.#file.source, lines, point, { cause });
  }
}

function triggersOf({ written }: Node): string[] {
  return (written?.instructions ?? []).flatMap((it) => (it.kind === "onbuild" ? [it.trigger] : []));
}
