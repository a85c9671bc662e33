/** An OCI image layout in a tar: index.json leads to manifests, perhaps through further indexes. */
import { InvalidParameter } from "../../core/errors.ts";
import {
  checkLayerCount,
  configDocument,
  type Document,
  digestMatches,
  type Image,
  type ImageSource,
  manifestDocument,
} from "../image.ts";
import {
  type Descriptor,
  digestOf,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  type Platform,
  parseIndex,
} from "../manifest.ts";
import { type Reference, tryParseReference, withDefaultTag } from "../references.ts";
import type { Archive } from "./archive.ts";
import { layerOfDescriptor } from "./layer.ts";

const deepestIndex = 4;

/** `platform` chooses among the manifests of an image index. */
export function ociArchive(archive: Archive, platform: Platform): ImageSource {
  return {
    async *images() {
      const chosen = new Map<string, { manifest: Document<Manifest>; names: Reference[] }>();
      for (const descriptor of parseIndex(archive.read("index.json")).manifests) {
        const manifest = choose(archive, descriptor, platform, 0);
        if (manifest === undefined) continue;
        const entry = chosen.get(manifest.digest) ?? { manifest, names: [] };
        const name = nameOf(descriptor);
        if (name !== undefined) entry.names.push(name);
        chosen.set(manifest.digest, entry);
      }
      if (chosen.size === 0) throw new InvalidParameter("invalid archive: its index.json names no image");
      for (const { manifest, names } of chosen.values()) {
        yield { image: imageOf(archive, manifest), names, parent: undefined };
      }
    },
  };
}

/** All manifests that the layout's index leads to and that are there. */
export function manifestsOf(archive: Archive): Document<Manifest>[] {
  const walk = (index: Index, depth: number): Document<Manifest>[] =>
    index.manifests.flatMap((descriptor) => {
      if (archive.find(`blobs/sha256/${descriptor.digest.slice("sha256:".length)}`) === undefined) return [];
      if (isManifestType(descriptor.mediaType)) return [readManifest(archive, descriptor)];
      return isIndexType(descriptor.mediaType) && depth < deepestIndex
        ? walk(readIndex(archive, descriptor), depth + 1)
        : [];
    });
  return walk(parseIndex(archive.read("index.json")), 0);
}

function imageOf(archive: Archive, manifest: Document<Manifest>): Image {
  const { config: configDescriptor, layers: descriptors } = manifest.value;
  const config = configDocument(archive.readBlob(configDescriptor.digest));
  digestMatches(config.digest, configDescriptor.digest);
  checkLayerCount(config.value, descriptors.length);
  const layers = descriptors.map((descriptor, position) => {
    const diffId = config.value.rootfs.diff_ids[position];
    if (diffId === undefined) throw new InvalidParameter(`invalid archive: no diff id for layer ${position}`);
    return layerOfDescriptor(descriptor, archive.blob(descriptor.digest), diffId);
  });
  return {
    config,
    layers,
    manifest: async () => {
      await Promise.all(layers.map((layer) => layer.descriptor()));
      return manifest;
    },
  };
}

/** The manifest a descriptor leads to; undefined for what is no image (an attestation, an artifact). */
function choose(
  archive: Archive,
  descriptor: Descriptor,
  platform: Platform,
  depth: number,
): Document<Manifest> | undefined {
  if (isManifestType(descriptor.mediaType)) return readManifest(archive, descriptor);
  if (!isIndexType(descriptor.mediaType)) return undefined;
  if (depth >= deepestIndex) throw new InvalidParameter("invalid archive: indexes are nested too deeply");
  const { manifests } = readIndex(archive, descriptor);
  const best = bestMatch(manifests, platform);
  if (best === undefined) {
    throw new InvalidParameter(
      `no matching manifest for ${platform.os}/${platform.architecture} in the manifest list entries`,
    );
  }
  return choose(archive, best, platform, depth + 1);
}

function bestMatch(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  const candidates = manifests.filter(({ platform }) => platform?.os !== "unknown");
  const fitting = candidates.filter(
    ({ platform }) =>
      platform === undefined || (platform.os === wanted.os && platform.architecture === wanted.architecture),
  );
  const exact = fitting.filter(({ platform }) => platform?.variant === wanted.variant);
  return exact[0] ?? fitting[0];
}

function readManifest(archive: Archive, descriptor: Descriptor): Document<Manifest> {
  const document = manifestDocument(archive.readBlob(descriptor.digest), `manifest ${descriptor.digest}`);
  digestMatches(document.digest, descriptor.digest);
  return document;
}

function readIndex(archive: Archive, descriptor: Descriptor): Index {
  const bytes = archive.readBlob(descriptor.digest);
  digestMatches(digestOf(bytes), descriptor.digest);
  return parseIndex(bytes, `index ${descriptor.digest}`);
}

/**
 * containerd's annotation holds a full name. The specification's own may be a full name or a mere tag, and a tag
 * alone names nothing.
 */
function nameOf({ annotations = {} }: Descriptor): Reference | undefined {
  const text = annotations["io.containerd.image.name"] ?? annotations["org.opencontainers.image.ref.name"];
  if (text === undefined || !/[/:]/.test(text)) return undefined;
  const name = tryParseReference(text);
  return name === undefined || name.digest !== undefined ? undefined : withDefaultTag(name);
}
