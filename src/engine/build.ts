/**
 * Builds: what is asked for, and what is told while it is done. A build takes a context (a directory, a tar stream, a
 * git repository) and gives events; its last event names what came out.
 */

import type { AttestationRequest } from "../build/attestations/request.ts";
import type { CacheEntry, PruneOptions } from "../build/cache/prune.ts";
import type { BuildEvent } from "../build/events.ts";
import type { ImageForm } from "../build/output/forms.ts";
import type { DockerfileSource } from "../build/prepare.ts";
import { NotImplemented } from "../core/errors.ts";
import type { ByteStream, CredentialSource, Engine } from "./engine.ts";

export type {
  AttestationRequest,
  Predicate,
  ProvenanceRequest,
  SbomScanner,
} from "../build/attestations/request.ts";
export type { CacheEntry, PruneOptions as PruneBuildCacheOptions } from "../build/cache/prune.ts";
export type { BuildEvent, BuildResult, BuildWarning } from "../build/events.ts";
export type { ImageForm } from "../build/output/forms.ts";
export type { DockerfileSource } from "../build/prepare.ts";
export { highestLevel, type LayerCompression } from "../images/transfer/layer-form.ts";

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

export type BuildSsh =
  | {
      readonly id: string;
      /** Of an agent. */
      readonly socket: string;
    }
  | {
      readonly id: string;
      /** Private keys, which an agent of the build's own gives to steps. */
      readonly keys: readonly { readonly name: string; readonly content: Uint8Array }[];
    };

/** The result's files, with files at their top that attest something of them. */
interface FilesOutput {
  /** Each platform below a directory of its own (`linux_arm64`); only where there are several when absent. */
  readonly isSplit?: boolean;
  /** How the names of the files begin that attest something. */
  readonly attestationPrefix?: string;
}

/** What is made of the result. */
export type BuildOutput =
  /** Into the local store, under the request's names; with a form, it is kept in that form. */
  | { readonly kind: "store"; readonly form?: ImageForm }
  /** Into the registries of the names; also into the local store, unless `isOnlyPushed`. */
  | { readonly kind: "push"; readonly form?: ImageForm; readonly isOnlyPushed?: boolean }
  | ({
      readonly kind: "local";
      readonly directory: string;
      /** What is in the directory and not in the result goes. */
      readonly deletesOthers?: boolean;
    } & FilesOutput)
  | ({ readonly kind: "tar"; readonly write: (bytes: Uint8Array) => Promise<void> } & FilesOutput)
  | {
      readonly kind: "archive";
      readonly format: "oci" | "docker";
      readonly form?: ImageForm;
      readonly write: (bytes: Uint8Array) => Promise<void>;
    }
  /** An OCI layout in a directory; other images that are in it stay. */
  | { readonly kind: "layout"; readonly directory: string; readonly form?: ImageForm };

/** A cache that other builds have left somewhere. Images that carry one are registry caches, too. */
export type CacheSource =
  | { readonly kind: "registry"; readonly reference: string }
  /** An OCI layout, absolute on the engine's host; the digest of a manifest in it, or its tag, `latest` by default. */
  | { readonly kind: "local"; readonly directory: string; readonly tag?: string; readonly digest?: string };

export interface CacheForm {
  /** `min`: the layers of the result; `max`: of all steps. */
  readonly mode: "min" | "max";
  readonly form: ImageForm;
  /** That it cannot be written does not fail the build. */
  readonly ignoresErrors: boolean;
}

/** Where a build leaves its cache. */
export type CacheTarget =
  | ({ readonly kind: "registry"; readonly reference: string } & CacheForm)
  | ({ readonly kind: "local"; readonly directory: string; readonly tag?: string } & CacheForm)
  /** In the config of the image itself. */
  | { readonly kind: "inline" };

export interface BuildRequest {
  readonly context: BuildContext;
  readonly dockerfile: DockerfileSource;
  readonly namedContexts?: Readonly<Record<string, NamedContext>>;
  /** References to give the image; `latest` is added where there is no tag. */
  readonly names?: readonly string[];
  readonly buildArguments?: Readonly<Record<string, string>>;
  readonly target?: string;
  /** What to build for, as `os/arch[/variant]`; several make an index. This machine's when absent or empty. */
  readonly platforms?: readonly string[];
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
  /** Asked, in this order, for what is not in the cache here. What is missing or broken is told and left out. */
  readonly cacheFrom?: readonly CacheSource[];
  /** `BUILDKIT_INLINE_CACHE=1` among the build arguments is one more: `inline`. */
  readonly cacheTo?: readonly CacheTarget[];
  /** What is attested of the images, beside them in an index. Nothing when absent. */
  readonly attestations?: AttestationRequest;
  /** Tell of each step that is built anew what broke the cache. */
  readonly explain?: boolean;
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
