/** The instructions of a Dockerfile, one type each, as they are written: nothing in them is expanded yet. */
import type { Heredoc } from "./heredocs.ts";
import type { Range } from "./source.ts";

/** What every instruction has. */
export interface Common {
  /** As it is written: `RUN`, `run`, `Run`. */
  readonly keyword: string;
  readonly keywordRange: Range;
  /** Of all its lines, heredocs included. */
  readonly range: Range;
  /** Its text with continuation lines joined and white space around it taken off; without heredocs. */
  readonly code: string;
  /** Comment lines directly above, without `#`. */
  readonly comments: readonly string[];
  readonly flags: readonly WrittenFlag[];
}

/** A flag as it is written: `--chown=app`. */
export interface WrittenFlag {
  readonly text: string;
  readonly range: Range;
}

/** A word with its place. */
export interface Located {
  readonly text: string;
  readonly range: Range;
}

/** What is run: an exec form (a JSON array), or text for the shell with the heredocs that it names. */
export type CommandLine =
  | { readonly form: "exec"; readonly arguments: readonly string[] }
  | { readonly form: "shell"; readonly text: string; readonly heredocs: readonly Heredoc[] };

export interface FromInstruction extends Common {
  readonly kind: "from";
  readonly image: Located;
  /** `--platform`; empty when it is not given. */
  readonly platform: string;
  /** `AS`, as it is written. */
  readonly asKeyword: string | undefined;
  /** The stage's name in lower case. */
  readonly stage: string | undefined;
  readonly stageAsWritten: string | undefined;
  /** What the comment above says of the stage: `# NAME description`. */
  readonly description: string;
}

/** A `--mount` as it is written; `from` never holds variables, the rest may. */
export interface WrittenMount {
  readonly text: string;
  readonly from: string;
  readonly range: Range;
}

export interface Device {
  readonly name: string;
  readonly required: boolean;
}

export interface RunInstruction extends Common {
  readonly kind: "run";
  readonly command: CommandLine;
  readonly mounts: readonly WrittenMount[];
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
  readonly devices: readonly Device[];
}

export interface CmdInstruction extends Common {
  readonly kind: "cmd";
  readonly command: CommandLine;
}

export interface EntrypointInstruction extends Common {
  readonly kind: "entrypoint";
  readonly command: CommandLine;
}

export interface Pair {
  readonly key: string;
  readonly value: string;
  /** `KEY value`, without `=`. */
  readonly legacy: boolean;
  readonly range: Range;
}

export interface LabelInstruction extends Common {
  readonly kind: "label";
  readonly labels: readonly Pair[];
}

export interface EnvInstruction extends Common {
  readonly kind: "env";
  readonly variables: readonly Pair[];
}

export interface MaintainerInstruction extends Common {
  readonly kind: "maintainer";
  readonly maintainer: string;
}

export interface ExposeInstruction extends Common {
  readonly kind: "expose";
  /** Sorted, as BuildKit sorts them before it expands them. */
  readonly ports: readonly string[];
}

/** A file whose content is a heredoc. */
export interface InlineFile {
  readonly path: string;
  /** With the tabs taken off that `<<-` takes off. */
  readonly content: string;
  readonly expand: boolean;
}

interface SourcesAndDestination {
  /** Paths, and for ADD also URLs. */
  readonly sources: readonly Located[];
  readonly files: readonly InlineFile[];
  readonly destination: Located;
  /** Empty when not given. */
  readonly chown: string;
  readonly chmod: string;
  readonly link: boolean;
  readonly exclude: readonly string[];
}

export interface AddInstruction extends Common, SourcesAndDestination {
  readonly kind: "add";
  readonly checksum: string;
  /** Undefined when not given. */
  readonly keepGitDir: boolean | undefined;
  readonly unpack: boolean | undefined;
}

export interface CopyInstruction extends Common, SourcesAndDestination {
  readonly kind: "copy";
  /** A stage's name or number, or an image; empty for the context. */
  readonly from: string;
  readonly parents: boolean;
}

export interface VolumeInstruction extends Common {
  readonly kind: "volume";
  readonly paths: readonly string[];
}

export interface UserInstruction extends Common {
  readonly kind: "user";
  readonly user: string;
}

export interface WorkdirInstruction extends Common {
  readonly kind: "workdir";
  readonly path: string;
}

export interface ArgDefinition {
  readonly name: string;
  /** The default; undefined when there is none. */
  readonly value: string | undefined;
  readonly description: string;
}

export interface ArgInstruction extends Common {
  readonly kind: "arg";
  readonly definitions: readonly ArgDefinition[];
}

export interface OnbuildInstruction extends Common {
  readonly kind: "onbuild";
  /** The instruction to come, with its heredocs: what an image's config holds. */
  readonly trigger: string;
}

export interface StopsignalInstruction extends Common {
  readonly kind: "stopsignal";
  readonly signal: string;
}

export interface HealthcheckInstruction extends Common {
  readonly kind: "healthcheck";
  /** `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`. */
  readonly test: readonly string[];
  /** Nanoseconds; 0 for what is not given. */
  readonly interval: bigint;
  readonly timeout: bigint;
  readonly startPeriod: bigint;
  readonly startInterval: bigint;
  readonly retries: number;
}

export interface ShellInstruction extends Common {
  readonly kind: "shell";
  readonly shell: readonly string[];
}

export type Instruction =
  | FromInstruction
  | RunInstruction
  | CmdInstruction
  | EntrypointInstruction
  | LabelInstruction
  | EnvInstruction
  | MaintainerInstruction
  | ExposeInstruction
  | AddInstruction
  | CopyInstruction
  | VolumeInstruction
  | UserInstruction
  | WorkdirInstruction
  | ArgInstruction
  | OnbuildInstruction
  | StopsignalInstruction
  | HealthcheckInstruction
  | ShellInstruction;

export type InstructionKind = Instruction["kind"];

/** What may stand in a stage: everything but FROM. */
export type StageInstruction = Exclude<Instruction, FromInstruction>;
