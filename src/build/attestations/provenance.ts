/**
 * SLSA provenance: how an image came to be, in the fields of BuildKit's (its docs/attestations/slsa-definitions.md),
 * version 1 (slsa.dev/spec/v1.1/provenance) or 0.2 (slsa.dev/spec/v0.2/provenance).
 */
import type { Descriptor, Platform } from "../../images/manifest.ts";
import { formatPlatform, normalizePlatform } from "../../images/platform.ts";
import { parseReference } from "../../images/references.ts";
import type { Material } from "../context/material.ts";
import type { Range } from "../dockerfile/source.ts";
import type { Operation } from "../graph/operations.ts";
import { imageUrl } from "./package-url.ts";
import type { Predicate, ProvenanceRequest } from "./request.ts";
import { buildSteps, locationsOf, operationsOf } from "./steps.ts";

/** What is known of one platform's build. */
export interface ProvenanceFacts {
  readonly target: Operation;
  /** What was built for. */
  readonly platform: Platform;
  /** Where operations are written, by their digests. */
  readonly ranges: ReadonlyMap<string, Range>;
  readonly dockerfile: { readonly name: string; readonly path: string; readonly text: string };
  /** The main context, where it is from elsewhere. */
  readonly context: Material | undefined;
  /** Options in BuildKit's words: `build-arg:NAME`, `label:NAME`, `target`. */
  readonly options: Readonly<Record<string, string>>;
  /** What steps have fetched. */
  readonly fetched: (operation: Operation) => readonly Material[];
  /** Layers of what a step has come to, bottom first, as they are in the image. */
  readonly layersOf: (operation: Operation) => readonly Descriptor[] | undefined;
  readonly builder: Platform;
  /** The same for all platforms of a build. */
  readonly invocationId: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly finishedAt: number;
}

export function provenance(facts: ProvenanceFacts, request: ProvenanceRequest): Predicate {
  const common = commonFacts(facts, request);
  const { version, filename: file = "provenance.json" } = request;
  const predicate =
    version === "v1" ? versionOne(common, facts, request) : versionZeroTwo(common, facts, request);
  return { predicateType: `https://slsa.dev/provenance/${version}`, predicate, file };
}

interface CommonFacts {
  readonly configSource: { readonly uri?: string; readonly digest?: Material["digest"] };
  readonly parameters: object;
  readonly materials: readonly Material[];
  readonly buildConfig: object | undefined;
  readonly metadata: object;
  readonly platform: string;
  readonly isComplete: { readonly parameters: boolean; readonly materials: boolean };
  readonly isHermetic: boolean;
}

function commonFacts(facts: ProvenanceFacts, { mode }: ProvenanceRequest): CommonFacts {
  const operations = operationsOf(facts.target);
  const materials = materialsOf(facts, operations);
  const locals = localsOf(facts, operations);
  const isSecretive = (name: string) => name.startsWith("build-arg:") || name.startsWith("label:");
  const options = Object.entries(facts.options);
  const args = mode === "max" ? options : options.filter(([name]) => !isSecretive(name));
  const { context } = facts;
  const hasNetwork = operations.some((each) => each.kind === "run" && each.network !== "none");
  return {
    configSource: context === undefined ? {} : { uri: context.uri, digest: context.digest },
    parameters: {
      frontend: "dockerfile.v0",
      ...(args.length === 0 ? {} : { args: Object.fromEntries(args) }),
      ...(mode === "max" ? grantsOf(operations) : {}),
      ...(locals.length === 0 ? {} : { locals: locals.map((name) => ({ name })) }),
    },
    materials,
    ...(mode === "max" ? maxFacts(facts) : { buildConfig: undefined, metadata: {} }),
    platform: formatPlatform(normalizePlatform(facts.builder)),
    isComplete: { parameters: args.length === options.length, materials: locals.length === 0 },
    isHermetic: locals.length === 0 && !hasNetwork,
  };
}

function materialsOf({ context, fetched }: ProvenanceFacts, operations: readonly Operation[]): Material[] {
  const all = operations.flatMap((operation): Material[] => {
    if (operation.kind !== "image") return [...fetched(operation)];
    const { image, reference, platform } = operation;
    const uri = imageUrl(parseReference(reference), platform);
    return [{ uri, digest: { sha256: image.digest.slice("sha256:".length) } }];
  });
  const known = new Map(
    [...all, ...(context === undefined ? [] : [context])].map((each) => [each.uri, each]),
  );
  return [...known.values()];
}

/** What came from the client's own disk, which nobody can look up. */
function localsOf({ context }: ProvenanceFacts, operations: readonly Operation[]): string[] {
  const names = operations.flatMap((operation) => (operation.kind === "context" ? [operation.name] : []));
  const isLocal = (name: string) => name !== "" || context === undefined;
  const used = names.filter(isLocal).map((name) => (name === "" ? "context" : name));
  return [...new Set([...used, ...(context === undefined ? ["dockerfile"] : [])])].sort();
}

/** Which secrets and agents steps have asked for: their ids, never more. */
function grantsOf(operations: readonly Operation[]): object {
  const mounts = operations.flatMap((operation) => (operation.kind === "run" ? operation.mounts : []));
  const granted = (wanted: "secret" | "ssh") => {
    const found = mounts.filter(({ type }) => type === wanted);
    const list = found.map(({ id, required }) => ({ id, ...(required ? {} : { optional: true }) }));
    return [...new Map(list.map((each) => [each.id, each])).values()];
  };
  const [secrets, ssh] = [granted("secret"), granted("ssh")];
  return { ...(secrets.length === 0 ? {} : { secrets }), ...(ssh.length === 0 ? {} : { ssh }) };
}

function maxFacts({
  target,
  ranges,
  dockerfile,
  layersOf,
}: ProvenanceFacts): Pick<CommonFacts, "buildConfig" | "metadata"> {
  const built = buildSteps(target);
  const layers = [...built.idOf].flatMap(([operation, id]) => {
    const descriptors = layersOf(operation);
    return descriptors === undefined ? [] : [[`${id}:0`, [descriptors]] as const];
  });
  const info = {
    filename: dockerfile.name,
    language: "Dockerfile",
    data: Buffer.from(dockerfile.text).toString("base64"),
  };
  return {
    buildConfig: {
      llbDefinition: built.steps,
      digestMapping: Object.fromEntries([...built.idOf].map(([{ digest }, id]) => [`sha256:${digest}`, id])),
    },
    metadata: {
      source: { locations: locationsOf(built, ranges), infos: [info] },
      ...(layers.length === 0 ? {} : { layers: Object.fromEntries(layers) }),
    },
  };
}

function versionOne(common: CommonFacts, facts: ProvenanceFacts, request: ProvenanceRequest): object {
  const { configSource, parameters, materials, buildConfig, metadata, platform, isComplete } = common;
  return {
    buildDefinition: {
      buildType: "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
      externalParameters: {
        configSource: { ...configSource, path: facts.dockerfile.path },
        request: parameters,
      },
      internalParameters: {
        ...(buildConfig === undefined ? {} : { buildConfig }),
        builderPlatform: platform,
        targetPlatform: formatPlatform(normalizePlatform(facts.platform)),
      },
      ...(materials.length === 0 ? {} : { resolvedDependencies: materials }),
    },
    runDetails: {
      builder: { id: request.builderId },
      metadata: {
        invocationId: facts.invocationId,
        startedOn: new Date(facts.startedAt).toISOString(),
        finishedOn: new Date(facts.finishedAt).toISOString(),
        buildkit_metadata: metadata,
        ...(common.isHermetic ? { buildkit_hermetic: true } : {}),
        buildkit_completeness: {
          request: isComplete.parameters,
          resolvedDependencies: isComplete.materials,
        },
        ...(request.reproducible ? { buildkit_reproducible: true } : {}),
      },
    },
  };
}

const extension = "https://mobyproject.org/buildkit@v1";

function versionZeroTwo(common: CommonFacts, facts: ProvenanceFacts, request: ProvenanceRequest): object {
  const { configSource, parameters, materials, buildConfig, metadata, platform, isComplete } = common;
  return {
    builder: { id: request.builderId },
    buildType: extension,
    ...(materials.length === 0 ? {} : { materials }),
    invocation: {
      configSource: { ...configSource, entryPoint: facts.dockerfile.path },
      parameters,
      environment: { platform },
    },
    ...(buildConfig === undefined ? {} : { buildConfig }),
    metadata: {
      buildInvocationID: facts.invocationId,
      buildStartedOn: new Date(facts.startedAt).toISOString(),
      buildFinishedOn: new Date(facts.finishedAt).toISOString(),
      completeness: {
        parameters: isComplete.parameters,
        environment: true,
        materials: isComplete.materials,
      },
      reproducible: request.reproducible,
      ...(common.isHermetic ? { [`${extension}#hermetic`]: true } : {}),
      [`${extension}#metadata`]: metadata,
    },
  };
}
