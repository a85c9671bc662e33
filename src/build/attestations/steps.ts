/** A build's operations in the words of BuildKit's LLB (its solver/pb/ops.proto), for provenance. */
import type { Platform } from "../../images/manifest.ts";
import type { Range } from "../dockerfile/source.ts";
import type { FilesOperation, Operation, RunOperation } from "../graph/operations.ts";

export interface BuildStep {
  /** `step0` */
  readonly id: string;
  readonly op?: object;
  /** `step1:0` */
  readonly inputs?: readonly string[];
}

export interface BuildSteps {
  /** What a step is made from stands before it. */
  readonly steps: readonly BuildStep[];
  readonly idOf: ReadonlyMap<Operation, string>;
}

/** What an operation is made from, each once. */
function inputsOf(operation: Operation): Operation[] {
  switch (operation.kind) {
    case "scratch":
    case "image":
    case "context":
      return [];
    case "directory":
      return [operation.input];
    case "files":
      return [...new Set([operation.input, operation.from])];
    case "run":
      return [...new Set([operation.input, ...operation.mounts.flatMap(({ from }) => from ?? [])])];
  }
}

/** All operations that the target needs, each behind what it is made from. */
export function operationsOf(target: Operation): Operation[] {
  const order: Operation[] = [];
  const seen = new Set<Operation>([target]);
  // Its own stack: Dockerfiles may be long.
  const open = [{ operation: target, left: inputsOf(target) }];
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = top.left.shift();
    if (next === undefined) {
      order.push(top.operation);
      open.pop();
    } else if (!seen.has(next)) {
      seen.add(next);
      open.push({ operation: next, left: inputsOf(next) });
    }
  }
  return order;
}

export function buildSteps(target: Operation): BuildSteps {
  const operations = operationsOf(target).filter(({ kind }) => kind !== "scratch");
  const idOf = new Map(operations.map((operation, at) => [operation, `step${at}`]));
  const steps = operations.map((operation): BuildStep => {
    const inputs = inputsOf(operation).flatMap((input) => {
      const id = idOf.get(input);
      return id === undefined ? [] : [`${id}:0`];
    });
    return {
      id: idOf.get(operation) ?? "",
      op: describe(operation, indexIn(operation, idOf)),
      ...(inputs.length === 0 ? {} : { inputs }),
    };
  });
  // BuildKit's graphs end with a vertex that only says which one is meant.
  const last = idOf.get(target);
  const end: BuildStep = {
    id: `step${steps.length}`,
    op: { Op: {} },
    ...(last === undefined ? {} : { inputs: [`${last}:0`] }),
  };
  return { steps: [...steps, end], idOf };
}

/** Finds an operation among the inputs of a step; scratch is none of them. */
type InputIndex = (input: Operation) => number;

function indexIn(operation: Operation, idOf: ReadonlyMap<Operation, string>): InputIndex {
  const listed = inputsOf(operation).filter((input) => idOf.has(input));
  return (input) => listed.indexOf(input);
}

/** Where steps are written, by their ids. */
export function locationsOf(
  { idOf }: BuildSteps,
  ranges: ReadonlyMap<string, Range>,
): Record<string, { locations: object[] }> {
  return Object.fromEntries(
    [...idOf].flatMap(([operation, id]) => {
      const range = ranges.get(operation.digest);
      if (range === undefined) return [];
      const place = { start: { line: range.start.line }, end: { line: range.end.line } };
      return [[id, { locations: [{ ranges: [place] }] }]];
    }),
  );
}

function describe(operation: Operation, indexOf: InputIndex): object {
  switch (operation.kind) {
    case "scratch":
      return {};
    case "image": {
      const identifier = `docker-image://${operation.reference}`;
      return { Op: { source: { identifier } }, platform: platformOf(operation.platform) };
    }
    case "context": {
      const identifier = `local://${operation.name === "" ? "context" : operation.name}`;
      return { Op: { source: { identifier } } };
    }
    case "directory":
      return action(indexOf(operation.input), {
        mkdir: { path: operation.path, mode: 0o755, makeParents: true, timestamp: -1 },
      });
    case "files":
      return { Op: { file: { actions: actionsOf(operation, indexOf) } } };
    case "run":
      return describeRun(operation, indexOf);
  }
}

function action(input: number, Action: object): object {
  return { Op: { file: { actions: [{ input, secondaryInput: -1, output: 0, Action }] } } };
}

function actionsOf(operation: FilesOperation, indexOf: InputIndex): object[] {
  const { sources, destination, parents, exclude } = operation;
  return sources.map((source, at) => ({
    input: at === 0 ? indexOf(operation.input) : -1,
    secondaryInput: indexOf(operation.from),
    output: at === sources.length - 1 ? 0 : -1,
    Action: {
      copy: {
        src: sourceOf(source),
        dest: destination,
        mode: -1,
        timestamp: -1,
        followSymlink: true,
        dirCopyContents: true,
        createDestPath: true,
        allowWildcard: true,
        ...(source.kind === "path" && source.unpack ? { attemptUnpackDockerCompatibility: true } : {}),
        ...(parents ? { includePatterns: [sourceOf(source)] } : {}),
        ...(exclude.length === 0 ? {} : { excludePatterns: exclude }),
      },
    },
  }));
}

function sourceOf(source: FilesOperation["sources"][number]): string {
  switch (source.kind) {
    case "path":
      return source.path;
    case "inline":
      return source.name;
    case "url":
      return source.url;
    case "git":
      return source.remote;
  }
}

/** Of secrets and agents the ids alone. */
function describeRun(operation: RunOperation, indexOf: InputIndex): object {
  const { arguments: args, environment, workingDirectory, user, network, security, platform } = operation;
  const mounts = operation.mounts.map(({ type, path, id, readOnly, source }) => ({
    dest: path ?? "",
    mountType: type.toUpperCase(),
    ...(readOnly ? { readonly: true } : {}),
    ...(type === "bind" && source !== "/" && source !== "" ? { selector: source } : {}),
    ...(type === "secret" ? { secretOpt: { ID: id } } : {}),
    ...(type === "ssh" ? { SSHOpt: { ID: id } } : {}),
    ...(type === "cache" ? { cacheOpt: { ID: id } } : {}),
  }));
  return {
    Op: {
      exec: {
        meta: {
          args,
          env: environment,
          cwd: workingDirectory,
          ...(user === "" ? {} : { user }),
          removeMountStubsRecursive: true,
        },
        mounts: [{ input: indexOf(operation.input), dest: "/", output: 0 }, ...mounts],
        ...(network === "bridge" ? {} : { network: network.toUpperCase() }),
        ...(security === "sandbox" ? {} : { security: security.toUpperCase() }),
      },
    },
    platform: platformOf(platform),
  };
}

function platformOf({ os, architecture, variant }: Platform): object {
  return { Architecture: architecture, OS: os, ...(variant === undefined ? {} : { Variant: variant }) };
}
