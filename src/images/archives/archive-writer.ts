/**
 * Images into one archive: an OCI layout, and for Docker a manifest.json beside it. Blobs go out as they are, each
 * once; documents byte for byte.
 */
import type { Digest } from "../../core/ids.ts";
import type { Image, NamedImage } from "../image.ts";
import { isFileRange } from "../layers/byte-source.ts";
import type { ByteSource } from "../layers/tar-entry.ts";
import { type TarWriterMember, writeTar } from "../layers/tar-writer.ts";
import { type Descriptor, mediaTypes } from "../manifest.ts";
import { blobName } from "../oci-layout.ts";
import { detectHostPlatform, matchPlatform } from "../platform.ts";
import { canonicalForm, familiarForm, familiarName } from "../references.ts";
import { nameAnnotations } from "../transports/layout-names.ts";
import { documentsOf, type Root, rootsOf } from "../transports/roots.ts";

export interface ArchiveOptions {
  /** Also manifest.json and `repositories`: what `docker load` and `skopeo docker-archive:` go by. */
  docker: boolean;
  /** How index.json names a root; by default for containerd and by its tag. One entry for each, or one without. */
  annotationsOf?: (root: Root) => Record<string, string>[];
  signal?: AbortSignal;
}

/** The archive's bytes. All documents are read before the first byte is given. */
export async function* archiveBytes(
  images: readonly NamedImage[],
  options: ArchiveOptions,
): AsyncGenerator<Uint8Array> {
  yield* writeTar(members(images, await rootsOf(images), options));
}

async function* members(
  images: readonly NamedImage[],
  roots: readonly Root[],
  options: ArchiveOptions,
): AsyncGenerator<TarWriterMember> {
  yield textFile("oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  yield textFile(
    "index.json",
    JSON.stringify(layoutIndex(roots, options.annotationsOf ?? annotationsByName)),
  );
  if (options.docker) {
    const main = roots.map(preferredMember);
    yield textFile("manifest.json", JSON.stringify(await Promise.all(main.map(dockerItemOf))));
    const repositories = await repositoriesOf(main);
    if (Object.keys(repositories).length > 0) yield textFile("repositories", JSON.stringify(repositories));
  }
  yield { entry: { name: "blobs/", type: "directory" } };
  yield { entry: { name: "blobs/sha256/", type: "directory" } };
  const written = new Set<Digest>();
  const isNew = (digest: Digest) => !written.has(digest) && written.add(digest) !== undefined;
  for (const { bytes, digest } of await documentsOf(images)) {
    if (isNew(digest)) yield blobFile(digest, bytes.byteLength, bytes);
  }
  for (const { image } of images) {
    for (const layer of image.layers) {
      options.signal?.throwIfAborted();
      const { digest, size } = await layer.descriptor();
      if (isNew(digest)) yield blobFile(digest, size, streamOf(layer.open()));
    }
  }
}

/** The index.json of a layout with these roots. */
export function layoutIndex(
  roots: readonly Root[],
  annotationsOf: (root: Root) => Record<string, string>[],
): { schemaVersion: 2; mediaType: string; manifests: Descriptor[] } {
  const manifests = roots.flatMap((root): Descriptor[] => {
    const annotations = annotationsOf(root);
    return annotations.length === 0
      ? [root.descriptor]
      : annotations.map((each) => ({ ...root.descriptor, annotations: each }));
  });
  return { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
}

function annotationsByName({ names }: Root): Record<string, string>[] {
  return names.map((name) => nameAnnotations(canonicalForm(name)));
}

/** Docker's manifest.json knows one platform: this machine's where it is among them. */
function preferredMember({ names, members: all }: Root): NamedImage {
  const at = matchPlatform(
    all.map(({ index }) => index?.descriptor.platform),
    detectHostPlatform(),
  );
  const [first] = all;
  return { ...(all[at ?? 0] ?? first), names };
}

async function dockerItemOf({ image, names }: NamedImage): Promise<unknown> {
  const layers = await Promise.all(image.layers.map((layer) => layer.descriptor()));
  return {
    Config: blobName(image.config.digest),
    RepoTags: names.length === 0 ? null : names.map(familiarForm),
    Layers: layers.map(({ digest }) => blobName(digest)),
    LayerSources: Object.fromEntries(
      layers.map(({ mediaType, size, digest }, at) => [
        image.layers[at]?.diffId ?? digest,
        { mediaType, size, digest },
      ]),
    ),
  };
}

/** What Docker before 1.10 went by: repository → tag → the hex of the uppermost layer. */
async function repositoriesOf(
  images: readonly NamedImage[],
): Promise<Record<string, Record<string, string>>> {
  const repositories = new Map<string, Map<string, string>>();
  for (const { image, names } of images) {
    const top = await topLayer(image);
    if (top === undefined) continue;
    for (const name of names) {
      const tags = repositories.get(familiarName(name)) ?? new Map<string, string>();
      repositories.set(familiarName(name), tags.set(name.tag ?? "latest", top.slice("sha256:".length)));
    }
  }
  return Object.fromEntries([...repositories].map(([name, tags]) => [name, Object.fromEntries(tags)]));
}

async function topLayer(image: Image): Promise<Digest | undefined> {
  return (await image.layers.at(-1)?.descriptor())?.digest;
}

function textFile(name: string, text: string): TarWriterMember {
  const content = Buffer.from(text);
  return { entry: { name, type: "file", size: content.byteLength }, content };
}

function blobFile(
  digest: Digest,
  size: number,
  content: Uint8Array | AsyncIterable<Uint8Array>,
): TarWriterMember {
  return { entry: { name: blobName(digest), type: "file", size }, content };
}

function streamOf(source: ByteSource): AsyncIterable<Uint8Array> {
  if (!isFileRange(source)) return source;
  const { path, offset = 0, length } = source;
  const file = Bun.file(path);
  return (length === undefined ? file.slice(offset) : file.slice(offset, offset + length)).stream();
}
