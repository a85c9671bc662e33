/** The local store as a source of images. */
import { NotFound } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import type { State } from "../../state/state.ts";
import type { ContentStore, IngestSession } from "../content.ts";
import { type IndexMember, indexDocument, type Layer, type NamedImage } from "../image.ts";
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
      for (const chosen of choose(stores, name, choice)) {
        const key = `${chosen.index ?? ""} ${chosen.manifest}`;
        const known = images.get(key) ?? namedImage(stores, chosen, session);
        images.set(key, { ...known, names: [...known.names, ...nameFor(name, chosen.record, known)] });
      }
    }
  }
  return [...images.values()];
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
