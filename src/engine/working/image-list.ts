/**
 * `commit --manifest`: the image becomes a member of a list of images, which is made if there is none of that name. The
 * list is an index (OCI image-spec, image-index.md) that a name leads to, as that of a build for several platforms.
 */
import { imageInForm } from "../../build/output/forms.ts";
import { Conflict, InvalidParameter } from "../../core/errors.ts";
import { collect } from "../../images/collect.ts";
import type { IngestSession } from "../../images/content.ts";
import { type Image, indexDocument, type NamedImage } from "../../images/image.ts";
import { variantsOf } from "../../images/index-records.ts";
import { type Descriptor, type Index, mediaTypes } from "../../images/manifest.ts";
import { imageByName } from "../../images/records.ts";
import { canonicalForm, parseReference, type Reference, withDefaultTag } from "../../images/references.ts";
import { defaultForm } from "../../images/transfer/layer-form.ts";
import { storedImages } from "../../images/transports/stored-source.ts";
import { platformOfConfig } from "../../images/variants.ts";
import { lock } from "../../state/locks.ts";
import type { Local } from "../local/local.ts";

export interface OpenList extends Disposable {
  readonly name: Reference;
  /** The image, with its layers compressed as they will travel, for the list stands for these very bytes. */
  formed(image: Image): Promise<Image>;
  /** All members from now on, to be stored together. @param image formed */
  with(image: Image): Promise<NamedImage[]>;
  /** Once they are stored: removes what the list was before. */
  tidy(): Promise<void>;
}

/**
 * Holds on to a list: of two commits at the same time both come to be in it.
 * @throws Conflict in Buildah's words when an image has the name; InvalidParameter
 */
export async function openList(
  local: Local,
  text: string,
  { session, signal }: { session: IngestSession; signal: AbortSignal },
): Promise<OpenList> {
  const name = withDefaultTag(parseReference(text));
  if (name.digest !== undefined) throw new InvalidParameter(`a digest cannot be given to a list: ${text}`);
  const held = await lock(local.instance, "lists", { signal });
  try {
    const before = membersOf(local, name, session);
    return {
      name,
      formed: (image) => imageInForm(image, { layers: defaultForm }, { state: local.state, session, signal }),
      with: (image) => withMember(before, image, name),
      tidy: async () => {
        if (before.length === 0) return;
        using _images = await lock(local.instance, "images", { signal });
        await collect(local);
      },
      [Symbol.dispose]: () => held[Symbol.dispose](),
    };
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
}

/** @throws Conflict */
function membersOf(local: Local, name: Reference, session: IngestSession): NamedImage[] {
  const { state } = local;
  const reference = canonicalForm(name);
  const image = imageByName(state, name);
  if (image === undefined) return [];
  if (variantsOf(state, reference) === undefined) {
    const shown = `${JSON.stringify(reference)} is already associated with image ${JSON.stringify(image.id)}`;
    throw new Conflict(
      `creating image to hold manifest list: image name ${shown}: that name is already in use`,
    );
  }
  return storedImages(local, [reference], "all", session);
}

async function withMember(
  before: readonly NamedImage[],
  image: Image,
  name: Reference,
): Promise<NamedImage[]> {
  const descriptor = await descriptorOf(image);
  const known = before.find(({ index }) => index !== undefined)?.index?.path[0].value;
  const manifests = (known?.manifests ?? []).filter(({ digest }) => digest !== descriptor.digest);
  const isDocker = descriptor.mediaType === mediaTypes.dockerManifest;
  const value: Index = {
    ...(known ?? { schemaVersion: 2, mediaType: isDocker ? mediaTypes.dockerIndex : mediaTypes.index }),
    manifests: [...manifests, descriptor],
  };
  const path = [indexDocument(Buffer.from(JSON.stringify(value)))] as const;
  const others = before.flatMap(({ index, ...member }) =>
    index === undefined || index.descriptor.digest === descriptor.digest
      ? []
      : [{ ...member, index: { path, descriptor: index.descriptor } }],
  );
  return [...others, { image, parent: undefined, index: { path, descriptor } }].map((member) => ({
    ...member,
    names: [name],
  }));
}

async function descriptorOf(image: Image): Promise<Descriptor> {
  const { value, digest, bytes } = await image.manifest();
  const platform = platformOfConfig(image.config.value);
  return { mediaType: value.mediaType, digest, size: bytes.byteLength, platform };
}
