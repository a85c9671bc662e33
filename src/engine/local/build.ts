/**
 * `build`: a context and a Dockerfile become an image. The Dockerfile is analysed into a graph, the graph is solved,
 * and what came out goes where the request says.
 */

import { removeLost } from "../../build/cache/lost.ts";
import { CacheBroken } from "../../build/cache/remote/broken.ts";
import type { RemoteCaches } from "../../build/cache/remote/import.ts";
import { contextTree, type OpenContext, openContextDirectory } from "../../build/context/open.ts";
import { DockerfileError } from "../../build/dockerfile/errors.ts";
import { excerpt } from "../../build/dockerfile/excerpt.ts";
import { Source } from "../../build/dockerfile/source.ts";
import type { BuildPlan, FilesFrom } from "../../build/dockerfile/stages/model.ts";
import { eventsOf } from "../../build/event-queue.ts";
import type { BuildEvent } from "../../build/events.ts";
import { GraphBuilder, type LocalImage } from "../../build/graph/operations.ts";
import { translate } from "../../build/graph/translate.ts";
import { planOf, type ReadDockerfile, readDockerfile, warningsOf } from "../../build/prepare.ts";
import type { BuildRooms } from "../../build/rooms.ts";
import { Progress } from "../../build/solver/progress.ts";
import { Solver } from "../../build/solver/solve.ts";
import { InvalidParameter, messageOf, NotFound } from "../../core/errors.ts";
import { repairImages } from "../../images/collect.ts";
import type { IngestSession } from "../../images/content.ts";
import type { Platform } from "../../images/manifest.ts";
import { hostPlatform } from "../../images/platform.ts";
import { canonicalForm, parseReference, type Reference, withDefaultTag } from "../../images/references.ts";
import type { BuildContext, BuildRequest } from "../build.ts";
import type { Attester, AttestState } from "./build-attest.ts";
import { type BuildImages, buildImages } from "./build-images.ts";
import { openNotebook } from "./build-notebook.ts";
import {
  allWarnings,
  checkOutputs,
  type PlatformGraph,
  type PlatformPlan,
  type PlatformResult,
  platformsOf,
} from "./build-platforms.ts";
import { roomsOf } from "./build-rooms.ts";
import type { Local } from "./local.ts";

/**
 * @throws DockerfileError for a Dockerfile that cannot be built; StepFailure for a step that failed; what a registry
 *   says. Then no image was made; steps that were done stay in the cache.
 */
export function build(
  local: Local,
  request: BuildRequest,
  options: { signal?: AbortSignal } = {},
): AsyncGenerator<BuildEvent> {
  return eventsOf(async (tell, signal) => {
    const names = (request.names ?? []).map(nameOf);
    const rooms = roomsOf(local);
    await repairImages(local);
    await removeLost(rooms);
    using session = local.content.openSession();
    const running = new Build(rooms, local, request, {
      names,
      session,
      progress: new Progress(tell),
      signal,
    });
    await running.run();
  }, options.signal);
}

/** @throws InvalidParameter `invalid tag "x": invalid reference format` */
function nameOf(text: string): Reference {
  try {
    const name = withDefaultTag(parseReference(text));
    if (name.digest !== undefined) throw new InvalidParameter("a digest cannot be given to what is built");
    return name;
  } catch (error) {
    throw new InvalidParameter(`invalid tag ${JSON.stringify(text)}: ${messageOf(error)}`, { cause: error });
  }
}

interface SolveParts {
  readonly file: ReadDockerfile;
  readonly main: OpenContext;
  readonly opened: AsyncDisposableStack;
  readonly graphs: readonly PlatformGraph[];
  readonly first: BuildPlan;
}

interface BuildState {
  readonly names: readonly Reference[];
  readonly session: IngestSession;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

class Build {
  readonly #rooms: BuildRooms;
  readonly #local: Local;
  readonly #request: BuildRequest;
  readonly #with: BuildState;
  readonly #platforms: readonly [Platform, ...Platform[]];
  readonly #startedAt = Date.now();

  constructor(rooms: BuildRooms, local: Local, request: BuildRequest, state: BuildState) {
    this.#rooms = rooms;
    this.#local = local;
    this.#request = request;
    this.#with = state;
    this.#platforms = platformsOf(request);
    checkOutputs(request, this.#platforms);
  }

  async run(): Promise<void> {
    const { progress, session, signal } = this.#with;
    await using opened = new AsyncDisposableStack();
    const main = opened.use(await this.#fetched(this.#request.context));
    const file = readDockerfile(this.#request.dockerfile, main, progress);
    const images = buildImages(this.#local, {
      progress,
      session,
      pull: this.#request.pull === true,
      credentials: this.#request.credentials,
      namesPlatforms: this.#platforms.length > 1,
      signal,
    });
    const plans = await this.#plans(file, images);
    const [{ plan: first }] = plans;
    for (const warning of warningsOf(allWarnings(plans), file)) progress.tell({ kind: "warning", warning });
    if (this.#request.check === true) return;
    const graphs = await this.#graphs(plans, images);
    const parts = { file, main, opened, graphs, first };
    const { cacheFrom = [] } = this.#request;
    if (cacheFrom.length === 0) {
      await this.#solve(parts);
      return;
    }
    const { withCaches } = await import("./build-caches.ts");
    const places = { platforms: this.#platforms, rooms: this.#rooms, session };
    await withCaches(cacheFrom, places, this.#cacheContext, (elsewhere) => this.#solve(parts, elsewhere));
  }

  get #cacheContext() {
    const { progress, signal } = this.#with;
    return { local: this.#local, progress, credentials: this.#request.credentials, signal };
  }

  /** Makes what the graphs describe, and exports it. @param elsewhere caches besides the one here */
  async #solve({ file, main, opened, graphs, first }: SolveParts, elsewhere?: RemoteCaches): Promise<void> {
    const { progress, session, signal } = this.#with;
    using notebook = openNotebook(this.#rooms.state, this.#request);
    await using solver = new Solver(this.#rooms, {
      progress,
      session,
      openContext: async (name, vertex) => {
        const context = name === "" ? main : opened.use(await this.#named(name));
        vertex.status("transferring context")();
        return contextTree(context, name === "" ? file.ignore : undefined, this.#rooms.instance.dataRoot);
      },
      secrets: new Map((this.#request.secrets ?? []).map(({ id, content }) => [id, content])),
      agents: await this.#agents(opened),
      proxy: first.proxy,
      limits: {
        shmSize: this.#request.shmSize,
        ulimits: this.#request.ulimits,
        cgroupParent: this.#request.cgroupParent,
      },
      epoch: this.#epoch(first),
      ...(elsewhere === undefined ? {} : { elsewhere }),
      notebook,
      isThorough: (this.#request.cacheTo ?? []).some(
        (target) => target.kind !== "inline" && target.mode === "max",
      ),
      signal,
    });
    let results: PlatformResult[];
    try {
      results = await Promise.all(
        graphs.map(async ({ platform, plan, graph }) => {
          return { platform, plan, graph, root: await solver.root(graph.target) };
        }),
      );
    } catch (error) {
      // A cache that is broken is no failure of the step that wanted something of it.
      if (!(error instanceof CacheBroken)) this.#tellFailure(file, solver, graphs);
      throw error;
    }
    solver.tellSkipped();
    const { exportResults } = await import("./build-export.ts");
    const exporting = { local: this.#local, rooms: this.#rooms, request: this.#request, ...this.#with };
    const attester = await this.#attester({ file, context: main.material, results, solver });
    await exportResults(results, { ...exporting, attester, epoch: this.#epoch(first) });
    await this.#exportCaches(results, solver);
  }

  /** Sockets of agents by id. Those of the build's own end with it. */
  async #agents(opened: AsyncDisposableStack): Promise<Map<string, string>> {
    const sockets = new Map<string, string>();
    for (const agent of this.#request.ssh ?? []) {
      if ("socket" in agent) sockets.set(agent.id, agent.socket);
      else {
        const { startAgent } = await import("../../build/steps/ssh-agent.ts");
        sockets.set(agent.id, opened.use(await startAgent(this.#rooms, agent.keys)).socket);
      }
    }
    return sockets;
  }

  async #attester(
    about: Pick<AttestState, "file" | "context" | "results" | "solver">,
  ): Promise<Attester | undefined> {
    if (this.#request.attestations === undefined) return undefined;
    const { attester } = await import("./build-attest.ts");
    const [rooms, request, startedAt] = [this.#rooms, this.#request, this.#startedAt];
    return attester({ ...about, ...this.#with, rooms, request, startedAt });
  }

  async #exportCaches(results: readonly PlatformResult[], solver: Solver): Promise<void> {
    const targets = (this.#request.cacheTo ?? []).filter(({ kind }) => kind !== "inline");
    if (targets.length === 0) return;
    const { exportCaches } = await import("./build-caches.ts");
    const made = {
      results: results.map(({ root }) => root),
      all: [...(await solver.results()).values()],
      rooms: this.#rooms,
      session: this.#with.session,
    };
    await exportCaches(targets, made, this.#cacheContext);
  }

  #tellFailure(file: ReadDockerfile, { failed }: Solver, graphs: readonly PlatformGraph[]): void {
    if (failed === undefined) return;
    const { digest } = failed.operation;
    const range = graphs.map(({ graph }) => graph.ranges.get(digest)).find((each) => each !== undefined);
    if (range === undefined) return;
    const shown = excerpt(new Source(file.name, file.text), range);
    this.#with.progress.tell({ kind: "failure", vertex: failed.vertex.number, excerpt: shown });
  }

  /** What the Dockerfile comes to on each platform. @throws DockerfileError */
  async #plans(file: ReadDockerfile, images: BuildImages): Promise<[PlatformPlan, ...PlatformPlan[]]> {
    const plan = async (platform: Platform) => ({
      platform,
      plan: await planOf(file, {
        buildArguments: this.#request.buildArguments ?? {},
        target: this.#request.target,
        platform,
        buildPlatform: hostPlatform(),
        contexts: new Set(Object.keys(this.#request.namedContexts ?? {})),
        resolveImage: images.resolve,
        allStages: this.#request.check === true && this.#request.target === undefined,
      }),
    });
    const [first, ...others] = this.#platforms;
    try {
      return await Promise.all([plan(first), ...others.map(plan)]);
    } catch (error) {
      if (error instanceof DockerfileError) {
        this.#with.progress.tell({ kind: "failure", excerpt: excerptOf(error) });
      }
      throw error;
    }
  }

  /** One builder for all of them: what is the same on two platforms is one operation, and is done once. */
  async #graphs(plans: readonly PlatformPlan[], images: BuildImages): Promise<PlatformGraph[]> {
    const builder = new GraphBuilder();
    const graphs: PlatformGraph[] = [];
    for (const { platform, plan } of plans) {
      const imageContexts = await this.#imageContexts(plan, platform, images);
      const graph = translate(plan, {
        imageOf: images.imageOf,
        imageContext: (name) => imageContexts.get(name),
        noCache: this.#request.noCache === true,
        noCacheFilter: this.#request.noCacheFilter ?? [],
        network: this.#request.network ?? "default",
        extraHosts: this.#request.extraHosts ?? [],
        entitlements: this.#request.entitlements ?? [],
        devices: (name) => {
          const cdi: typeof import("../../build/steps/cdi.ts") = require("../../build/steps/cdi.ts");
          return cdi.devicesNamed(name, cdi.cdiDevices());
        },
        platforms: { target: platform, areSeveral: plans.length > 1 },
        builder,
      });
      graphs.push({ platform, plan, graph });
    }
    return graphs;
  }

  /** The images that `--build-context name=docker-image://…` names, as far as the plan has use for them. */
  async #imageContexts(
    plan: BuildPlan,
    platform: Platform,
    images: BuildImages,
  ): Promise<Map<string, { reference: string; image: LocalImage }>> {
    const found = new Map<string, { reference: string; image: LocalImage }>();
    const used = contextsOf(plan);
    for (const [name, context] of Object.entries(this.#request.namedContexts ?? {})) {
      if (context.kind !== "image" || !used.has(name)) continue;
      const base = await images.resolve(
        canonicalForm(withDefaultTag(parseReference(context.reference))),
        platform,
      );
      found.set(name, { reference: base.reference, image: images.imageOf(base) });
    }
    return found;
  }

  /** @throws NotFound for a name that was not given */
  async #named(name: string): Promise<OpenContext> {
    const context = this.#request.namedContexts?.[name];
    if (context?.kind === "directory") return openContextDirectory(context.path);
    if (context?.kind === "git") return this.#fetched({ kind: "git", url: context.url });
    throw new NotFound(`build context ${name} was not given`);
  }

  /** A context that is fetched, or unpacked, into a directory of its own. */
  async #fetched(context: BuildContext): Promise<OpenContext> {
    const { dataRoot } = this.#rooms.instance;
    const { signal } = this.#with;
    if (context.kind === "directory") return openContextDirectory(context.path);
    const { emptyContext, gitContext, tarContext } = await import("../../build/context/fetched.ts");
    switch (context.kind) {
      case "tar":
        return tarContext(dataRoot, context.stream, { searchPath: this.#rooms.searchPath, signal });
      case "git":
        return gitContext(dataRoot, context.url, { searchPath: this.#rooms.searchPath, signal });
      case "empty":
        return emptyContext(dataRoot);
    }
  }

  /** @throws InvalidParameter */
  #epoch({ sourceDateEpoch }: BuildPlan): bigint | undefined {
    const text = sourceDateEpoch ?? String(this.#request.sourceDateEpoch ?? "");
    if (text === "") return undefined;
    if (!/^\d{1,11}$/.test(text)) throw new InvalidParameter(`invalid SOURCE_DATE_EPOCH: ${text}`);
    return BigInt(text) * 1_000_000_000n;
  }
}

function excerptOf(error: DockerfileError): string {
  return error.render().slice(0, -error.message.length);
}

/** Names of contexts that a stage stands on or takes files from. */
function contextsOf({ stages }: BuildPlan): Set<string> {
  const names = new Set<string>();
  const note = (from: FilesFrom) => {
    if (from.kind === "context") names.add(from.name);
  };
  for (const { base, steps } of stages) {
    note(base);
    for (const step of steps) {
      if (step.kind === "files") note(step.from);
      if (step.kind === "run") for (const { files } of step.mounts) note(files);
    }
  }
  return names;
}
