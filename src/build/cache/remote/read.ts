/** Reads what a name leads to as a cache: davit's own manifest, or images that carry an inline cache. */
import { InvalidParameter, NotFound } from "../../../core/errors.ts";
import { digestMatches, type Layer } from "../../../images/image.ts";
import { parseJson } from "../../../images/json.ts";
import {
  type Descriptor,
  digestOf,
  isIndexType,
  isManifestType,
  type Manifest,
  type Platform,
  parseIndex,
  parseManifest,
} from "../../../images/manifest.ts";
import { matchPlatform } from "../../../images/platform.ts";
import { compressionOfType } from "../../../images/transfer/layer-form.ts";
import type { Place } from "../../../images/transports/place.ts";
import {
  buildkitConfigType,
  type CacheRecord,
  cacheConfigType,
  inlineField,
  parseRecords,
  readRecords,
} from "./document.ts";
import type { CacheContent } from "./import.ts";
import type { RemoteBlob } from "./layer.ts";

export interface ReadOptions {
  /** As the user has named it. */
  readonly source: string;
  /** Of an index of images, those for these. */
  readonly platforms: readonly Platform[];
  /** The repository that is read. */
  readonly origin?: Layer["origin"];
  /** Is told why something that was found is of no use. */
  readonly note: (text: string) => void;
}

/** Of a cache; an image has at most 127. */
const mostLayers = 10_000;
/** BuildKit's own field in an image's config. */
const buildkitInlineField = "moby.buildkit.cache.v0";
const buildkitNote =
  "this is BuildKit's cache: its keys say nothing to davit, so nothing of it can be used. " +
  "Export one with davit build --cache-to";

/** @throws NotFound, InvalidParameter for what is no cache at all; what the place throws. */
export async function readCache(place: Place, root: Descriptor, options: ReadOptions): Promise<CacheContent> {
  const { source } = options;
  if (!isIndexType(root.mediaType)) return { source, ...(await readManifest(place, root, options)) };
  const index = parseIndex(await documentOf(place, root), `index ${root.digest}`);
  if (index.manifests.some(({ mediaType }) => mediaType === buildkitConfigType)) {
    options.note(buildkitNote);
    return { source, records: [], blobs: [] };
  }
  const all = index.manifests.filter(({ mediaType }) => isManifestType(mediaType));
  const platforms = all.map(({ platform }) => platform);
  const wanted = new Set(options.platforms.map((platform) => matchPlatform(platforms, platform)));
  let content: CacheContent = { source, records: [], blobs: [] };
  for (const at of wanted) {
    const member = at === undefined ? undefined : all[at];
    if (member !== undefined) content = joined(content, await readManifest(place, member, options));
  }
  return content;
}

/** Positions in the second begin where the first ends. */
function joined(
  first: CacheContent,
  { records, blobs }: Pick<CacheContent, "records" | "blobs">,
): CacheContent {
  const moved = records.map((record) => ({
    ...record,
    layer: record.layer + first.blobs.length,
    below: record.below === undefined ? undefined : record.below + first.records.length,
  }));
  return { ...first, records: [...first.records, ...moved], blobs: [...first.blobs, ...blobs] };
}

async function readManifest(
  place: Place,
  descriptor: Descriptor,
  options: ReadOptions,
): Promise<Pick<CacheContent, "records" | "blobs">> {
  if (!isManifestType(descriptor.mediaType)) {
    throw new InvalidParameter(`unsupported manifest format: ${descriptor.mediaType || "none"}`);
  }
  const bytes = await documentOf(place, descriptor);
  const manifest = parseManifest(bytes, `manifest ${descriptor.digest}`, mostLayers);
  const records = await recordsOf(place, manifest, options);
  return { records, blobs: manifest.layers.map((layer) => blobOf(place, layer, options.origin)) };
}

async function recordsOf(
  place: Place,
  { config, layers }: Manifest,
  { note }: ReadOptions,
): Promise<CacheRecord[]> {
  if (config.mediaType === buildkitConfigType) {
    note(buildkitNote);
    return [];
  }
  const bytes = await documentOf(place, config);
  if (config.mediaType === cacheConfigType) return parseRecords(bytes, layers.length);
  const json = parseJson(bytes, `image config ${config.digest}`);
  const inline = json.at(inlineField);
  if (!inline.isAbsent) return readRecords(inline, layers.length);
  note(
    json.at(buildkitInlineField).isAbsent
      ? "the image carries no cache: build it with --cache-to type=inline"
      : buildkitNote,
  );
  return [];
}

/** @throws NotFound, InvalidParameter when it is not what it was announced as */
async function documentOf(place: Place, descriptor: Descriptor): Promise<Uint8Array> {
  const bytes = await place.document(descriptor);
  if (bytes === undefined) throw new NotFound(`content digest ${descriptor.digest}: not found`);
  digestMatches(digestOf(bytes), descriptor.digest);
  return bytes;
}

function blobOf(place: Place, descriptor: Descriptor, origin: RemoteBlob["origin"]): RemoteBlob {
  return {
    descriptor,
    origin,
    open: async function* () {
      if (compressionOfType(descriptor.mediaType) === undefined) {
        throw new InvalidParameter(`unsupported layer media type: ${descriptor.mediaType || "none"}`);
      }
      const blob = place.layer(descriptor);
      if (blob === undefined) throw new NotFound(`content digest ${descriptor.digest}: not found`);
      const source = blob.open();
      if ("path" in source) throw new InvalidParameter("a layer of a cache is read as a stream");
      yield* source;
    },
  };
}
