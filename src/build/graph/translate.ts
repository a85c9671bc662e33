/** From the stages of a Dockerfile to operations. Stages that the target does not need do not appear. */
import { InvalidParameter } from "../../core/errors.ts";
import type { Platform } from "../../images/manifest.ts";
import type { Range } from "../dockerfile/source.ts";
import type {
  BaseImage,
  BuildPlan,
  FilesFrom,
  FilesStep,
  RunStep,
  Stage,
  StageBase,
  Step,
} from "../dockerfile/stages/model.ts";
import type { CdiDevice } from "../steps/cdi.ts";
import {
  type ContextOperation,
  type DirectoryOperation,
  type FilesOperation,
  GraphBuilder,
  type ImageOperation,
  type LocalImage,
  type Operation,
  type OperationMount,
  type RunOperation,
  type ScratchOperation,
} from "./operations.ts";
import { stepLabel, type TitledPlatforms } from "./titles.ts";

export interface TranslateOptions {
  /** The image that the front end was told of. */
  readonly imageOf: (image: BaseImage) => LocalImage;
  /** The image that `--build-context name=docker-image://…` names; undefined for one that is a directory. */
  readonly imageContext: (name: string) => { reference: string; image: LocalImage } | undefined;
  readonly noCache: boolean;
  readonly noCacheFilter: readonly string[];
  /** Of RUN steps that say nothing. */
  readonly network: "default" | "none" | "host";
  readonly extraHosts: readonly string[];
  readonly entitlements: readonly string[];
  /** Those that RUN steps may ask for. */
  readonly devices: (name: string) => readonly CdiDevice[];
  readonly platforms: TitledPlatforms;
  /** Shared by the graphs of one build for several platforms: what two of them say alike is done once. */
  readonly builder?: GraphBuilder;
}

export interface Graph {
  readonly target: Operation;
  /** Of each stage, in the order of the plan. */
  readonly stages: readonly Operation[];
  /** Where operations are written, by their digests. */
  readonly ranges: ReadonlyMap<string, Range>;
}

/** @throws InvalidParameter for what was not allowed. */
export function translate(plan: BuildPlan, options: TranslateOptions): Graph {
  const translation = new Translation(options);
  const stages = plan.stages.map((stage) => translation.stage(stage));
  return { target: translation.stage(plan.target), stages, ranges: translation.ranges };
}

class Translation {
  readonly #options: TranslateOptions;
  readonly #graph: GraphBuilder;
  readonly #stages = new Map<Stage, Operation>();
  readonly ranges = new Map<string, Range>();

  constructor(options: TranslateOptions) {
    this.#options = options;
    this.#graph = options.builder ?? new GraphBuilder();
  }

  stage(stage: Stage): Operation {
    const known = this.#stages.get(stage);
    if (known !== undefined) return known;
    const { noCache, noCacheFilter } = this.#options;
    const ignoreCache =
      noCache || noCacheFilter.some((name) => name.toLowerCase() === stage.name.toLowerCase());
    const isLayer = ({ kind }: Step) => kind !== "config";
    const named = stage.base.kind === "image" || stage.base.kind === "context" ? 1 : 0;
    const total = named + stage.steps.filter(isLayer).length;
    const label = (at: number, step?: Step) =>
      stepLabel(stage, { at, total }, this.#options.platforms, step?.environment);
    let result = this.#base(stage.base, `${label(1)} FROM `, stage.platform);
    let at = named;
    for (const step of stage.steps) {
      if (isLayer(step)) at += 1;
      result = this.#step(step, result, `${label(at, step)} ${step.title}`, { stage, ignoreCache });
      if (isLayer(step) && !this.ranges.has(result.digest)) this.ranges.set(result.digest, step.range);
    }
    this.#stages.set(stage, result);
    return result;
  }

  #base(base: StageBase, title: string, platform: Platform): Operation {
    switch (base.kind) {
      case "scratch":
        return this.#scratch();
      case "stage":
        return this.stage(base.stage);
      case "image":
        return this.#image(base.image.reference, this.#options.imageOf(base.image), title, base.platform);
      case "context":
        return this.#namedContext(base.name, title, platform);
    }
  }

  #scratch(): ScratchOperation {
    return this.#graph.add<ScratchOperation>({ kind: "scratch", title: "scratch" });
  }

  #namedContext(name: string, title: string, platform: Platform): Operation {
    const found = this.#options.imageContext(name);
    if (found === undefined) return this.#context(name);
    return this.#image(found.reference, found.image, title, platform);
  }

  #image(reference: string, image: LocalImage, title: string, platform: Platform): ImageOperation {
    return this.#graph.add<ImageOperation>({
      kind: "image",
      title: `${title}${reference}`,
      reference,
      platform,
      image,
    });
  }

  #context(name: string): ContextOperation {
    const title = name === "" ? "[internal] load build context" : `[context ${name}] load from client`;
    return this.#graph.add<ContextOperation>({ kind: "context", name, title });
  }

  #from(from: FilesFrom, platform: Platform): Operation {
    if (from.kind === "main-context") return this.#context("");
    const name = from.kind === "image" ? from.name : "";
    return this.#base(from, name === "" ? "" : "FROM ", platform);
  }

  #step(
    step: Step,
    below: Operation,
    title: string,
    { stage, ignoreCache }: { stage: Stage; ignoreCache: boolean },
  ): Operation {
    if (step.kind === "config") return below;
    // A directory as a base is copied in before anything stands on it.
    const input = below.kind === "context" ? this.#copied(below, "/", undefined) : below;
    switch (step.kind) {
      case "run":
        return this.#run(step, input, title, stage.platform, ignoreCache);
      case "directory": {
        const { path, user } = step;
        return this.#graph.add<DirectoryOperation>({
          kind: "directory",
          title,
          input,
          ignoreCache,
          path,
          user,
        });
      }
      case "files":
        return this.#files(step, input, title, stage.platform, ignoreCache);
    }
  }

  /** What of a context lies below `path`, in a root of its own. @param required what has to be there */
  #copied(from: ContextOperation, path: string, required: string | undefined): FilesOperation {
    return this.#graph.add<FilesOperation>({
      kind: "files",
      title: from.title,
      input: this.#scratch(),
      ignoreCache: false,
      from,
      sources: [{ kind: "path", path, pattern: undefined, required, unpack: false }],
      destination: path,
      chown: "",
      chmod: "",
      parents: false,
      exclude: [],
      isLinked: false,
    });
  }

  #run(
    step: RunStep,
    input: Operation,
    title: string,
    platform: Platform,
    ignoreCache: boolean,
  ): RunOperation {
    const { entitlements, extraHosts } = this.#options;
    const asked = step.network === "default" ? this.#options.network : step.network;
    if (asked === "host" && !entitlements.includes("network.host")) throw notAllowed("network.host");
    if (step.security === "insecure" && !entitlements.includes("security.insecure")) {
      throw notAllowed("security.insecure");
    }
    const devices = this.#devices(step);
    return this.#graph.add<RunOperation>({
      kind: "run",
      title,
      input,
      ignoreCache,
      arguments: step.arguments,
      environment: step.environment.list(),
      workingDirectory: step.workingDirectory,
      user: step.user,
      script: step.script,
      mounts: step.mounts.map((mount) => this.#mount(mount, platform)),
      network: asked === "default" ? "bridge" : asked,
      security: step.security,
      extraHosts,
      platform,
      ...(devices.length === 0 ? {} : { devices }),
    });
  }

  /** Names of the devices that are here: one that may be missing is left out, as in BuildKit. */
  #devices({ devices }: RunStep): string[] {
    if (devices.length === 0) return [];
    return devices.flatMap(({ name, required }) => {
      const found = this.#options.devices(name);
      if (found.length === 0 && required) {
        throw new InvalidParameter(`required device ${JSON.stringify(name)} is not registered`);
      }
      const isAllowed = this.#options.entitlements.some(
        (each) => each === "device" || each === `device=${name}`,
      );
      if (found.some((device) => !device.isAllowed) && !isAllowed) throw notAllowed("device");
      return found.map((device) => device.name);
    });
  }

  #mount(mount: RunStep["mounts"][number], platform: Platform): OperationMount {
    const { type, path, source, readOnly, size, id, required, env, mode, uid, gid, files } = mount;
    const isShown = type === "bind" || (type === "cache" && files.kind !== "scratch");
    const sharing = mount.sharing ?? "shared";
    const from = isShown ? this.#shown(files, source, platform) : undefined;
    // Files of a context are copied below their own path.
    return { type, path, source, readOnly, size, id, sharing, required, env, mode, uid, gid, from };
  }

  /** What of a context a mount shows is copied first: by that a context's owners and ignored files stay outside. */
  #shown(files: FilesFrom, source: string, platform: Platform): Operation {
    const from = this.#from(files, platform);
    return from.kind === "context" ? this.#copied(from, source, source) : from;
  }

  #files(
    step: FilesStep,
    input: Operation,
    title: string,
    platform: Platform,
    ignoreCache: boolean,
  ): FilesOperation {
    const { sources, destination, chown, chmod, parents, exclude } = step;
    const from = this.#from(step.from, platform);
    return this.#graph.add<FilesOperation>({
      kind: "files",
      title,
      input,
      ignoreCache,
      from,
      sources,
      destination,
      chown,
      chmod,
      parents,
      exclude,
      isLinked: step.link,
    });
  }
}

function notAllowed(entitlement: string): InvalidParameter {
  return new InvalidParameter(
    `${entitlement} is not allowed: granting entitlements is possible with --allow ${entitlement}`,
  );
}
