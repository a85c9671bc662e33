/** A stage while its instructions are evaluated: its variables, and its image's config in the making. */
import type { ContainerConfig } from "../../../core/objects.ts";
import type { HistoryEntry, Platform } from "../../../images/manifest.ts";
import type { Range } from "../source.ts";
import { joinPath } from "../text.ts";
import { type AssignmentBudget, EnvironmentLog } from "./environment.ts";
import type { BaseImage, StageImage } from "./model.ts";

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const historyComment = "buildkit.dockerfile.v0";

/** An argument that ARG has declared in a stage; history shows them with RUN. */
export interface DeclaredArgument {
  readonly name: string;
  readonly value: string | undefined;
}

export class StageState {
  readonly platform: Platform;
  readonly variables: EnvironmentLog;
  readonly config: ContainerConfig;
  readonly history: HistoryEntry[];
  readonly arguments: DeclaredArgument[];
  author: string | undefined;
  /** WORKDIR was given in this file: relative ones that follow are safe. */
  isWorkdirSet: boolean;
  /** Where the instructions were that may be given once only. */
  readonly once = new Map<string, Range>();
  readonly #budget: AssignmentBudget;
  /** Where in the config's list each variable is. */
  readonly #positions = new Map<string, number>();

  private constructor(
    platform: Platform,
    image: { author?: string | undefined; config: ContainerConfig; history: readonly HistoryEntry[] },
    budget: AssignmentBudget,
    below?: StageState,
  ) {
    this.platform = platform;
    this.#budget = budget;
    this.config = cloneConfig(image.config);
    this.author = image.author;
    this.history = [...image.history];
    this.arguments = below === undefined ? [] : [...below.arguments];
    this.isWorkdirSet = below?.isWorkdirSet ?? false;
    this.variables = new EnvironmentLog(budget, below?.variables.view());
    delete this.config.OnBuild;
    this.#begin();
  }

  static onScratch(platform: Platform, budget: AssignmentBudget): StageState {
    const config = { Env: [`PATH=${defaultPath}`], WorkingDir: "/" };
    return new StageState(platform, { config, history: [] }, budget);
  }

  static onImage(
    { config, history, author }: BaseImage,
    platform: Platform,
    budget: AssignmentBudget,
  ): StageState {
    return new StageState(platform, { author, config, history }, budget);
  }

  /** On another stage of the same file, when that is done. */
  static onStage(below: StageState, budget: AssignmentBudget): StageState {
    return new StageState(below.platform, below, budget, below);
  }

  /** What the image brings: variables, of which PATH is always one, and the directory. */
  #begin(): void {
    const env = [...(this.config.Env ?? [])];
    if (!env.some((entry) => entry.startsWith("PATH="))) env.push(`PATH=${defaultPath}`);
    this.config.Env = env;
    for (const [position, entry] of env.entries()) {
      const at = entry.indexOf("=");
      const name = at < 0 ? entry : entry.slice(0, at);
      if (!this.#positions.has(name)) this.#positions.set(name, position);
      if (at < 0) this.variables.set(entry, "");
      else this.variables.set(entry.slice(0, at), entry.slice(at + 1));
    }
    if (this.config.WorkingDir) this.config.WorkingDir = this.resolve(this.config.WorkingDir);
  }

  get workingDirectory(): string {
    return this.config.WorkingDir || "/";
  }

  get user(): string {
    return this.config.User ?? "";
  }

  /** A path of WORKDIR: relative ones count from the present directory. Absolute ones stay as they are written. */
  resolve(path: string): string {
    if (path === "") return this.workingDirectory;
    return path.startsWith("/") ? path : joinPath("/", this.workingDirectory, path);
  }

  /** A destination: as above, but it keeps a slash at its end. */
  resolveDestination(path: string): string {
    const written = path === "" || path === "." ? "./" : path;
    const resolved = this.resolve(written);
    if (written.endsWith("/") && !resolved.endsWith("/")) return `${resolved}/`;
    if (!written.endsWith("/.")) return resolved;
    return resolved === "/" ? "/." : `${resolved}/.`;
  }

  /** Sets a variable of the image. */
  setEnvironment(name: string, value: string): void {
    this.variables.set(name, value);
    const entries = this.config.Env ?? [];
    const at = this.#positions.get(name);
    if (at === undefined) this.#positions.set(name, entries.push(`${name}=${value}`) - 1);
    else entries[at] = `${name}=${value}`;
    this.config.Env = entries;
  }

  /** Accounts for what an instruction makes of a file's few characters. @throws LineFault when it is too much */
  spend(characters: number): void {
    this.#budget.spend(characters);
  }

  record(createdBy: string, { layer }: { layer: boolean }): void {
    this.spend(createdBy.length);
    this.history.push({
      created_by: createdBy,
      comment: historyComment,
      ...(layer ? {} : { empty_layer: true }),
    });
  }

  image(): StageImage {
    const { author, platform, history } = this;
    return { author, platform, config: cloneConfig(this.config), history: [...history] };
  }
}

/** Copies of what instructions add to; the rest they only replace. */
function cloneConfig(config: ContainerConfig): ContainerConfig {
  const clone = { ...config };
  if (config.Env) clone.Env = [...config.Env];
  if (config.Labels) clone.Labels = { ...config.Labels };
  if (config.Volumes) clone.Volumes = { ...config.Volumes };
  if (config.ExposedPorts) clone.ExposedPorts = { ...config.ExposedPorts };
  return clone;
}
