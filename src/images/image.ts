/**
 * Images are values: a manifest, a config and layers as streams, wherever they come from. Archives, the local store
 * and (later) registries and builds are sources and sinks of them, so that load and save, pull and push are all
 * `copy(source, sink)`.
 */
import { InvalidParameter } from "../core/errors.ts";
import type { DiffId, Digest, ImageId } from "../core/ids.ts";
import { isAttestation } from "./attestations.ts";
import type { IngestedBlob } from "./ingest.ts";
import type { ByteSource } from "./layers/tar-entry.ts";
import {
  type Descriptor,
  digestOf,
  type ImageConfig,
  type Index,
  type Manifest,
  mediaTypes,
  parseConfig,
  parseIndex,
  parseManifest,
} from "./manifest.ts";
import type { Reference } from "./references.ts";

/** A small JSON blob: its exact bytes, which its digest stands for, and what they say. */
export interface Document<Value> {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  readonly value: Value;
}

export interface Layer {
  /** Digest of the uncompressed tar, as the config claims it. */
  readonly diffId: DiffId;
  /** The blob's descriptor; for a blob that is still being hashed this waits. */
  descriptor(): Promise<Descriptor>;
  /** The blob's bytes, perhaps compressed. */
  open(): ByteSource;
  /** The same, where `open` compares them with their digest: for those who do that themselves. */
  readonly openUnchecked?: () => ByteSource;
  /** The blob, where it lies in a session's directory already and need not be copied. */
  readonly ingested: IngestedBlob | undefined;
  /** The repository that has the blob: another one of the same registry can take it from there. */
  readonly origin?: { readonly domain: string; readonly path: string };
}

export interface Image {
  /** Anything else that a manifest may describe: then `config.value` is empty and a layer's diff id is its digest. */
  readonly isArtifact?: boolean;
  readonly config: Document<ImageConfig>;
  /** Bottom first; as many as the config has diff ids. */
  readonly layers: readonly Layer[];
  /** For an image that came without an OCI manifest, one that says the same. */
  manifest(): Promise<Document<Manifest>>;
}

/** An image and the names it goes by. */
export interface NamedImage {
  readonly image: Image;
  readonly names: readonly Reference[];
  /** The image it was built from, where the source tells. */
  readonly parent: ImageId | undefined;
  /**
   * Where the names lead to an index, of which this is one member. All its members that travel have the same names
   * and the same index. A sink that knows no indexes gives the names to the first of them.
   */
  readonly index?: IndexMember;
}

/** An image's place in an index. */
export interface IndexMember {
  /** From the one that the names lead to down to the one that lists the image's manifest; mostly one. */
  readonly path: readonly [Document<Index>, ...Document<Index>[]];
  /** The manifest, as that last index describes it. */
  readonly descriptor: Descriptor;
}

export interface ImageSource {
  images(): AsyncIterable<NamedImage>;
}

export interface ImageSink<Result> {
  put(image: NamedImage): Promise<void>;
  /** Nothing that was put is seen by anyone before this returns, and all of it afterwards. */
  commit(): Promise<Result>;
  /** Takes back what was put, after a failure of source or sink. */
  discard?(): Promise<void>;
}

export async function copy<Result>(source: ImageSource, sink: ImageSink<Result>): Promise<Result> {
  try {
    for await (const image of source.images()) await sink.put(image);
    return await sink.commit();
  } catch (error) {
    await sink.discard?.();
    throw error;
  }
}

/** True for what can be unpacked and run here: no artifact, attestation, or image of another operating system. */
export function isRunnable(image: Image): boolean {
  const os = image.config.value.os || "linux";
  return image.isArtifact !== true && os === "linux";
}

/** The images of a source that can run here, and what is attested of them; what else an index lists is left out. */
export function storable(source: ImageSource): ImageSource {
  return {
    async *images() {
      for await (const named of source.images()) {
        if (named.index === undefined || isRunnable(named.image) || isAttestation(named)) yield named;
      }
    },
  };
}

/** An image's id is the digest of its config. */
export function idOf(image: Image): ImageId {
  return image.config.digest as ImageId;
}

/** @throws InvalidParameter */
export function configDocument(bytes: Uint8Array, what?: string): Document<ImageConfig> {
  return { bytes, digest: digestOf(bytes), value: parseConfig(bytes, what) };
}

/** @throws InvalidParameter */
export function manifestDocument(bytes: Uint8Array, what?: string): Document<Manifest> {
  return { bytes, digest: digestOf(bytes), value: parseManifest(bytes, what) };
}

/** @throws InvalidParameter */
export function indexDocument(bytes: Uint8Array, what?: string): Document<Index> {
  return { bytes, digest: digestOf(bytes), value: parseIndex(bytes, what) };
}

/** @throws InvalidParameter when a document's content is not what its name promises. */
export function digestMatches(actual: Digest, promised: Digest): void {
  if (actual !== promised) {
    throw new InvalidParameter(`invalid archive: blob ${promised} has the content of ${actual}`);
  }
}

/** @throws InvalidParameter in Docker's words when an image has another number of layers than its config. */
export function checkLayerCount(config: ImageConfig, layers: number): void {
  const expected = config.rootfs.diff_ids.length;
  if (layers !== expected) {
    throw new InvalidParameter(
      `invalid manifest, layers length mismatch: expected ${layers}, got ${expected}`,
    );
  }
}

/** The OCI manifest of an image that came without one. The same image gives the same bytes. */
export async function composeManifest(
  config: Document<ImageConfig>,
  layers: readonly Layer[],
): Promise<Document<Manifest>> {
  const value: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, digest: config.digest, size: config.bytes.byteLength },
    layers: await Promise.all(layers.map((layer) => layer.descriptor())),
  };
  const bytes = Buffer.from(JSON.stringify(value));
  return { bytes, digest: digestOf(bytes), value };
}
