/**
 * What `docker save` writes: manifest.json names each image's config, layers and tags by paths in the archive. Since
 * Docker 25 the archive is an OCI layout too, whose manifest is kept where it is about the same config and layers.
 */
import { InvalidParameter } from "../../core/errors.ts";
import { type Digest, type ImageId, isDigest } from "../../core/ids.ts";
import {
  checkLayerCount,
  composeManifest,
  configDocument,
  type Document,
  digestMatches,
  type Image,
  type ImageSource,
  type Layer,
  type NamedImage,
} from "../image.ts";
import { parseJson } from "../json.ts";
import { type Manifest, mostLayers } from "../manifest.ts";
import { parseReference, type Reference, withDefaultTag } from "../references.ts";
import type { Archive } from "./archive.ts";
import { layerOfFile } from "./layer.ts";
import { manifestsOf } from "./oci-archive.ts";

interface ManifestItem {
  config: string;
  repoTags: string[];
  layers: string[];
  parent: ImageId | undefined;
}

export function dockerArchive(archive: Archive): ImageSource {
  return {
    async *images() {
      const manifests = archive.find("index.json") === undefined ? [] : manifestsOf(archive);
      for (const item of parseItems(archive.read("manifest.json"))) {
        yield imageOf(archive, item, manifests);
      }
    },
  };
}

function imageOf(archive: Archive, item: ManifestItem, manifests: readonly Document<Manifest>[]): NamedImage {
  const config = configDocument(archive.read(item.config), "image config");
  const promised = digestInName(item.config);
  if (promised !== undefined) digestMatches(config.digest, promised);
  checkLayerCount(config.value, item.layers.length);
  const layers = config.value.rootfs.diff_ids.map((diffId, position) =>
    layerOfFile(archive.get(item.layers[position] ?? ""), diffId),
  );
  const candidates = manifests.filter(
    ({ value }) => value.config.digest === config.digest && value.layers.length === layers.length,
  );
  const image: Image = {
    config,
    layers,
    manifest: async () => (await firstThatFits(candidates, layers)) ?? composeManifest(config, layers),
  };
  return { image, names: item.repoTags.map(parseTag), parent: item.parent };
}

/** `<hex>.json` since Docker 1.10, `blobs/sha256/<hex>` since 25. */
function digestInName(path: string): Digest | undefined {
  const [, hex] = /(?:^|\/)([a-f0-9]{64})(?:\.json)?$/.exec(path) ?? [];
  const digest = `sha256:${hex}`;
  return isDigest(digest) ? digest : undefined;
}

/** The manifest whose layers are the very blobs that manifest.json names. */
async function firstThatFits(
  candidates: readonly Document<Manifest>[],
  layers: readonly Layer[],
): Promise<Document<Manifest> | undefined> {
  const blobs = await Promise.all(layers.map((layer) => layer.descriptor()));
  return candidates.find(({ value }) =>
    value.layers.every(({ digest, size }, at) => digest === blobs[at]?.digest && size === blobs[at]?.size),
  );
}

function parseItems(bytes: Uint8Array): ManifestItem[] {
  return parseJson(bytes, "manifest.json")
    .array(10_000)
    .map((json) => {
      const parent = json.at("Parent").optional((value) => value.string()) ?? "";
      return {
        config: json.at("Config").string(),
        repoTags: json.at("RepoTags").optional((value) => value.strings()) ?? [],
        layers: (json.at("Layers").optional((value) => value.array(mostLayers)) ?? []).map((value) =>
          value.string(),
        ),
        parent: isDigest(parent) ? (parent as ImageId) : undefined,
      };
    });
}

function parseTag(text: string): Reference {
  const name = withDefaultTag(parseReference(text));
  if (name.digest !== undefined) throw new InvalidParameter(`invalid tag ${JSON.stringify(text)}`);
  return name;
}
