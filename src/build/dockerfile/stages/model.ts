/** What a Dockerfile comes to: stages, and their steps with everything expanded. A description; nothing is done. */
import type { ContainerConfig } from "../../../core/objects.ts";
import type { HistoryEntry, Platform } from "../../../images/manifest.ts";
import type { CheckWarning } from "../checks/linter.ts";
import type { Device, StageInstruction } from "../instructions.ts";
import type { RunMount } from "../mounts.ts";
import type { WrittenStage } from "../parse.ts";
import type { Range } from "../source.ts";
import type { Environment } from "./environment.ts";

/** An image that a stage is built on or copies from, as whoever resolves it found it. */
export interface BaseImage {
  /** What the name came to: with tag, and digest where it is known. */
  readonly reference: string;
  /** Of the image itself, which may not be the one asked for. */
  readonly platform: Platform;
  readonly author?: string;
  readonly config: ContainerConfig;
  readonly history: readonly HistoryEntry[];
}

/** Finds the image that a name stands for. @param name in canonical form, with tag or digest */
export type ImageResolver = (name: string, platform: Platform) => Promise<BaseImage>;

/** What a stage begins with. */
export type StageBase =
  | { readonly kind: "scratch" }
  | { readonly kind: "stage"; readonly stage: Stage }
  | {
      readonly kind: "image";
      readonly name: string;
      readonly image: BaseImage;
      readonly platform: Platform;
    }
  /** A context given by `--build-context`. */
  | { readonly kind: "context"; readonly name: string };

/** Where files come from: the build's context, or what a stage begins with. */
export type FilesFrom = { readonly kind: "main-context" } | StageBase;

/** An image's config and history, as they are after a stage's last step. */
export interface StageImage {
  readonly author: string | undefined;
  readonly platform: Platform;
  readonly config: ContainerConfig;
  readonly history: readonly HistoryEntry[];
}

export interface Stage {
  readonly index: number;
  /** Its name, or `stage-N`; empty for the only stage of a file. */
  readonly name: string;
  readonly written: WrittenStage;
  readonly base: StageBase;
  readonly platform: Platform;
  readonly steps: readonly Step[];
  /** Stages that it is built on, copies from or mounts, each once. */
  readonly dependencies: readonly Stage[];
  readonly image: StageImage;
}

interface StepCommon {
  readonly instruction: StageInstruction;
  /** Where it is written; for what an image's ONBUILD brings, the FROM that brings it. */
  readonly range: Range;
  /** It comes from an ONBUILD. */
  readonly isTrigger: boolean;
  /** What a progress display calls it: `RUN make`, with variables expanded. */
  readonly title: string;
  /** Its line in the image's history. */
  readonly createdBy: string;
  /** Variables as they are when it begins: of the image, of ENV and of ARG. */
  readonly environment: Environment;
}

/** Changes the image's config only. */
export interface ConfigStep extends StepCommon {
  readonly kind: "config";
}

export interface StepMount extends RunMount {
  /**
   * Where in the container. Undefined for a secret that is a variable only, and for an agent's socket whose place is
   * free (SSH_AUTH_SOCK tells it). Mounts come as they are written: one below another has to be mounted behind it.
   */
  readonly path: string | undefined;
  readonly files: FilesFrom;
}

export interface RunStep extends StepCommon {
  readonly kind: "run";
  /** The whole command, with its shell. */
  readonly arguments: readonly string[];
  /** A heredoc with `#!`: an executable file, mounted at `/dev/pipes/NAME`. */
  readonly script: { readonly path: string; readonly content: string } | undefined;
  readonly mounts: readonly StepMount[];
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
  readonly devices: readonly Device[];
  readonly workingDirectory: string;
  readonly user: string;
}

/** WORKDIR: a directory that is made, if it is not there, for the user. */
export interface DirectoryStep extends StepCommon {
  readonly kind: "directory";
  readonly path: string;
  readonly user: string;
}

export interface GitSource {
  readonly remote: string;
  readonly ref: string;
  readonly subdirectory: string;
  readonly checksum: string;
  readonly keepGitDirectory: boolean;
  readonly submodules: boolean;
  readonly fetchByCommit: boolean;
}

export type FileSource =
  | {
      readonly kind: "path";
      /** Absolute in what it is copied from; may hold wildcards. */
      readonly path: string;
      /** With `--parents`: what below `path` is copied, keeping its directories. */
      readonly pattern: string | undefined;
      /** Must be there, as no wildcard is in it. */
      readonly required: string | undefined;
      readonly unpack: boolean;
    }
  | { readonly kind: "inline"; readonly name: string; readonly content: string }
  | {
      readonly kind: "url";
      readonly url: string;
      readonly fileName: string;
      readonly checksum: string;
      readonly unpack: boolean;
    }
  | ({ readonly kind: "git" } & GitSource);

/** COPY and ADD. */
export interface FilesStep extends StepCommon {
  readonly kind: "files";
  readonly from: FilesFrom;
  readonly sources: readonly FileSource[];
  /** Absolute; with a slash at the end it is a directory. */
  readonly destination: string;
  /** `user[:group]`, names or numbers; empty for root. */
  readonly chown: string;
  /** Octal or symbolic; empty to keep modes. */
  readonly chmod: string;
  readonly link: boolean;
  readonly parents: boolean;
  readonly exclude: readonly string[];
}

export type Step = ConfigStep | RunStep | DirectoryStep | FilesStep;

export interface BuildPlan {
  readonly target: Stage;
  /** The stages that are needed, each behind all that it needs. */
  readonly stages: readonly Stage[];
  readonly warnings: readonly CheckWarning[];
  /** Build arguments that no ARG asks for. */
  readonly unusedArguments: readonly string[];
  /** SOURCE_DATE_EPOCH, as a build argument or a global ARG says it: seconds, `context`, or a stage's or context's name. */
  readonly sourceDateEpoch: string | undefined;
  /** Proxy variables given as build arguments: for RUN, and for nothing else to depend on. */
  readonly proxy: Readonly<Record<string, string>>;
}
