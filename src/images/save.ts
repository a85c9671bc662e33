/**
 * `save`: images into one archive that Docker reads (manifest.json, repositories) and OCI tools too (oci-layout,
 * index.json). Blobs go out as they are stored, each once.
 */
import { statSync } from "node:fs";
import { NotFound } from "../core/errors.ts";
import type { Digest } from "../core/ids.ts";
import { appendEvent, ringBell } from "../state/events.ts";
import type { State } from "../state/state.ts";
import type { ContentStore, IngestSession } from "./content.ts";
import { imageEvent } from "./events.ts";
import { configDocument, type Document, manifestDocument } from "./image.ts";
import { nameAnnotations } from "./index-file.ts";
import type { TarWriterMember } from "./layers/tar-writer.ts";
import { writeTar } from "./layers/tar-writer.ts";
import { type Descriptor, type ImageConfig, type Manifest, mediaTypes } from "./manifest.ts";
import { allImages, findImage, type ImageRecord } from "./records.ts";
import {
  canonicalForm,
  familiarName,
  familiarOfCanonical,
  parseImageSpecifier,
  parseReference,
  repositoryOf,
} from "./references.ts";

interface SavedImage {
  record: ImageRecord;
  manifest: Document<Manifest>;
  config: Document<ImageConfig>;
  /** Canonical tags that go into the archive. */
  names: Set<string>;
}

/**
 * A name with a tag saves that tag; one without saves all tags of the repository; an id saves the image without
 * names. Nothing is written before all references are found.
 * @throws NotFound
 */
export async function* saveImages(
  state: State,
  content: ContentStore,
  references: readonly string[],
): AsyncGenerator<Uint8Array> {
  using session = content.openSession();
  const images = select(state, content, references);
  // A removal meanwhile must not take the blobs away: the session holds on to each.
  const held = holdBlobs(session, images);
  yield* writeTar(members(images, held));
  for (const { record, config } of images) {
    appendEvent(state, imageEvent("save", record.id, config.value.config));
  }
  ringBell(state.instance);
}

function select(state: State, content: ContentStore, references: readonly string[]): SavedImage[] {
  const chosen = new Map<string, SavedImage>();
  const choose = (record: ImageRecord): SavedImage => {
    const known = chosen.get(record.id);
    if (known !== undefined) return known;
    const image = {
      record,
      manifest: manifestDocument(content.read(record.manifest)),
      config: configDocument(content.read(record.id)),
      names: new Set<string>(),
    };
    chosen.set(record.id, image);
    return image;
  };
  for (const reference of references) {
    const tagged = tagsOfRepository(state, reference);
    for (const { record, name } of tagged) choose(record).names.add(name);
    if (tagged.length > 0) continue;
    const image = choose(findImage(state, reference));
    const specifier = parseImageSpecifier(reference);
    const name = specifier.kind === "name" ? canonicalForm(specifier.reference) : "";
    if (image.record.tags.includes(name)) image.names.add(name);
  }
  return [...chosen.values()];
}

/** All tags of the repository that a bare name means; none when the reference says more, or is an id. */
function tagsOfRepository(state: State, text: string): { record: ImageRecord; name: string }[] {
  const specifier = parseImageSpecifier(text);
  if (specifier.kind === "id") return [];
  const { reference } = specifier;
  if (reference.tag !== undefined || reference.digest !== undefined) return [];
  const repository = repositoryOf(reference);
  return allImages(state).flatMap((record) =>
    record.tags
      .filter((name) => repositoryOf(parseReference(name)) === repository)
      .map((name) => ({ record, name })),
  );
}

function holdBlobs(session: IngestSession, images: readonly SavedImage[]): Map<Digest, string> {
  const held = new Map<Digest, string>();
  for (const { manifest, config } of images) {
    for (const digest of [manifest.digest, config.digest, ...manifest.value.layers.map((l) => l.digest)]) {
      if (held.has(digest)) continue;
      const blob = session.hold(digest);
      if (blob === undefined) throw new NotFound(`content digest ${digest}: not found`);
      held.set(digest, blob.path);
    }
  }
  return held;
}

function* members(
  images: readonly SavedImage[],
  blobs: ReadonlyMap<Digest, string>,
): Iterable<TarWriterMember> {
  yield textFile("oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  yield textFile("index.json", JSON.stringify(indexOf(images)));
  yield textFile("manifest.json", JSON.stringify(images.map(dockerItemOf)));
  const repositories = repositoriesOf(images);
  if (Object.keys(repositories).length > 0) yield textFile("repositories", JSON.stringify(repositories));
  yield { entry: { name: "blobs/", type: "directory" } };
  yield { entry: { name: "blobs/sha256/", type: "directory" } };
  for (const [digest, path] of blobs) {
    yield {
      entry: { name: blobName(digest), type: "file", size: statSync(path).size },
      content: Bun.file(path).stream(),
    };
  }
}

function indexOf(images: readonly SavedImage[]): unknown {
  const manifests = images.flatMap(({ manifest, config, names }): Descriptor[] => {
    const { architecture, os, variant } = config.value;
    const descriptor: Descriptor = {
      mediaType: manifest.value.mediaType,
      digest: manifest.digest,
      size: manifest.bytes.byteLength,
      platform: { architecture, os: os || "linux", ...(variant === undefined ? {} : { variant }) },
    };
    return names.size === 0
      ? [descriptor]
      : [...names].map((name) => ({ ...descriptor, annotations: nameAnnotations(name) }));
  });
  return { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
}

function dockerItemOf({ manifest, config, names }: SavedImage): unknown {
  const layers = manifest.value.layers;
  return {
    Config: blobName(config.digest),
    RepoTags: names.size === 0 ? null : [...names].map(familiarOfCanonical),
    Layers: layers.map(({ digest }) => blobName(digest)),
    LayerSources: Object.fromEntries(
      layers.map(({ mediaType, size, digest }, at) => [
        config.value.rootfs.diff_ids[at],
        { mediaType, size, digest },
      ]),
    ),
  };
}

/** What Docker before 1.10 went by: repository → tag → the hex of the uppermost layer. */
function repositoriesOf(images: readonly SavedImage[]): Record<string, Record<string, string>> {
  const repositories = new Map<string, Map<string, string>>();
  for (const { manifest, names } of images) {
    const top = manifest.value.layers.at(-1)?.digest;
    if (top === undefined) continue;
    for (const name of [...names].map(parseReference)) {
      const tags = repositories.get(familiarName(name)) ?? new Map<string, string>();
      repositories.set(familiarName(name), tags.set(name.tag ?? "latest", top.slice("sha256:".length)));
    }
  }
  return Object.fromEntries([...repositories].map(([name, tags]) => [name, Object.fromEntries(tags)]));
}

function textFile(name: string, text: string): TarWriterMember {
  const content = Buffer.from(text);
  return { entry: { name, type: "file", size: content.byteLength }, content };
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${digest.slice("sha256:".length)}`;
}
