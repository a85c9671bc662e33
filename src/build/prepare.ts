/** The first part of a build: its context is opened, its Dockerfile read and analysed. */

import { hasErrno, InvalidParameter, NotFound } from "../core/errors.ts";
import type { Platform } from "../images/manifest.ts";
import { readFileSync } from "../linux/files.ts";
import type { IgnoreMatcher } from "./context/ignore.ts";
import { ignoreOfContext, ignoreOfFile, type OpenContext, readContextFile } from "./context/open.ts";
import { excerpt } from "./dockerfile/excerpt.ts";
import { Source } from "./dockerfile/source.ts";
import { analyse } from "./dockerfile/stages/analyse.ts";
import type { BuildPlan, ImageResolver } from "./dockerfile/stages/model.ts";
import { cleanPath } from "./dockerfile/text.ts";
import type { BuildWarning } from "./events.ts";
import type { Progress } from "./solver/progress.ts";

/** Where the Dockerfile is. */
export type DockerfileSource =
  /** Relative to the context. */
  | { readonly kind: "in-context"; readonly path: string }
  /** Absolute, on the engine's host; its ignore file lies beside it. */
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "text"; readonly name: string; readonly text: string };

export interface ReadDockerfile {
  readonly name: string;
  readonly text: string;
  readonly ignore: IgnoreMatcher | undefined;
}

/** @throws NotFound `failed to read dockerfile: open Dockerfile: no such file or directory` */
export function readDockerfile(
  choice: DockerfileSource,
  context: OpenContext,
  progress: Progress,
): ReadDockerfile {
  const shown = choice.kind === "text" ? choice.name : cleanPath(choice.path).split("/").at(-1);
  const name = shown ?? "Dockerfile";
  const vertex = progress.vertex(`[internal] load build definition from ${name}`);
  vertex.started();
  const text = textOf(choice, context);
  if (text === undefined) {
    const message = `failed to read dockerfile: open ${name}: no such file or directory`;
    vertex.finished(message);
    throw new NotFound(message);
  }
  vertex.status(`transferring dockerfile: ${Buffer.byteLength(text)}B`)();
  vertex.finished();
  return { name, text, ignore: readIgnore(choice, context, progress) };
}

function textOf(choice: DockerfileSource, context: OpenContext): string | undefined {
  switch (choice.kind) {
    case "text":
      return choice.text;
    case "in-context":
      // As docker: `dockerfile` is found too.
      return readContextFile(context, choice.path) ?? readLowerCase(choice.path, context);
    case "file":
      try {
        return readFileSync(choice.path, "utf8");
      } catch (error) {
        if (hasErrno(error, "ENOENT")) return undefined;
        if (hasErrno(error, "EISDIR"))
          throw new InvalidParameter(`${choice.path} is a directory, no Dockerfile`);
        throw error;
      }
  }
}

function readLowerCase(path: string, context: OpenContext): string | undefined {
  return path === "Dockerfile" ? readContextFile(context, "dockerfile") : undefined;
}

function readIgnore(
  choice: DockerfileSource,
  context: OpenContext,
  progress: Progress,
): IgnoreMatcher | undefined {
  const vertex = progress.vertex("[internal] load .dockerignore");
  vertex.started();
  const ignore =
    choice.kind === "file"
      ? ignoreOfFile(context, choice.path)
      : ignoreOfContext(context, choice.kind === "text" ? "Dockerfile" : choice.path);
  vertex.status("transferring context")();
  vertex.finished();
  return ignore;
}

export interface PlanOptions {
  readonly buildArguments: Readonly<Record<string, string>>;
  readonly target: string | undefined;
  readonly platform: Platform;
  readonly buildPlatform: Platform;
  readonly contexts: ReadonlySet<string>;
  readonly resolveImage: ImageResolver;
  readonly allStages: boolean;
}

/** @throws DockerfileError */
export function planOf(file: ReadDockerfile, options: PlanOptions): Promise<BuildPlan> {
  const { target, ...others } = options;
  return analyse(file.text, {
    name: file.name,
    ...others,
    ...(target === undefined ? {} : { target }),
    ...(file.ignore === undefined ? {} : { ignore: file.ignore }),
  });
}

export function warningsOf(
  { warnings, unusedArguments }: Pick<BuildPlan, "warnings" | "unusedArguments">,
  file: ReadDockerfile,
): BuildWarning[] {
  const source = new Source(file.name, file.text);
  const names = [...unusedArguments].sort().join(" ");
  const unused =
    names === "" ? [] : [{ rule: "", message: `One or more build-args [${names}] were not consumed` }];
  const found = warnings.map(({ rule, message, range }) => ({
    rule: rule.name,
    message,
    description: rule.description,
    ...(rule.url === undefined ? {} : { url: rule.url }),
    line: range.start.line,
    excerpt: excerpt(source, range, undefined),
  }));
  return [...found, ...unused];
}
