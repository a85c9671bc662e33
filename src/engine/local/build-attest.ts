/** What a build attests of its images: provenance, and what a scanner finds in them. */
import { attestationManifest } from "../../build/attestations/manifest.ts";
import { provenance } from "../../build/attestations/provenance.ts";
import type { Predicate, SbomScanner } from "../../build/attestations/request.ts";
import type { Material } from "../../build/context/material.ts";
import type { Operation } from "../../build/graph/operations.ts";
import type { Attest, Attestation, BuildImage } from "../../build/output/image-index.ts";
import type { ReadDockerfile } from "../../build/prepare.ts";
import type { BuildRooms } from "../../build/rooms.ts";
import type { Solver } from "../../build/solver/solve.ts";
import { mountAside } from "../../build/steps/layer.ts";
import type { Root } from "../../build/steps/root.ts";
import { randomId } from "../../core/ids.ts";
import type { IngestSession } from "../../images/content.ts";
import type { Descriptor } from "../../images/manifest.ts";
import { hostPlatform } from "../../images/platform.ts";
import type { Reference } from "../../images/references.ts";
import type { BuildRequest } from "../build.ts";
import type { PlatformResult } from "./build-platforms.ts";

export interface AttestState {
  readonly rooms: BuildRooms;
  readonly request: BuildRequest;
  readonly file: ReadDockerfile;
  readonly context: Material | undefined;
  readonly results: readonly PlatformResult[];
  readonly solver: Pick<Solver, "materials" | "results">;
  readonly names: readonly Reference[];
  readonly session: IngestSession;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly signal: AbortSignal;
}

export interface Attester {
  /** What is said of the images, in whatever form they go out. */
  readonly attest: Attest;
  /** What is said of the files of a result where they go out as such. @param at the result's place */
  readonly ofFiles: (at: number) => Promise<readonly Predicate[]>;
}

/** Scans each result once. */
export function attester(state: AttestState): Attester {
  const finishedAt = Date.now();
  const invocationId = randomId().slice(0, 25);
  const scanned = new Map<number, Promise<readonly Predicate[]>>();
  const { provenance: wanted } = state.request.attestations ?? {};
  const billsOf = (result: PlatformResult, at: number) => {
    const bills = scanned.get(at) ?? scan(result, state);
    scanned.set(at, bills);
    return bills;
  };
  const factsAt = (result: PlatformResult, layersOf: LayersOf) => ({
    ...factsOf(result, state),
    layersOf,
    invocationId,
    finishedAt,
  });
  const ofImage = async (image: BuildImage, at: number): Promise<Attestation[]> => {
    const result = state.results[at];
    if (result === undefined) return [];
    const predicates = [...(await billsOf(result, at))];
    if (wanted !== undefined) {
      const layersOf = await stepLayers(image, result.root, state.solver);
      predicates.push(provenance(factsAt(result, layersOf), wanted));
    }
    if (predicates.length === 0) return [];
    return [await attestationManifest(image, predicates, state)];
  };
  return {
    attest: async (images) => (await Promise.all(images.map(ofImage))).flat(),
    ofFiles: async (at) => {
      const result = state.results[at];
      if (result === undefined) return [];
      const bills = await billsOf(result, at);
      if (wanted === undefined || wanted.isInlineOnly === true) return bills;
      return [...bills, provenance(factsAt(result, noLayers), wanted)];
    },
  };
}

type LayersOf = (operation: Operation) => readonly Descriptor[] | undefined;

const noLayers: LayersOf = () => undefined;

function factsOf(
  { graph, platform }: PlatformResult,
  { request, file, context, solver, startedAt }: AttestState,
) {
  return {
    target: graph.target,
    platform,
    ranges: graph.ranges,
    dockerfile: { name: file.name, path: pathOf(request, file), text: file.text },
    context,
    options: optionsOf(request),
    fetched: (operation: Operation) => solver.materials.get(operation) ?? [],
    builder: hostPlatform(),
    startedAt,
  };
}

function pathOf({ dockerfile }: BuildRequest, { name }: ReadDockerfile): string {
  return dockerfile.kind === "in-context" ? dockerfile.path : name;
}

/** Of the request what decides over the result, in BuildKit's words. */
function optionsOf(request: BuildRequest): Record<string, string> {
  const options: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.buildArguments ?? {}))
    options[`build-arg:${name}`] = value;
  for (const [name, value] of Object.entries(request.labels ?? {})) options[`label:${name}`] = value;
  for (const [name, context] of Object.entries(request.namedContexts ?? {})) {
    options[`context:${name}`] =
      context.kind === "image" ? `docker-image://${context.reference}` : `local:${name}`;
  }
  if (request.target !== undefined) options.target = request.target;
  if (request.noCache === true) options["no-cache"] = "";
  else if ((request.noCacheFilter ?? []).length > 0)
    options["no-cache"] = request.noCacheFilter?.join(",") ?? "";
  if (request.network !== undefined && request.network !== "default") {
    options["force-network-mode"] = request.network;
  }
  const [host] = request.extraHosts ?? [];
  if (host !== undefined) options["add-hosts"] = (request.extraHosts ?? []).join(",");
  return options;
}

/** The layers of steps that the image stands on, as its manifest has them. */
async function stepLayers(
  { image }: BuildImage,
  target: Root,
  solver: Pick<Solver, "results">,
): Promise<LayersOf> {
  const { layers } = (await image.manifest()).value;
  const results: ReadonlyMap<Operation, Root> = await solver.results();
  return (operation) => {
    const made = results.get(operation)?.layers;
    const isPart = made?.every((layer, at) => isSame(layer, target.layers[at]));
    return made === undefined || made.length === 0 || isPart !== true
      ? undefined
      : layers.slice(0, made.length);
  };
}

function isSame(one: Root["layers"][number], other: Root["layers"][number] | undefined): boolean {
  if (one.kind === "result" && other?.kind === "result") return one.id === other.id;
  if (one.kind === "image" && other?.kind === "image") return one.chainId === other.chainId;
  return one === other;
}

async function scan(
  { root, platform }: PlatformResult,
  { rooms, request, signal }: AttestState,
): Promise<readonly Predicate[]> {
  const scanner: SbomScanner | undefined = request.attestations?.sbom?.scanner;
  if (scanner === undefined) return [];
  await using aside = await mountAside(rooms, root);
  return scanner.scan({ root: aside.path, platform, signal });
}
