/**
 * Anywhere that manifests and blobs lie by their digests (a registry, an OCI layout, an archive, the content store),
 * and the images that a descriptor leads to there, through indexes.
 */
import { InvalidParameter, NotFound } from "../../core/errors.ts";
import type { DiffId, Digest } from "../../core/ids.ts";
import { attestationsOf } from "../attestations.ts";
import {
  checkLayerCount,
  configDocument,
  type Document,
  type Image,
  type IndexMember,
  indexDocument,
  type Layer,
  manifestDocument,
  type NamedImage,
} from "../image.ts";
import {
  type Descriptor,
  digestOf,
  type ImageConfig,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  mediaTypes,
  type Platform,
} from "../manifest.ts";
import { familiarPlatform, formatPlatform, matchPlatform } from "../platform.ts";

export interface Place {
  /** A manifest, index or config: its bytes, which `imagesAt` checks; undefined when it is not there. */
  document(descriptor: Descriptor): Promise<Uint8Array | undefined>;
  /** A layer's blob; undefined when it is known not to be there. Who reads its bytes finds them checked. */
  layer(descriptor: Descriptor): Omit<Layer, "diffId"> | undefined;
}

/** All that an index lists, attestations and artifacts too; or the best match for each platform, with its attestations. */
export type PlatformChoice = "all" | readonly Platform[];

/** As containerd and registries: deeper nesting is a mistake or an attack. */
const deepestIndex = 4;
const mostMembers = 10_000;

/**
 * The images that `root` leads to. Of an index, members that are not there in full are left out.
 * @throws NotFound when the root itself is missing, or an index has nothing for a platform (or nothing at all) here;
 *   InvalidParameter for documents that are not what their descriptors say, and for circular or deep indexes.
 */
export async function* imagesAt(
  place: Place,
  root: Descriptor,
  choice: PlatformChoice,
): AsyncGenerator<Pick<NamedImage, "image" | "index">> {
  if (!isIndexType(root.mediaType)) {
    const image = await imageOfManifest(place, root);
    if (image === undefined) throw new NotFound(`content digest ${root.digest}: not found`);
    yield { image };
    return;
  }
  const members = new Map<Digest, IndexMember>();
  await collectMembers(place, root, [], members);
  let found = 0;
  const wanted = choice === "all" ? new Set(members.values()) : chosen([...members.values()], choice);
  for (const member of wanted) {
    const image = await imageOfManifest(place, member.descriptor);
    if (image === undefined) {
      if (choice === "all") continue;
      throw noMatch(member.descriptor.platform);
    }
    found += 1;
    yield { image, index: member };
  }
  if (found === 0) throw new NotFound(`index ${root.digest}: none of its manifests is here`);
  if (choice !== "all") yield* attestationsAt(place, wanted, members);
}

/** What is attested of the chosen members, as far as it is there. */
async function* attestationsAt(
  place: Place,
  chosenMembers: ReadonlySet<IndexMember>,
  members: ReadonlyMap<Digest, IndexMember>,
): AsyncGenerator<Pick<NamedImage, "image" | "index">> {
  const subjects = new Set([...chosenMembers].map(({ descriptor }) => descriptor.digest));
  const indexes = new Set([...chosenMembers].map(({ path }) => path.at(-1) ?? path[0]));
  for (const { value } of indexes) {
    for (const { digest } of attestationsOf(value, (subject) => subjects.has(subject))) {
      const member = members.get(digest);
      const image = member === undefined ? undefined : await imageOfManifest(place, member.descriptor);
      if (member !== undefined && image !== undefined) yield { image, index: member };
    }
  }
}

/** The image of a manifest; undefined when the manifest, its config or one of its layers is not there. */
export async function imageOfManifest(place: Place, descriptor: Descriptor): Promise<Image | undefined> {
  if (!isManifestType(descriptor.mediaType)) {
    throw new InvalidParameter(`unsupported manifest format: ${descriptor.mediaType || "none"}`);
  }
  const what = `manifest ${descriptor.digest}`;
  const bytes = await place.document(descriptor);
  if (bytes === undefined) return undefined;
  const manifest = manifestDocument(checked(bytes, descriptor, what), what);
  checkType(manifest.value.mediaType, descriptor, what);
  const configBytes = await place.document(manifest.value.config);
  if (configBytes === undefined) return undefined;
  const blobs = manifest.value.layers.map((layer) => place.layer(layer));
  if (blobs.includes(undefined)) return undefined;
  const config = readConfig(manifest.value, configBytes);
  const diffIds =
    config.isArtifact === true
      ? manifest.value.layers.map(({ digest }) => digest as DiffId)
      : config.document.value.rootfs.diff_ids;
  const layers = blobs.flatMap((blob, position): Layer[] => {
    const diffId = diffIds[position];
    return blob === undefined || diffId === undefined ? [] : [{ diffId, ...blob }];
  });
  return {
    ...(config.isArtifact ? { isArtifact: true } : {}),
    config: config.document,
    layers,
    manifest: async () => {
      await Promise.all(layers.map((layer) => layer.descriptor()));
      return manifest;
    },
  };
}

/** What registries of old and plain HTTP servers call a config. */
const configTypes = new Set<string>([
  mediaTypes.config,
  mediaTypes.dockerConfig,
  "application/octet-stream",
  "application/json",
  "",
]);

/** An image's config, or that of an artifact, of which nothing is read. @throws InvalidParameter */
export function readConfig(
  manifest: Manifest,
  bytes: Uint8Array,
): { document: Document<ImageConfig>; isArtifact: boolean } {
  const descriptor = manifest.config;
  const what = `image config ${descriptor.digest}`;
  checked(bytes, descriptor, what);
  if (!configTypes.has(descriptor.mediaType)) {
    const value: ImageConfig = {
      architecture: "",
      os: "",
      config: {},
      rootfs: { type: "layers", diff_ids: [] },
      history: [],
    };
    return { document: { bytes, digest: descriptor.digest, value }, isArtifact: true };
  }
  const document = configDocument(bytes, what);
  checkLayerCount(document.value, manifest.layers.length);
  return { document, isArtifact: false };
}

/** Depth first, in the order of the indexes; a manifest that is listed twice counts once. */
async function collectMembers(
  place: Place,
  descriptor: Descriptor,
  above: readonly Document<Index>[],
  members: Map<Digest, IndexMember>,
): Promise<void> {
  const what = `index ${descriptor.digest}`;
  if (above.some(({ digest }) => digest === descriptor.digest)) {
    throw new InvalidParameter(`${what} contains itself`);
  }
  if (above.length >= deepestIndex) throw new InvalidParameter(`${what}: indexes are nested too deeply`);
  const bytes = await place.document(descriptor);
  if (bytes === undefined) {
    // A member that is not here, like any other; but without the root there is nothing.
    if (above.length > 0) return;
    throw new NotFound(`content digest ${descriptor.digest}: not found`);
  }
  const document = indexDocument(checked(bytes, descriptor, what), what);
  checkType(document.value.mediaType, descriptor, what);
  const path: IndexMember["path"] =
    above[0] === undefined ? [document] : [above[0], ...above.slice(1), document];
  for (const member of document.value.manifests) {
    if (isIndexType(member.mediaType)) await collectMembers(place, member, path, members);
    else if (isManifestType(member.mediaType) && !members.has(member.digest)) {
      members.set(member.digest, { path, descriptor: member });
    }
    if (members.size > mostMembers)
      throw new InvalidParameter(`${what} lists more than ${mostMembers} manifests`);
  }
}

/** In the order of the platforms, each member once. */
function chosen(members: readonly IndexMember[], platforms: readonly Platform[]): Set<IndexMember> {
  const candidates = members.filter(({ descriptor }) => descriptor.platform?.os !== "unknown");
  return new Set(
    platforms.map((platform) => {
      const at = matchPlatform(
        candidates.map(({ descriptor }) => descriptor.platform),
        platform,
      );
      const member = at === undefined ? undefined : candidates[at];
      if (member === undefined) throw noMatch(platform);
      return member;
    }),
  );
}

function noMatch(platform: Platform | undefined): NotFound {
  const shown = platform === undefined ? "unknown" : formatPlatform(familiarPlatform(platform));
  return new NotFound(`no matching manifest for ${shown} in the manifest list entries`);
}

function checked(bytes: Uint8Array, { digest, size }: Descriptor, what: string): Uint8Array {
  if (bytes.byteLength !== size) {
    throw new InvalidParameter(`${what} has ${bytes.byteLength} bytes, its descriptor says ${size}`);
  }
  const actual = digestOf(bytes);
  if (actual !== digest) throw new InvalidParameter(`${what} has the content of ${actual}`);
  return bytes;
}

/** A document that says of itself what it is must be what it was announced as. */
function checkType(own: string, announced: Descriptor, what: string): void {
  const isSame = isIndexType(announced.mediaType) ? isIndexType(own) : isManifestType(own);
  if (!isSame) throw new InvalidParameter(`${what} is a ${own}, its descriptor says ${announced.mediaType}`);
}
