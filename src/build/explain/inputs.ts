/** What went into a step. Values are kept as digests: they may be nobody's business. */
import { formatPlatform } from "../../images/platform.ts";
import type {
  FilesOperation,
  Operation,
  OperationMount,
  RunOperation,
  StepOperation,
} from "../graph/operations.ts";
import { keyOf } from "../solver/keys.ts";
import type { FoundSource } from "../steps/sources.ts";
import { type FileFacts, factsOfFiles } from "./files.ts";

/** A root that a step stands on, or takes files from. */
export interface RootFacts {
  readonly key: string;
  /** As it is shown: a step's title, an image's reference. */
  readonly name: string;
  readonly isImage: boolean;
}

export interface StepInputs {
  readonly input: RootFacts;
  /** Roots that files are taken from, by what they are taken for. */
  readonly from: Readonly<Record<string, RootFacts>>;
  /** Digests by the name of what they stand for: `user`, `working directory`. */
  readonly definition: Readonly<Record<string, string>>;
  /** Digests of values, by name. */
  readonly variables: Readonly<Record<string, string>>;
  /** Undefined where they were not looked at. */
  readonly files?: FileFacts;
}

/** What the solver knows of a step before it looks for its result. */
export interface StepFacts {
  readonly key: string;
  readonly inputKey: string;
  /** Keys of the roots that files are taken from. */
  readonly keyOf: (operation: Operation) => string | undefined;
  readonly sources: readonly FoundSource[] | undefined;
}

export function inputsOfStep(operation: StepOperation, facts: StepFacts): StepInputs {
  const from: Record<string, RootFacts> = {};
  for (const [what, other] of othersOf(operation)) {
    const key = facts.keyOf(other);
    if (key !== undefined) from[what] = rootFacts(other, key);
  }
  return {
    input: rootFacts(operation.input, facts.inputKey),
    from,
    definition: definitionOf(operation),
    variables: operation.kind === "run" ? variablesOf(operation) : {},
    ...(facts.sources === undefined ? {} : { files: factsOfFiles(facts.sources) }),
  };
}

function rootFacts(operation: Operation, key: string): RootFacts {
  const isImage = operation.kind === "image";
  return { key, name: isImage ? operation.reference : operation.title, isImage };
}

function othersOf(operation: StepOperation): [string, Operation][] {
  if (operation.kind === "files") return [["", operation.from]];
  if (operation.kind === "directory") return [];
  return operation.mounts.flatMap((mount): [string, Operation][] =>
    mount.from === undefined ? [] : [[mount.path ?? mount.id, mount.from]],
  );
}

function definitionOf(operation: StepOperation): Record<string, string> {
  switch (operation.kind) {
    case "directory":
      return digests({ path: operation.path, user: operation.user });
    case "files":
      return definitionOfFiles(operation);
    case "run":
      return definitionOfRun(operation);
  }
}

function definitionOfFiles({
  destination,
  chown,
  chmod,
  parents,
  exclude,
  isLinked,
  sources,
}: FilesOperation) {
  const named = sources.map((source) => (source.kind === "inline" ? source.name : source));
  return digests({
    destination,
    "--chown": chown,
    "--chmod": chmod,
    "--parents": parents,
    "--exclude": exclude,
    "--link": isLinked,
    "what is copied": named,
  });
}

function definitionOfRun(operation: RunOperation) {
  const mounts = operation.mounts.map(({ from: _, ...mount }: OperationMount) => mount);
  return digests({
    command: [operation.arguments, operation.script],
    user: operation.user,
    "working directory": operation.workingDirectory,
    network: operation.network,
    security: operation.security,
    "--add-host": operation.extraHosts,
    platform: formatPlatform(operation.platform),
    "--mount": mounts,
  });
}

function variablesOf({ environment }: RunOperation): Record<string, string> {
  const values = environment.map((text): [string, string] => {
    const at = text.indexOf("=");
    return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  });
  return digests(Object.fromEntries(values));
}

function digests(values: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, keyOf([value]).slice(0, 16)]),
  );
}
