/**
 * The Engine: everything that can be done with containers and images, in the Engine API's own objects.
 *
 * `LocalEngine` does the work in this process. `RemoteEngine` speaks HTTP to any Engine API, davit's or
 * Docker's. No caller can tell them apart; one contract suite (`test/contract`) runs against both and against
 * real Docker.
 *
 * Contract for all methods: `id` may be a full id, an unambiguous prefix of one, or a name. Failures are
 * DavitErrors whose `message` is Docker's own where Docker has one (`No such container: x`). Anything that
 * waits takes an AbortSignal.
 */
import type { Filters } from "../core/filters.ts";
import type * as api from "../core/objects.ts";
import type { AttachedStreams, OutputFrame } from "../core/streams.ts";
import type { Builds } from "./build.ts";
import type { WorkingContainers } from "./working.ts";

export type { Filters } from "../core/filters.ts";
export type { AttachedStreams, OutputFrame } from "../core/streams.ts";

export interface Engine {
  readonly containers: Containers;
  readonly execs: Execs;
  readonly images: Images;
  readonly volumes: Volumes;
  readonly networks: Networks;
  readonly system: System;
  /** Absent where the engine cannot build; see `buildsOf`. */
  readonly builds?: Builds;
  /** Absent where the engine has none; see `workingContainersOf`. */
  readonly working?: WorkingContainers;
  /** Frees files and sockets. Containers go on. */
  close(): Promise<void>;
}

export interface ListContainersOptions {
  /** Also those that do not run. */
  all?: boolean;
  /** The newest n, whatever their state; 0 or absent for no limit. */
  limit?: number;
  /** Fill SizeRw and SizeRootFs. */
  size?: boolean;
  filters?: Filters;
}

export interface AttachOptions {
  stdin?: boolean;
  stdout?: boolean;
  stderr?: boolean;
  /** First what was already logged, then live output. */
  logs?: boolean;
  /** Live streams; false reads the log only. */
  stream?: boolean;
}

export interface LogsOptions {
  stdout?: boolean;
  stderr?: boolean;
  follow?: boolean;
  /** Prefix each line with its RFC 3339 time and a space. */
  timestamps?: boolean;
  /** Unix seconds, fractions allowed. */
  since?: number;
  until?: number;
  /** Last n lines; absent for all. */
  tail?: number;
  signal?: AbortSignal;
}

export type WaitCondition = "not-running" | "next-exit" | "removed";

/** A wait that has been registered: `result` settles at the exit, even if it comes at once. */
export interface RegisteredWait {
  readonly result: Promise<api.ContainerWaitResponse>;
}

export interface StatsOptions {
  /** Keep sending one sample a second; otherwise one sample and the end. */
  stream?: boolean;
  /** With stream=false: do not wait for a second sample to fill `precpu_stats`. */
  oneShot?: boolean;
  signal?: AbortSignal;
}

export interface Containers {
  list(options?: ListContainersOptions): Promise<api.ContainerSummary[]>;
  create(
    request: api.ContainerCreateRequest,
    options?: { name?: string; platform?: string },
  ): Promise<api.ContainerCreateResponse>;
  inspect(id: string, options?: { size?: boolean }): Promise<api.ContainerInspect>;
  /** @throws NotModified when it runs already. */
  start(id: string, options?: { detachKeys?: string }): Promise<void>;
  /** Signal, then SIGKILL after `timeout` seconds (-1: never). @throws NotModified when it does not run. */
  stop(id: string, options?: { signal?: string; timeout?: number; abort?: AbortSignal }): Promise<void>;
  restart(id: string, options?: { signal?: string; timeout?: number }): Promise<void>;
  /** @throws Conflict when it does not run. */
  kill(id: string, signal?: string): Promise<void>;
  pause(id: string): Promise<void>;
  unpause(id: string): Promise<void>;
  rename(id: string, name: string): Promise<void>;
  remove(id: string, options?: { force?: boolean; volumes?: boolean; link?: boolean }): Promise<void>;
  /** Resolves as soon as the wait is registered: what happens after that is not missed. */
  wait(id: string, condition?: WaitCondition, signal?: AbortSignal): Promise<RegisteredWait>;
  /** May be called before `start`: then nothing of the output is missed. */
  attach(id: string, options: AttachOptions): Promise<AttachedStreams>;
  /** Columns and rows of the container's terminal. */
  resize(id: string, size: { height: number; width: number }): Promise<void>;
  logs(id: string, options: LogsOptions): AsyncIterable<OutputFrame>;
  top(id: string, psArgs?: string): Promise<api.ContainerTopResponse>;
  stats(id: string, options?: StatsOptions): AsyncIterable<api.ContainerStats>;
}

export interface Execs {
  create(containerId: string, config: api.ExecConfig): Promise<{ Id: string }>;
  /** Starts and attaches. */
  start(execId: string, options: { tty?: boolean; stdin?: boolean }): Promise<AttachedStreams>;
  startDetached(execId: string): Promise<void>;
  resize(execId: string, size: { height: number; width: number }): Promise<void>;
  inspect(execId: string): Promise<api.ExecInspect>;
}

/** An exec that will be created and started. */
export interface ExecPlan {
  /** As the user names it. */
  container: string;
  tty: boolean;
  stdin: boolean;
  attached: boolean;
}

export type ByteStream = AsyncIterable<Uint8Array>;

/** The bytes of a regular file on this host, which an engine on the same host may read itself, as it likes. */
export interface LocalFileStream extends ByteStream {
  /** Absolute. */
  readonly path: string;
}

/** A line of progress, as the Engine API streams it. */
export interface ProgressMessage {
  stream?: string;
  status?: string;
  id?: string;
  progressDetail?: {
    current?: number;
    total?: number;
    /** Of both; bytes when absent. */
    units?: string;
  };
  progress?: string;
  error?: string;
  errorDetail?: { message: string; code?: number };
  aux?: unknown;
}

export interface ImportRequest {
  /** `repository:tag` or empty. */
  reference?: string;
  message?: string;
  /** Dockerfile instructions, as `--change`. */
  changes?: string[];
  platform?: string;
}

export interface PullOptions {
  /** `os/arch[/variant]`; the host's when absent. */
  platform?: string;
  /** All tags of the repository. */
  all?: boolean;
  auth?: api.AuthConfig;
  /**
   * The image may be used as soon as its layers are unpacked; what makes it survive a power cut goes on meanwhile,
   * until the iteration ends.
   */
  lazy?: boolean;
  signal?: AbortSignal;
}

export interface PushOptions {
  /** All tags of the repository that are here. */
  all?: boolean;
  /** Of a name with several platforms only this one. */
  platform?: string;
  auth?: api.AuthConfig;
  signal?: AbortSignal;
}

export interface ListImagesOptions {
  all?: boolean;
  filters?: Filters;
  digests?: boolean;
  /** Fill SharedSize. */
  sharedSize?: boolean;
  /** Fill Manifests: the platforms of each name. */
  manifests?: boolean;
}

export interface Images {
  list(options?: ListImagesOptions): Promise<api.ImageSummary[]>;
  /** Of a name with several platforms one, or with `manifests` what is known of all. */
  inspect(reference: string, options?: { platform?: string; manifests?: boolean }): Promise<api.ImageInspect>;
  history(reference: string, options?: { platform?: string }): Promise<api.ImageHistoryItem[]>;
  /**
   * Fetches a name from its registry. Messages are Docker's: one `status` with an `id` for each layer, then
   * `Digest: …` and `Status: …`.
   * @throws NotFound, Unauthorized (`pull access denied for x, …`), Unavailable in Docker's words.
   */
  pull(reference: string, options?: PullOptions): AsyncIterable<ProgressMessage>;
  /** Sends a name to its registry. The last message's `aux` is `{ Tag, Digest, Size }`. */
  push(reference: string, options?: PushOptions): AsyncIterable<ProgressMessage>;
  search(
    term: string,
    options?: { limit?: number; filters?: Filters; auth?: api.AuthConfig },
  ): Promise<api.RegistrySearchItem[]>;
  /** Removes images that no container uses: those without a name, or with `dangling=false` all. */
  prune(filters?: Filters): Promise<api.ImagesPruneResponse>;
  /** davit's own: what each layer adds, changes, removes and wastes. Bottom first. */
  layers(reference: string, options?: { platform?: string }): Promise<api.LayerReport[]>;
  /** davit's own: the paths in which the file systems of two images differ, sorted. */
  diff(from: string, to: string, options?: { platform?: string }): Promise<api.ImageDifference[]>;
  tag(source: string, target: string): Promise<void>;
  remove(
    reference: string,
    options?: {
      force?: boolean;
      noPrune?: boolean;
      /** Of a name with several platforms only these. */
      platforms?: readonly string[];
    },
  ): Promise<api.ImageDeleteItem[]>;
  /** Takes a docker-archive or OCI archive, plain, gzip or zstd. Messages end with `Loaded image: …` lines. */
  load(
    archive: ByteStream | LocalFileStream,
    options?: { quiet?: boolean; platforms?: readonly string[]; signal?: AbortSignal },
  ): AsyncIterable<ProgressMessage>;
  /** Gives an archive that Docker and OCI tools both read. */
  save(references: string[], options?: { platforms?: readonly string[] }): ByteStream;
  /** Makes a one-layer image from a root file system tar. The last message's status is the image id. */
  import(archive: ByteStream, request: ImportRequest): AsyncIterable<ProgressMessage>;
}

export interface Volumes {
  list(filters?: Filters): Promise<{ Volumes: api.Volume[]; Warnings: string[] | null }>;
  create(request: api.VolumeCreateRequest): Promise<api.Volume>;
  inspect(name: string): Promise<api.Volume>;
  remove(name: string, options?: { force?: boolean }): Promise<void>;
  prune(filters?: Filters): Promise<{ VolumesDeleted: string[]; SpaceReclaimed: number }>;
}

export interface Networks {
  list(filters?: Filters): Promise<api.Network[]>;
  inspect(id: string): Promise<api.Network>;
}

export interface EventsOptions {
  /** Unix seconds, fractions allowed. */
  since?: number;
  until?: number;
  filters?: Filters;
  signal?: AbortSignal;
}

export interface System {
  /** @returns the server's API version. */
  ping(): Promise<string>;
  version(): Promise<api.SystemVersion>;
  info(): Promise<api.SystemInfo>;
  events(options?: EventsOptions): AsyncIterable<api.EventMessage>;
  /** Asks a registry whether it takes these credentials. @throws Unauthorized */
  login(auth: api.AuthConfig): Promise<api.AuthResponse>;
  /** What a registry says of a name, without pulling it. */
  distribution(reference: string, options?: { auth?: api.AuthConfig }): Promise<api.DistributionInspect>;
  diskUsage(): Promise<api.DiskUsage>;
  /**
   * davit's own: reads every blob and layer and compares it with its digest. With `repair`, what is damaged is
   * fetched again from the registries that its images came from, or unpacked again from its blob.
   */
  check(options?: {
    repair?: boolean;
    credentials?: CredentialSource;
    report?: (message: ProgressMessage) => void;
    signal?: AbortSignal;
  }): Promise<api.StorageCheck>;
}

/** Credentials by registry host (`docker.io`, `localhost:5000`); undefined for none. */
export type CredentialSource = (registry: string) => Promise<api.AuthConfig | undefined>;
