/**
 * What a build does, as data: each operation makes a file system out of others. Two operations that say the same are
 * one. What only changes an image's config is no operation.
 */

import type { ChainId, DiffId, Digest, ImageId } from "../../core/ids.ts";
import type { Descriptor, ImageConfig, Platform } from "../../images/manifest.ts";
import type { CacheSharing, MountType } from "../dockerfile/mounts.ts";
import type { FileSource } from "../dockerfile/stages/model.ts";

export interface LocalLayer {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  /** Of its blob in the content store. */
  readonly descriptor: Descriptor;
}

/** An image that is here, with its layers unpacked. */
export interface LocalImage {
  readonly id: ImageId;
  /** What its name leads to, here or in its registry: an index, or its manifest. */
  readonly digest: Digest;
  readonly config: ImageConfig;
  /** Bottom first. */
  readonly layers: readonly LocalLayer[];
}

interface Common {
  /** Stands for the definition with all that it is made from; hex. */
  readonly digest: string;
  /** What a progress display calls it: `[build 2/3] RUN make`. */
  readonly title: string;
}

export interface ScratchOperation extends Common {
  readonly kind: "scratch";
}

export interface ImageOperation extends Common {
  readonly kind: "image";
  readonly reference: string;
  readonly platform: Platform;
  readonly image: LocalImage;
}

/** Files that the user gave: not a file system of an image, to be copied from only. */
export interface ContextOperation extends Common {
  readonly kind: "context";
  /** Empty for the main one. */
  readonly name: string;
}

/** A RUN mount. `from` is what is shown, for bind and cache mounts. */
export interface OperationMount {
  readonly type: MountType;
  /** Where in the container; undefined where there is to be no file. */
  readonly path: string | undefined;
  readonly from: Operation | undefined;
  /** Below `from`. */
  readonly source: string;
  readonly readOnly: boolean;
  readonly size: number;
  readonly id: string;
  readonly sharing: CacheSharing;
  readonly required: boolean;
  readonly env: string | undefined;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

export interface RunOperation extends Common {
  readonly kind: "run";
  readonly input: Operation;
  readonly ignoreCache: boolean;
  readonly arguments: readonly string[];
  readonly environment: readonly string[];
  readonly workingDirectory: string;
  readonly user: string;
  readonly script: { readonly path: string; readonly content: string } | undefined;
  readonly mounts: readonly OperationMount[];
  readonly network: "bridge" | "none" | "host";
  readonly security: "sandbox" | "insecure";
  readonly extraHosts: readonly string[];
  readonly platform: Platform;
  /** CDI devices, by their full names. */
  readonly devices?: readonly string[];
}

export interface DirectoryOperation extends Common {
  readonly kind: "directory";
  readonly input: Operation;
  readonly ignoreCache: boolean;
  readonly path: string;
  readonly user: string;
}

export interface FilesOperation extends Common {
  readonly kind: "files";
  readonly input: Operation;
  readonly ignoreCache: boolean;
  readonly from: Operation;
  readonly sources: readonly FileSource[];
  readonly destination: string;
  readonly chown: string;
  readonly chmod: string;
  readonly parents: boolean;
  readonly exclude: readonly string[];
  /** The destination's links are not followed, and what was there is not looked at. */
  readonly isLinked: boolean;
}

/** An operation that makes a layer on its input. */
export type StepOperation = RunOperation | DirectoryOperation | FilesOperation;
export type Operation = ScratchOperation | ImageOperation | ContextOperation | StepOperation;

/** An operation without what `GraphBuilder` adds. */
export type Definition<Kind extends Operation> = Omit<Kind, "digest">;

/** Makes operations, each once. */
export class GraphBuilder {
  readonly #known = new Map<string, Operation>();

  /** @returns the operation that says the same, if there is one already. */
  add<Kind extends Operation>(definition: Definition<Kind> & { kind: Kind["kind"] }): Kind {
    const digest = digestOfDefinition(definition);
    const known = this.#known.get(digest);
    // The digest covers the kind.
    if (known !== undefined) return known as Kind;
    const made = { ...definition, digest } as Kind;
    this.#known.set(digest, made);
    return made;
  }
}

/** Titles say nothing of what is done; inputs stand by their digests. */
function digestOfDefinition(definition: object): string {
  const text = JSON.stringify(definition, function (this: unknown, key, value: unknown) {
    if (key === "title") return undefined;
    if (this === definition && key === "image" && isObject(value)) return value.id;
    if (isObject(value) && value !== definition && typeof value.digest === "string" && "kind" in value) {
      return value.digest;
    }
    return value;
  });
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

export function isStep(operation: Operation): operation is StepOperation {
  return operation.kind === "run" || operation.kind === "directory" || operation.kind === "files";
}
