/** The local store as a source of images. */
import { NotFound } from "../../core/errors.ts";
import type { DiffId, Digest } from "../../core/ids.ts";
import type { State } from "../../state/state.ts";
import { type HeldAttestation, heldAttestations } from "../attestations.ts";
import type { ContentStore, IngestSession } from "../content.ts";
import {
  type Image,
  type IndexMember,
  indexDocument,
  type Layer,
  manifestDocument,
  type NamedImage,
} from "../image.ts";
import { indexTree } from "../index-tree.ts";
import { type Platform, parseManifest } from "../manifest.ts";
import { allImages, type ImageRecord } from "../records.ts";
import {
  canonicalForm,
  parseImageSpecifier,
  parseReference,
  type Reference,
  repositoryOf,
  withDefaultTag,
} from "../references.ts";
import { allPlatformsOf, type ChosenImage, imageFor } from "../variants.ts";
import { readConfig } from "./place.ts";
import { storedDescriptor, storedImage } from "./stored-image.ts";

interface Stores {
  readonly state: State;
  readonly content: ContentStore;
}

/** Undefined: what the name stands for by itself. */
export type StoredChoice = "all" | readonly (Platform | undefined)[];

/**
 * The images that words stand for, each once with all its names. A bare repository name means all its tags.
 * @param session holds on to every blob, so that a removal meanwhile takes none away.
 * @throws NotFound for an image, a platform or a blob that is not here.
 */
export function storedImages(
  stores: Stores,
  references: readonly string[],
  choice: StoredChoice,
  session: IngestSession,
): NamedImage[] {
  const images = new Map<string, NamedImage>();
  for (const reference of references) {
    const names = tagsOfRepository(stores.state, reference) ?? [reference];
    for (const name of names) {
      const all = choose(stores, name, choice);
      for (const chosen of all) {
        const key = `${chosen.index ?? ""} ${chosen.manifest}`;
        const known = images.get(key) ?? namedImage(stores, chosen, session);
        images.set(key, { ...known, names: [...known.names, ...nameFor(name, chosen.record, known)] });
      }
      for (const [key, statement] of statementsOf(stores, all, images, session)) images.set(key, statement);
    }
  }
  return [...images.values()];
}

/** What is attested of images that an index leads to, under the names that they have. */
function* statementsOf(
  { content }: Stores,
  chosen: readonly ChosenImage[],
  images: ReadonlyMap<string, NamedImage>,
  session: IngestSession,
): Generator<[key: string, NamedImage]> {
  const subjects = new Set(chosen.map(({ manifest }) => manifest));
  for (const index of new Set(chosen.flatMap((image) => image.index ?? []))) {
    const names = images.get(`${index} ${chosen[0]?.manifest ?? ""}`)?.names ?? [];
    const outermost = indexDocument(content.read(index));
    for (const inner of indexTree(content, index).documents.values()) {
      for (const held of heldAttestations(content, inner, (digest) => subjects.has(digest))) {
        const { descriptor } = held;
        const member = { path: [outermost] as const, descriptor };
        const image = storedAttestation(content, held, session);
        yield [`${index} ${descriptor.digest}`, { image, names, parent: undefined, index: member }];
      }
    }
  }
}

function storedAttestation(
  content: ContentStore,
  { descriptor, manifest }: HeldAttestation,
  session: IngestSession,
): Image {
  const document = manifestDocument(content.read(descriptor.digest));
  const { document: config, isArtifact } = readConfig(manifest, content.read(manifest.config.digest));
  const layers = manifest.layers.map((layer): Layer => {
    const blob = session.hold(layer.digest);
    if (blob === undefined) throw new NotFound(`content digest ${layer.digest}: not found`);
    return {
      diffId: layer.digest as DiffId,
      descriptor: async () => layer,
      open: () => ({ path: blob.path }),
      ingested: blob,
    };
  });
  return { ...(isArtifact ? { isArtifact } : {}), config, layers, manifest: async () => document };
}

function choose(stores: Stores, name: string, choice: StoredChoice): ChosenImage[] {
  return choice === "all"
    ? allPlatformsOf(stores, name)
    : choice.map((platform) => imageFor(stores, name, platform));
}

function namedImage(stores: Stores, chosen: ChosenImage, session: IngestSession): NamedImage {
  const image = storedImage(stores, chosen.record, chosen.manifest);
  const hold = (digest: Digest) => {
    const blob = session.hold(digest);
    if (blob === undefined) throw new NotFound(`content digest ${digest}: not found`);
    return blob;
  };
  const { layers: descriptors } = parseManifest(stores.content.read(chosen.manifest));
  const layers = image.layers.map((layer, position): Layer => {
    const digest = descriptors[position]?.digest;
    if (digest === undefined) return layer;
    const blob = hold(digest);
    return { ...layer, open: () => ({ path: blob.path }), ingested: blob };
  });
  const index = chosen.index === undefined ? undefined : memberOf(stores.content, chosen.index, chosen);
  return {
    image: { ...image, layers },
    names: [],
    parent: chosen.record.parent,
    ...(index === undefined ? {} : { index }),
  };
}

function memberOf(content: ContentStore, index: Digest, { manifest, platform }: ChosenImage): IndexMember {
  const document = indexDocument(content.read(index));
  const listed = document.value.manifests.find(({ digest }) => digest === manifest);
  return {
    path: [document],
    descriptor: listed ?? { ...storedDescriptor(content, manifest, "manifest"), platform },
  };
}

/** The tag that a word is, where the image goes by it; none for ids and digests. */
function nameFor(text: string, record: ImageRecord, known: NamedImage): Reference[] {
  const specifier = parseImageSpecifier(text);
  if (specifier.kind === "id" || specifier.reference.digest !== undefined) return [];
  const reference = withDefaultTag(specifier.reference);
  const name = canonicalForm(reference);
  const isOwn = record.tags.includes(name) || record.variantOf.includes(name);
  return isOwn && !known.names.some((other) => canonicalForm(other) === name) ? [reference] : [];
}

/** All tags of the repository that a bare name means; undefined when there are none, or the word says more. */
function tagsOfRepository(state: State, text: string): string[] | undefined {
  const specifier = parseImageSpecifier(text);
  if (specifier.kind === "id") return undefined;
  const { reference } = specifier;
  if (reference.tag !== undefined || reference.digest !== undefined) return undefined;
  const repository = repositoryOf(reference);
  const tags = allImages(state)
    .flatMap((record) => record.tags)
    .filter((name) => repositoryOf(parseReference(name)) === repository);
  return tags.length === 0 ? undefined : tags;
}
