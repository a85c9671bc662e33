/**
 * One repository of a registry, as the OCI distribution specification (1.1) and Docker's registry API v2 show it.
 *
 * Contract:
 * - Each method retries what may succeed the second time (connection resets, 429 and 5xx, honouring Retry-After),
 *   with back-off, a limited number of times, and says in its error which registry and repository failed.
 * - Redirects are followed; credentials never go to another host than the one they are for, and stand in no message.
 * - What comes back is checked: sizes never exceed what was promised, documents match the digest they were asked by.
 */
import type { Digest } from "../../core/ids.ts";
import type { ByteSource } from "../../images/layers/tar-entry.ts";
import type { Descriptor } from "../../images/manifest.ts";

/** A manifest or an index: its exact bytes, what they are, and their digest. */
export interface RemoteDocument {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
}

export type BlobOutcome =
  | { kind: "exists" }
  /** Without a byte sent, from another repository of the same registry. */
  | { kind: "mounted"; from: string }
  | { kind: "uploaded" };

export interface UploadOptions {
  /** Other repositories of this registry (their paths) that may hold the blob. */
  mountFrom?: readonly string[];
  /** Bytes sent so far; may go back when a part has to be sent again. */
  progress?: (sent: number) => void;
  signal?: AbortSignal;
}

export interface Repository {
  /** Registry host as references write it: `docker.io`, `localhost:5000`. */
  readonly domain: string;
  /** `library/busybox`. */
  readonly path: string;
  /** What a tag or digest leads to, without its content. @throws NotFound, Unauthorized, Unavailable */
  resolve(tagOrDigest: string, signal?: AbortSignal): Promise<Descriptor>;
  /** A manifest or index of at most `largestDocument` bytes. @throws NotFound, Unauthorized, Unavailable, InvalidParameter */
  manifest(tagOrDigest: string, signal?: AbortSignal): Promise<RemoteDocument>;
  /**
   * A blob's bytes from `offset` on; a broken connection is resumed where it ended (range requests). Ends after
   * exactly `descriptor.size` bytes or throws. The digest is the consumer's to check. Chunks are not reused; with
   * `freesChunks` each is gone when the next is asked for.
   */
  blob(
    descriptor: Descriptor,
    options?: { offset?: number; signal?: AbortSignal; freesChunks?: boolean },
  ): AsyncIterable<Uint8Array>;
  /** A whole small blob (a config), checked against its digest. */
  document(descriptor: Descriptor, signal?: AbortSignal): Promise<Uint8Array>;
  /** Bytes of the blob, or undefined when the repository has none. */
  hasBlob(digest: Digest, signal?: AbortSignal): Promise<number | undefined>;
  /** Sends a blob unless it is there. `source` can be opened again for a retry. */
  putBlob(
    descriptor: Pick<Descriptor, "digest" | "size">,
    source: () => ByteSource,
    options?: UploadOptions,
  ): Promise<BlobOutcome>;
  /** @returns the digest under which the registry has it. */
  putManifest(
    tagOrDigest: string,
    document: Pick<RemoteDocument, "bytes" | "mediaType">,
    signal?: AbortSignal,
  ): Promise<Digest>;
  /** All tags, in the registry's order. At most a million. */
  tags(signal?: AbortSignal): AsyncIterable<string>;
  removeManifest(tagOrDigest: string, signal?: AbortSignal): Promise<void>;
  /** Descriptors of manifests whose subject is `digest` (OCI 1.1), through the API or the fallback tag. */
  referrers(digest: Digest, artifactType?: string): Promise<Descriptor[]>;
}
