/** What names lead to at a target: an index with its members, or a single manifest. */
import type { Digest } from "../../core/ids.ts";
import type { Document, NamedImage } from "../image.ts";
import type { Descriptor } from "../manifest.ts";
import { canonicalForm, type Reference } from "../references.ts";
import { platformOfConfig } from "../variants.ts";

export interface Root {
  /** Of the index or manifest. A manifest's platform is its config's. */
  readonly descriptor: Descriptor;
  readonly document: Document<{ mediaType: string }>;
  readonly names: readonly Reference[];
  /** One for a manifest; those that travel of an index. */
  readonly members: readonly [NamedImage, ...NamedImage[]];
}

/** Images that are members of the same index are one root; the same manifest under several names too. */
export async function rootsOf(images: readonly NamedImage[]): Promise<Root[]> {
  const roots = new Map<Digest, Root>();
  for (const named of images) {
    const document = named.index?.path[0] ?? (await named.image.manifest());
    const known = roots.get(document.digest);
    if (known === undefined) {
      roots.set(document.digest, {
        descriptor: describe(document, named),
        document,
        names: named.names,
        members: [named],
      });
    } else {
      roots.set(document.digest, {
        ...known,
        names: union(known.names, named.names),
        members: named.index === undefined ? known.members : [...known.members, named],
      });
    }
  }
  return [...roots.values()];
}

/** Indexes, manifests and configs, each once, what is referred to before what refers to it. */
export async function documentsOf(images: readonly NamedImage[]): Promise<Document<unknown>[]> {
  const documents = new Map<Digest, Document<unknown>>();
  for (const { image } of images) {
    const manifest = await image.manifest();
    documents.set(image.config.digest, image.config).set(manifest.digest, manifest);
  }
  for (const { index } of images) {
    for (const document of index?.path.toReversed() ?? []) documents.set(document.digest, document);
  }
  return [...documents.values()];
}

function describe(document: Document<{ mediaType: string }>, { image, index }: NamedImage): Descriptor {
  const descriptor = {
    mediaType: document.value.mediaType,
    digest: document.digest,
    size: document.bytes.byteLength,
  };
  return index !== undefined || image.isArtifact === true
    ? descriptor
    : { ...descriptor, platform: platformOfConfig(image.config.value) };
}

function union(left: readonly Reference[], right: readonly Reference[]): Reference[] {
  return [...new Map([...left, ...right].map((name) => [canonicalForm(name), name])).values()];
}
