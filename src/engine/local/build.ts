/**
 * `build`: a context and a Dockerfile become an image. The Dockerfile is analysed into a graph, the graph is solved,
 * and what came out goes where the request says.
 */

import { removeLost } from "../../build/cache/lost.ts";
import { contextTree, type OpenContext, openContextDirectory } from "../../build/context/open.ts";
import { DockerfileError } from "../../build/dockerfile/errors.ts";
import { excerpt } from "../../build/dockerfile/excerpt.ts";
import { Source } from "../../build/dockerfile/source.ts";
import type { BuildPlan, FilesFrom } from "../../build/dockerfile/stages/model.ts";
import { eventsOf } from "../../build/event-queue.ts";
import type { BuildEvent } from "../../build/events.ts";
import type { LocalImage } from "../../build/graph/operations.ts";
import { type Graph, translate } from "../../build/graph/translate.ts";
import { exportDirectory, exportTar } from "../../build/output/files.ts";
import { composeImage } from "../../build/output/image.ts";
import { writeLayers } from "../../build/output/layers.ts";
import { storeImage } from "../../build/output/store.ts";
import { planOf, type ReadDockerfile, readDockerfile, warningsOf } from "../../build/prepare.ts";
import type { BuildRooms } from "../../build/rooms.ts";
import { Progress } from "../../build/solver/progress.ts";
import { Solver } from "../../build/solver/solve.ts";
import type { Root } from "../../build/steps/root.ts";
import { InvalidParameter, messageOf, NotFound } from "../../core/errors.ts";
import { archiveBytes } from "../../images/archives/archive-writer.ts";
import { repairImages } from "../../images/collect.ts";
import type { IngestSession } from "../../images/content.ts";
import { type Image, idOf } from "../../images/image.ts";
import { hostPlatform, parsePlatform } from "../../images/platform.ts";
import {
  canonicalForm,
  familiarForm,
  parseReference,
  type Reference,
  withDefaultTag,
} from "../../images/references.ts";
import type { BuildContext, BuildOutput, BuildRequest } from "../build.ts";
import { type BuildImages, buildImages } from "./build-images.ts";
import { roomsOf } from "./build-rooms.ts";
import type { Local } from "./local.ts";
import { spawnInternal } from "./restart-policy.ts";

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

  constructor(rooms: BuildRooms, local: Local, request: BuildRequest, state: BuildState) {
    this.#rooms = rooms;
    this.#local = local;
    this.#request = request;
    this.#with = state;
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
      signal,
    });
    const plan = await this.#plan(file, images).catch((error: unknown) => {
      if (error instanceof DockerfileError) progress.tell({ kind: "failure", excerpt: excerptOf(error) });
      throw error;
    });
    for (const warning of warningsOf(plan, file)) progress.tell({ kind: "warning", warning });
    if (this.#request.check === true) return;
    const imageContexts = await this.#imageContexts(plan, images);
    const graph = translate(plan, {
      imageOf: images.imageOf,
      imageContext: (name) => imageContexts.get(name),
      noCache: this.#request.noCache === true,
      noCacheFilter: this.#request.noCacheFilter ?? [],
      network: this.#request.network ?? "default",
      extraHosts: this.#request.extraHosts ?? [],
      entitlements: this.#request.entitlements ?? [],
      platform: this.#platform,
    });
    await using solver = new Solver(this.#rooms, {
      progress,
      session,
      openContext: async (name, vertex) => {
        const context = name === "" ? main : opened.use(await this.#named(name));
        vertex.status("transferring context")();
        return contextTree(context, name === "" ? file.ignore : undefined, this.#rooms.instance.dataRoot);
      },
      secrets: new Map((this.#request.secrets ?? []).map(({ id, content }) => [id, content])),
      agents: new Map((this.#request.ssh ?? []).map(({ id, socket }) => [id, socket])),
      proxy: plan.proxy,
      limits: {
        shmSize: this.#request.shmSize,
        ulimits: this.#request.ulimits,
        cgroupParent: this.#request.cgroupParent,
      },
      epoch: this.#epoch(plan),
      signal,
    });
    let root: Root;
    try {
      root = await solver.root(graph.target);
    } catch (error) {
      this.#tellFailure(file, solver, graph);
      throw error;
    }
    await this.#export(plan, root);
  }

  #tellFailure(file: ReadDockerfile, { failed }: Solver, { ranges }: Graph): void {
    const range = failed === undefined ? undefined : ranges.get(failed.operation.digest);
    if (failed === undefined || range === undefined) return;
    const shown = excerpt(new Source(file.name, file.text), range);
    this.#with.progress.tell({ kind: "failure", vertex: failed.vertex.number, excerpt: shown });
  }

  get #platform() {
    return this.#request.platform ? parsePlatform(this.#request.platform) : hostPlatform();
  }

  #plan(file: ReadDockerfile, images: BuildImages): Promise<BuildPlan> {
    return planOf(file, {
      buildArguments: this.#request.buildArguments ?? {},
      target: this.#request.target,
      platform: this.#platform,
      buildPlatform: hostPlatform(),
      contexts: new Set(Object.keys(this.#request.namedContexts ?? {})),
      resolveImage: images.resolve,
      allStages: this.#request.check === true && this.#request.target === undefined,
    });
  }

  /** The images that `--build-context name=docker-image://…` names, as far as the plan has use for them. */
  async #imageContexts(
    plan: BuildPlan,
    images: BuildImages,
  ): Promise<Map<string, { reference: string; image: LocalImage }>> {
    const found = new Map<string, { reference: string; image: LocalImage }>();
    const used = contextsOf(plan);
    for (const [name, context] of Object.entries(this.#request.namedContexts ?? {})) {
      if (context.kind !== "image" || !used.has(name)) continue;
      const base = await images.resolve(
        canonicalForm(withDefaultTag(parseReference(context.reference))),
        this.#platform,
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
        return tarContext(dataRoot, context.stream, signal);
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

  async #export(plan: BuildPlan, root: Root): Promise<void> {
    const { outputs } = this.#request;
    for (const output of outputs) {
      const { signal } = this.#with;
      if (output.kind === "local") {
        const work = () => exportDirectory(this.#rooms, root, output.directory, signal);
        await this.#vertex("exporting to client directory", "copying files", work);
      } else if (output.kind === "tar") {
        const work = () => exportTar(this.#rooms, root, output.write, signal);
        await this.#vertex("exporting to client tarball", "sending tarball", work);
      }
    }
    const ofImage = outputs.filter(({ kind }) => kind !== "local" && kind !== "tar");
    if (ofImage.length > 0) await this.#exportImage(plan, root, ofImage);
  }

  async #vertex(name: string, text: string, work: () => Promise<void>): Promise<void> {
    const vertex = this.#with.progress.vertex(name);
    vertex.started();
    try {
      const done = vertex.status(text);
      await work();
      done();
      vertex.finished();
    } catch (error) {
      vertex.finished(messageOf(error));
      throw error;
    }
  }

  async #exportImage(plan: BuildPlan, root: Root, outputs: readonly BuildOutput[]): Promise<void> {
    const { progress, names, session, signal } = this.#with;
    const vertex = progress.vertex("exporting to image");
    vertex.started();
    let image: Image;
    try {
      const written = vertex.status("exporting layers");
      const layers = await writeLayers(this.#rooms, session, root, signal);
      image = await composeImage({
        stage: plan.target.image,
        layers,
        created: root.fileTime,
        labels: this.#request.labels ?? {},
        annotations: this.#request.annotations ?? {},
      });
      written();
      for (const output of outputs) {
        if (output.kind !== "archive") continue;
        const sending = vertex.status("sending tarball");
        const named = { image, names, parent: undefined };
        const archive = archiveBytes([named], { docker: output.format === "docker", signal });
        for await (const chunk of archive) await output.write(chunk);
        sending();
      }
      if (outputs.some(({ kind }) => kind !== "archive")) {
        const storing = vertex.status(`writing image ${idOf(image)}`);
        const isSafe = await storeImage(this.#rooms, session, { image, layers, names, signal });
        if (!isSafe) spawnInternal(this.#local, "settle");
        storing();
        for (const name of names) vertex.status(`naming to ${canonicalForm(name)}`)();
      }
      vertex.finished();
    } catch (error) {
      vertex.finished(messageOf(error));
      throw error;
    }
    if (outputs.some(({ kind }) => kind === "push")) await this.#push();
    await this.#tellResult(image);
  }

  /** @throws InvalidParameter when there is no name */
  async #push(): Promise<void> {
    const { names, signal } = this.#with;
    if (names.length === 0) throw new InvalidParameter("tag is needed when pushing to registry");
    const { push } = await import("./push.ts");
    for (const name of names) {
      await this.#vertex(`pushing ${canonicalForm(name)}`, `pushing layers`, async () => {
        const auth = await this.#request.credentials?.(name.domain);
        const messages = push(this.#local, canonicalForm(name), {
          signal,
          ...(auth === undefined ? {} : { auth }),
        });
        for await (const message of messages) {
          if (message.error !== undefined) throw new InvalidParameter(message.error);
        }
      });
    }
  }

  async #tellResult(image: Image): Promise<void> {
    const { progress, names } = this.#with;
    const manifest = await image.manifest();
    progress.tell({
      kind: "result",
      result: { imageId: idOf(image), manifestDigest: manifest.digest, names: names.map(familiarForm) },
    });
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
