/**
 * Working containers: images that are built by hand, command by command, as Buildah has it. `from` makes one of an
 * image or of nothing; `run`, `copy` and `configure` change it; `commit` makes an image of it as it is then.
 *
 * Contract for all methods: `container` is a name, a full id or an unambiguous prefix of one. What is wrong is a
 * DavitError, `NotFound` with Buildah's words `container not known` where there is none of that name. Methods wait while
 * another process commits or removes the same container; several may run and copy side by side.
 */
import { NotImplemented } from "../core/errors.ts";
import type { RunDefaults, WorkingRecord } from "../state/working-containers.ts";
import type { CredentialSource, Engine, ProgressMessage } from "./engine.ts";

export type { RunDefaults } from "../state/working-containers.ts";

export interface WorkingSummary {
  readonly id: string;
  readonly name: string;
  /** Empty for one from scratch. */
  readonly imageId: string;
  /** Canonical; `scratch` for none. */
  readonly imageName: string;
  readonly format: "oci" | "docker";
}

/** When an image is asked for at its registry, though it may be here. */
export type PullPolicy = "always" | "newer" | "missing" | "never";

/** What reaches registries and other places. */
export interface Reach {
  readonly credentials?: CredentialSource;
  /** Registries that are not asked for a certificate. */
  readonly insecure?: readonly string[];
  /** A directory with certificates for all registries, in the place of those of the configuration. */
  readonly certificates?: string;
  readonly openDaemon?: () => Promise<Engine>;
  readonly report?: (message: ProgressMessage) => void;
  readonly signal?: AbortSignal;
}

export interface FromRequest extends Reach {
  /** A name, an id, a place (`docker-archive:file`), or `scratch`. */
  readonly image: string;
  /** Made up where it is empty. */
  readonly name: string;
  readonly pull: PullPolicy;
  readonly platform?: string;
  readonly format: "oci" | "docker";
  readonly defaults: RunDefaults;
}

/**
 * Changes of what an image says. Of the lists each entry is one change, in order: it adds; with `-` at its end it
 * takes that away; `-` alone takes all away.
 */
export interface ConfigChange {
  readonly author?: string;
  readonly architecture?: string;
  readonly os?: string;
  readonly osVersion?: string;
  readonly variant?: string;
  readonly user?: string;
  readonly stopSignal?: string;
  readonly workingDirectory?: string;
  readonly comment?: string;
  readonly hostname?: string;
  readonly domainname?: string;
  readonly createdBy?: string;
  readonly historyComment?: string;
  /** Words with quotes, or a JSON list. */
  readonly command?: string;
  /** A JSON list; else a command line for `/bin/sh -c`. */
  readonly entrypoint?: string;
  readonly shell?: string;
  readonly environment?: readonly string[];
  readonly labels?: readonly string[];
  readonly annotations?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly osFeatures?: readonly string[];
  readonly onBuild?: readonly string[];
  /** `CMD …`, `CMD-SHELL …`, `NONE`; empty to have none. */
  readonly healthcheck?: string;
  /** Nanoseconds. */
  readonly healthInterval?: number;
  readonly healthTimeout?: number;
  readonly healthStartPeriod?: number;
  readonly healthRetries?: number;
  /** Each change leaves a line in the image's history. */
  readonly addHistory?: boolean;
}

export interface WorkingRunRequest {
  readonly command: readonly string[];
  /** In the place of the container's. */
  readonly user?: string;
  readonly workingDirectory?: string;
  /** `NAME=value`. */
  readonly environment?: readonly string[];
  /** Variables that this command sees and no image does. */
  readonly proxy?: Readonly<Record<string, string>>;
  readonly hostname?: string;
  readonly addCapabilities?: readonly string[];
  readonly dropCapabilities?: readonly string[];
  readonly network?: string;
  readonly namespaces?: Partial<RunDefaults["namespaces"]>;
  /** `source:destination[:options]`, besides those of `from`. */
  readonly volumes?: readonly string[];
  /** `type=bind,source=…,target=…`. */
  readonly mounts?: readonly string[];
  /** Where the sources of relative bind mounts are; absolute. */
  readonly contextDirectory: string;
  readonly noHosts?: boolean;
  /** Name or path. */
  readonly runtime?: string;
  readonly addHistory?: boolean;
  /**
   * `ours`: the program has this process's own standard streams; `terminal`: by way of a terminal, as our input is one;
   * `made-terminal`: by way of one that is made for it.
   */
  readonly streams:
    | "ours"
    | "terminal"
    | "made-terminal"
    | ((stream: "stdout" | "stderr", data: Uint8Array) => void);
}

export interface WorkingCopyRequest extends Reach {
  readonly sources: readonly string[];
  /** From the working directory; empty for that itself. */
  readonly destination: string;
  /** Archives are unpacked. */
  readonly unpack: boolean;
  /** A container or an image in whose files the sources are. */
  readonly from?: string;
  /** Sources cannot leave it; absolute. Without it they are paths of this machine. */
  readonly contextDirectory?: string;
  /** From where relative sources are meant; absolute. */
  readonly currentDirectory: string;
  /** Lines of an ignore file. */
  readonly ignore?: readonly string[];
  readonly chown?: string;
  readonly chmod?: string;
  readonly addHistory?: boolean;
  /** Nobody asks for the digest: the files need not be hashed. */
  readonly withoutDigest?: boolean;
}

export interface WorkingCommitRequest extends Reach {
  /** A name here, or a place elsewhere; empty for an image without a name. */
  readonly destination: string;
  readonly format?: "oci" | "docker";
  /** One layer with everything in it. */
  readonly squash?: boolean;
  /** Seconds since 1970: what every time in the image becomes. */
  readonly timestamp?: number;
  readonly omitHistory?: boolean;
  /** Variables that the image does not have. */
  readonly unsetEnvironment?: readonly string[];
  /** Labels besides those of the container. */
  readonly labels?: Readonly<Record<string, string>>;
  /** A list of images here that the image becomes a member of, and that is made if there is none. */
  readonly list?: string;
  /** The container goes when its image is there. */
  readonly remove?: boolean;
}

export interface Committed {
  readonly imageId: string;
  readonly manifestDigest: string;
  /** False where it went elsewhere. */
  readonly isHere: boolean;
}

export interface WorkingContainers {
  /** @throws Conflict when the name is taken; NotFound for an image that is not here, where it is not pulled */
  from(request: FromRequest): Promise<WorkingSummary>;
  list(): Promise<WorkingSummary[]>;
  /** In the shape that `buildah inspect` shows. */
  inspect(container: string): Promise<object>;
  /** The same for what a container would be that is made from this image. */
  inspectImage(reference: string): Promise<object>;
  /** @returns warnings for the user */
  configure(container: string, change: ConfigChange): Promise<string[]>;
  /** @returns the program's exit status. @throws StartFailure */
  run(container: string, request: WorkingRunRequest, options?: { signal?: AbortSignal }): Promise<number>;
  /** @returns what stands for the content, hex; empty when nobody asked for it */
  copy(container: string, request: WorkingCopyRequest): Promise<string>;
  commit(container: string, request: WorkingCommitRequest): Promise<Committed>;
  /** @returns where its files are seen, until `unmount` */
  mount(container: string): Promise<string>;
  /** Containers that are mounted by `mount`. */
  mounted(): Promise<{ readonly name: string; readonly id: string; readonly path: string }[]>;
  /** @returns its id; undefined when it was not mounted */
  unmount(container: string): Promise<string | undefined>;
  /** @throws Conflict when the new name is taken */
  rename(container: string, name: string): Promise<void>;
  /** @returns its id. @throws Conflict while a program runs in it */
  remove(container: string): Promise<string>;
}

/** @throws NotImplemented for an engine that has none */
export function workingContainersOf(engine: Engine): WorkingContainers {
  if (engine.working !== undefined) return engine.working;
  throw new NotImplemented(
    "this engine has no working containers: davit has them with the engine in its own process only, for now",
  );
}

export function summaryOf({ id, name, image, format }: WorkingRecord): WorkingSummary {
  return {
    id,
    name,
    imageId: image?.id.replace("sha256:", "") ?? "",
    imageName: image?.name ?? "scratch",
    format,
  };
}
