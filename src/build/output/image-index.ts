/**
 * The images of one build under what their names lead to: a single manifest, or an index of one for each platform with
 * what is attested of them. OCI image-spec, image-index.md.
 */
import { type Document, type Image, indexDocument, type NamedImage } from "../../images/image.ts";
import { type Descriptor, type Index, mediaTypes, type Platform } from "../../images/manifest.ts";
import type { Reference } from "../../images/references.ts";
import type { WrittenLayer } from "./layers.ts";

/** An image that was built, with its layers' snapshots. */
export interface BuildImage {
  /** As the index has it. */
  readonly platform: Platform;
  readonly image: Image;
  readonly layers: readonly WrittenLayer[];
}

/** A manifest of statements about an image. */
export interface Attestation {
  readonly image: Image;
  /** In the index. */
  readonly descriptor: Descriptor;
}

/** What is said of images; their manifests are as they will go out. */
export type Attest = (images: readonly BuildImage[]) => Promise<readonly Attestation[]>;

export interface Composed {
  /** At least one. */
  readonly images: readonly BuildImage[];
  readonly attestations: readonly Attestation[];
  /** Undefined for a single image of which nothing is attested. */
  readonly index: Document<Index> | undefined;
}

/** The same images with the same attestations give the same bytes. */
export async function compose(images: readonly BuildImage[], attest: Attest): Promise<Composed> {
  const attestations = await attest(images);
  if (images.length === 1 && attestations.length === 0) return { images, attestations, index: undefined };
  const manifests = await Promise.all(images.map(descriptorOf));
  const index: Index = {
    schemaVersion: 2,
    mediaType: await indexTypeOf(images),
    manifests: [...manifests, ...attestations.map(({ descriptor }) => descriptor)],
  };
  return { images, attestations, index: indexDocument(Buffer.from(JSON.stringify(index))) };
}

/** In the words of the manifests that it lists. */
async function indexTypeOf([first]: readonly BuildImage[]): Promise<string> {
  const type = (await first?.image.manifest())?.value.mediaType;
  return type === mediaTypes.dockerManifest ? mediaTypes.dockerIndex : mediaTypes.index;
}

async function descriptorOf({ image, platform }: BuildImage): Promise<Descriptor> {
  const { value, digest, bytes } = await image.manifest();
  return { mediaType: value.mediaType, digest, size: bytes.byteLength, platform };
}

/** As values for a sink: the images in their order, then what is attested of them. */
export async function namedMembers(
  { images, attestations, index }: Composed,
  names: readonly Reference[],
): Promise<NamedImage[]> {
  const members = await Promise.all(
    images.map(async (each) => ({ image: each.image, descriptor: await descriptorOf(each) })),
  );
  return [...members, ...attestations].map(({ image, descriptor }) => ({
    image,
    names,
    parent: undefined,
    ...(index === undefined ? {} : { index: { path: [index] as const, descriptor } }),
  }));
}
