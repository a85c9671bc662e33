/**
 * Builds: what is asked for, and what is told while it is done. A build takes a context (a directory, a tar stream, a
 * git repository) and gives events; its last event names what came out.
 */
import type { CacheEntry, PruneOptions } from "../build/cache/prune.ts";
import type { BuildEvent } from "../build/events.ts";
import type { DockerfileSource } from "../build/prepare.ts";
import { NotImplemented } from "../core/errors.ts";
import type { ByteStream, CredentialSource, Engine } from "./engine.ts";

export type { CacheEntry, PruneOptions as PruneBuildCacheOptions } from "../build/cache/prune.ts";
export type { BuildEvent, BuildResult, BuildWarning } from "../build/events.ts";
export type { DockerfileSource } from "../build/prepare.ts";

/** Where a build's files come from. */
export type BuildContext =
  /** Absolute, on the engine's host. */
  | { readonly kind: "directory"; readonly path: string }
  /** A tar, plain or compressed. */
  | { readonly kind: "tar"; readonly stream: ByteStream }
  /** `https://host/repo.git#ref:dir`, `git@host:repo`. */
  | { readonly kind: "git"; readonly url: string }
  | { readonly kind: "empty" };

/** `--build-context name=…`. */
export type NamedContext =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "git"; readonly url: string }
  /** `docker-image://name`. */
  | { readonly kind: "image"; readonly reference: string };

export interface BuildSecret {
  readonly id: string;
  readonly content: Uint8Array;
}

export interface BuildSsh {
  readonly id: string;
  /** Of an agent. */
  readonly socket: string;
}

/** What is made of the result. */
export type BuildOutput =
  /** Into the local store, under the request's names. */
  | { readonly kind: "store" }
  | { readonly kind: "push" }
  | { readonly kind: "local"; readonly directory: string }
  | { readonly kind: "tar"; readonly write: (bytes: Uint8Array) => Promise<void> }
  | {
      readonly kind: "archive";
      readonly format: "oci" | "docker";
      readonly write: (bytes: Uint8Array) => Promise<void>;
    };

export interface BuildRequest {
  readonly context: BuildContext;
  readonly dockerfile: DockerfileSource;
  readonly namedContexts?: Readonly<Record<string, NamedContext>>;
  /** References to give the image; `latest` is added where there is no tag. */
  readonly names?: readonly string[];
  readonly buildArguments?: Readonly<Record<string, string>>;
  readonly target?: string;
  readonly platform?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Of the manifest. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly noCache?: boolean;
  /** Names of stages that are built anew. */
  readonly noCacheFilter?: readonly string[];
  /** Ask the registries for newer base images. */
  readonly pull?: boolean;
  readonly secrets?: readonly BuildSecret[];
  readonly ssh?: readonly BuildSsh[];
  /** Of RUN steps that do not say themselves. */
  readonly network?: "default" | "none" | "host";
  /** `name:address`. */
  readonly extraHosts?: readonly string[];
  /** `network.host`, `security.insecure`: what RUN steps may ask for. */
  readonly entitlements?: readonly string[];
  /** Bytes. */
  readonly shmSize?: number;
  readonly ulimits?: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[];
  readonly cgroupParent?: string;
  /** Unix seconds; without it times follow from what goes into each step. */
  readonly sourceDateEpoch?: number;
  readonly outputs: readonly BuildOutput[];
  /** Only check the Dockerfile. */
  readonly check?: boolean;
  /** Credentials for registries. */
  readonly credentials?: CredentialSource;
}

export interface BuildCache {
  list(): Promise<CacheEntry[]>;
  prune(options?: PruneOptions): Promise<{ removed: string[]; bytes: number }>;
}

/** The part of an engine that builds. */
export interface Builds {
  /**
   * Ends with a `result`, or throws: a step that failed, a Dockerfile that is wrong, in BuildKit's words. Aborted, it
   * ends all steps and leaves nothing running or mounted.
   */
  build(request: BuildRequest, options?: { signal?: AbortSignal }): AsyncIterable<BuildEvent>;
  readonly cache: BuildCache;
}

/** @throws NotImplemented for an engine that cannot build */
export function buildsOf(engine: Engine): Builds {
  if (engine.builds !== undefined) return engine.builds;
  throw new NotImplemented(
    "this engine cannot build: davit builds with the engine in its own process only, for now",
  );
}
