/** What a command is: its words for the help, its flags, and what it does. */
import type { Engine, ExecPlan } from "../engine/engine.ts";
import type { FlagSet } from "./flags/flag-set.ts";
import type { Io } from "./io.ts";

/** How many words a command takes besides its flags. `run`-like commands word it with `See`, as docker does. */
export interface ArgumentCount {
  least: number;
  /** Absent for no limit. */
  most?: number;
}

export const noArguments: ArgumentCount = { least: 0, most: 0 };
export const atLeastOne: ArgumentCount = { least: 1 };

/** So many words, no more and no fewer. */
export function exactly(count: number): ArgumentCount {
  return { least: count, most: count };
}

/** One run of a command. */
export interface Invocation {
  readonly args: readonly string[];
  /** All that was written behind the command's name, flags too. */
  readonly words: readonly string[];
  readonly io: Io;
  /** The program's own name, for messages: `davit`. */
  readonly program: string;
  /** Where the user's config.json is: --config, else DOCKER_CONFIG, else `~/.docker`. */
  readonly configDirectory: string;
  /**
   * Opened on first use, closed by the caller of the command.
   * @param plan.registry will be asked: it is looked for while the engine is opened
   * @param plan.exec will be created and started: it is begun while the engine is opened
   */
  engine(plan?: { registry?: RegistryPlan; exec?: ExecPlan }): Promise<Engine>;
}

/** A registry that will be asked, and perhaps for what tag of which repository at first. */
export interface RegistryPlan {
  domain: string;
  first?: { path: string; tag: string };
}

/** What a command does; resolves to the exit status. */
export type Action = (invocation: Invocation) => Promise<number>;

export interface Command {
  /** Behind the command's name in the usage line: `[OPTIONS] CONTAINER [CONTAINER...]`. */
  readonly synopsis: string;
  /** One sentence, without a full stop. */
  readonly summary: string;
  /** In the command's own help in place of the summary. */
  readonly description?: string;
  readonly count: ArgumentCount;
  /** The first word that is no flag ends the flags: what follows belongs to the command in the container. */
  readonly flagsEndAtFirstWord?: boolean;
  /** Shown below the flags: what people type. */
  readonly examples?: readonly string[];
  /** Errors carry the program's name and the way to the help, and exit with 125, as `docker run`. */
  readonly runsContainer?: boolean;
  /** Declares the flags and gives back what to do with them. Called once for each run of the command. */
  define(flags: FlagSet): Action;
}

/** A place in the tree of commands. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Other last words for it: `container ls` is also `container ps`. */
  readonly aliases?: readonly string[];
  /** Every full spelling, for the help: `container run`, `run`. */
  readonly spellings?: readonly string[];
  readonly group?: "common" | "management" | "other";
  readonly load: () => Promise<Command>;
}

export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly children: readonly CommandEntry[];
}

/** A failure of the command itself, not of the engine: printed as it is. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** A command ends with this status and says nothing (more). */
export class ExitStatus extends Error {
  override readonly name = "ExitStatus";
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`exit status ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** What the words mean is another command's work, which does it in this one's place. */
export class Diverted extends Error {
  override readonly name = "Diverted";
  readonly act: Action;
  constructor(act: Action) {
    super("another command does this");
    this.act = act;
  }
}
