/**
 * Manifests, indexes and configs as the OCI image specification has them (and Docker's schema 2, which is the same
 * but for media types). Everything here comes from outside: each parser checks the types of all it returns.
 */
import { InvalidParameter } from "../core/errors.ts";
import { type ChainId, type DiffId, type Digest, isDigest } from "../core/ids.ts";
import type { ContainerConfig } from "../core/objects.ts";
import { parseContainerConfig } from "./container-config.ts";
import { defined, type JsonReader, parseJson } from "./json.ts";

export const mediaTypes = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  layerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  layerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerLayerZstd: "application/vnd.docker.image.rootfs.diff.tar.zstd",
} as const;

/** Largest manifest, index or config that is read, in bytes. Registries cap manifests at 4 MiB too. */
export const largestDocument = 4 * 1024 * 1024;
/** Most layers of one image. overlay2 mounts at most 500 lower directories; Docker stops at 127. */
export const mostLayers = 127;

export interface Platform {
  architecture: string;
  os: string;
  "os.version"?: string;
  variant?: string;
}

export interface Descriptor {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
  platform?: Platform;
  annotations?: Record<string, string>;
}

export interface Manifest {
  schemaVersion: 2;
  mediaType: string;
  config: Descriptor;
  layers: Descriptor[];
  annotations?: Record<string, string>;
}

export interface Index {
  schemaVersion: 2;
  mediaType: string;
  manifests: Descriptor[];
}

export interface HistoryEntry {
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  empty_layer?: boolean;
}

/** An image's config: what to run, and which layers the root file system is made of. OCI image-spec, config.md. */
export interface ImageConfig {
  created?: string;
  author?: string;
  architecture: string;
  variant?: string;
  os: string;
  "os.version"?: string;
  /** Docker's own additions. */
  docker_version?: string;
  comment?: string;
  config: ContainerConfig;
  rootfs: { type: "layers"; diff_ids: DiffId[] };
  history: HistoryEntry[];
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === mediaTypes.manifest || mediaType === mediaTypes.dockerManifest;
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === mediaTypes.index || mediaType === mediaTypes.dockerIndex;
}

/** sha256 of bytes in memory. */
export function digestOf(bytes: Uint8Array | string): Digest {
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
  if (!isDigest(digest)) throw new InvalidParameter(`not a digest: ${digest}`);
  return digest;
}

/** Chain ids of a stack of layers, bottom first. OCI image-spec, config.md#layer-chainid. */
export function chainIdsOf(diffIds: readonly DiffId[]): ChainId[] {
  const chain: ChainId[] = [];
  let parent: Digest | undefined;
  for (const diffId of diffIds) {
    const id: Digest = parent === undefined ? diffId : digestOf(`${parent} ${diffId}`);
    chain.push(id as ChainId);
    parent = id;
  }
  return chain;
}

/** @param most layers that it may have @throws InvalidParameter */
export function parseManifest(bytes: Uint8Array, what = "manifest", most = mostLayers): Manifest {
  const json = parseJson(bytes, what);
  if (json.at("schemaVersion").integer() !== 2)
    json.at("schemaVersion").fail("2: older manifests are not read");
  // One document that reads as both kinds means one thing to one reader and another to the next (CVE-2021-41190).
  if (!json.at("manifests").isAbsent) json.fail("a manifest: it lists manifests, as an index does");
  const layers = json.at("layers").optional((value) => value.array(most)) ?? [];
  return defined({
    schemaVersion: 2 as const,
    mediaType: json.at("mediaType").optional((value) => value.string()) ?? mediaTypes.manifest,
    config: parseDescriptor(json.at("config")),
    layers: layers.map(parseDescriptor),
    annotations: json.at("annotations").optional((value) => value.stringMap()),
  });
}

/** What an index calls a manifest may be anything: undefined for what is none. */
export function manifestIn(bytes: Uint8Array): Manifest | undefined {
  try {
    return parseManifest(bytes);
  } catch (error) {
    if (error instanceof InvalidParameter) return undefined;
    throw error;
  }
}

/** @throws InvalidParameter */
export function parseIndex(bytes: Uint8Array, what = "index.json"): Index {
  const json = parseJson(bytes, what);
  if (!json.at("layers").isAbsent || !json.at("config").isAbsent) {
    json.fail("an index: it names a config or layers, as a manifest does");
  }
  return {
    schemaVersion: 2,
    mediaType: json.at("mediaType").optional((value) => value.string()) ?? mediaTypes.index,
    manifests: (json.at("manifests").optional((value) => value.array(10_000)) ?? []).map(parseDescriptor),
  };
}

/** @throws InvalidParameter */
export function parseConfig(bytes: Uint8Array, what = "image config"): ImageConfig {
  const json = parseJson(bytes, what);
  const text = (key: string) => json.at(key).optional((value) => value.string());
  const rootfs = json.at("rootfs");
  if (rootfs.isAbsent) throw new InvalidParameter("invalid image JSON, no RootFS key");
  const diffIds = rootfs.at("diff_ids").optional((value) => value.array(mostLayers)) ?? [];
  return defined({
    created: text("created"),
    author: text("author"),
    architecture: text("architecture") ?? "",
    variant: text("variant"),
    os: text("os") ?? "",
    "os.version": text("os.version"),
    docker_version: text("docker_version"),
    comment: text("comment"),
    config: json.at("config").optional(parseContainerConfig) ?? {},
    rootfs: { type: "layers" as const, diff_ids: diffIds.map((value) => digestField(value) as DiffId) },
    history: (json.at("history").optional((value) => value.array(10_000)) ?? []).map(parseHistory),
  });
}

function parseHistory(json: JsonReader): HistoryEntry {
  const text = (key: string) => json.at(key).optional((value) => value.string());
  return defined({
    created: text("created"),
    created_by: text("created_by"),
    author: text("author"),
    comment: text("comment"),
    empty_layer: json.at("empty_layer").optional((value) => value.boolean()),
  });
}

function parseDescriptor(json: JsonReader): Descriptor {
  const size = json.at("size").integer();
  if (size < 0) json.at("size").fail("a size");
  return defined({
    mediaType: json.at("mediaType").optional((value) => value.string()) ?? "",
    digest: digestField(json.at("digest")),
    size,
    platform: json.at("platform").optional(parsePlatformObject),
    annotations: json.at("annotations").optional((value) => value.stringMap()),
  });
}

/** @throws InvalidParameter */
export function parsePlatformObject(json: JsonReader): Platform {
  return defined({
    architecture: json.at("architecture").optional((value) => value.string()) ?? "",
    os: json.at("os").optional((value) => value.string()) ?? "",
    "os.version": json.at("os.version").optional((value) => value.string()),
    variant: json.at("variant").optional((value) => value.string()),
  });
}

function digestField(json: JsonReader): Digest {
  const text = json.string();
  return isDigest(text) ? text : json.fail("a sha256 digest");
}
