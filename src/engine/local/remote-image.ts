/** An image of a registry, as pull wants it: what is here already is not asked for again. */
import { type Digest, isDigest } from "../../core/ids.ts";
import { attestationsOf } from "../../images/attestations.ts";
import type { ContentStore } from "../../images/content.ts";
import { type Document, type Image, type IndexMember, indexDocument } from "../../images/image.ts";
import { type Descriptor, type Index, isIndexType, type Platform } from "../../images/manifest.ts";
import { type Reference, withDefaultTag } from "../../images/references.ts";
import type { RemoteDocument, Repository } from "../../registry/client/index.ts";
import { manifestTypeOf } from "../../registry/client/manifest-type.ts";
import { resolveImage } from "../../registry/resolve.ts";
import { registryImage } from "../../registry/source.ts";

export interface RemoteImage {
  readonly image: Image;
  /** What the name leads to: the index where there is one. */
  readonly descriptor: Descriptor;
  readonly index: IndexMember | undefined;
  /** Of the manifest, which the registry gave byte for byte. */
  readonly manifest: Digest;
  /** What the index lists as statements about it. */
  readonly attestations: readonly Descriptor[];
}

/**
 * Follows a name to the image of one platform. The name is resolved once: everything after it is asked for by digest,
 * so that a tag that moves meanwhile mixes nothing.
 * @param options.platform is called where there is a choice: to find out what this machine's CPU can takes a while.
 * @param options.isKnown the name leads somewhere here already: then it is only looked whether that has changed.
 * @param options.resolved what the registry said that it leads to.
 * @param options.found is called when it is known what the name leads to, before a platform of it is chosen.
 */
export async function remoteImage(
  repository: Repository,
  content: ContentStore,
  reference: Reference,
  options: {
    platform: () => Platform;
    isKnown: boolean;
    resolved: Digest | undefined;
    found: () => void;
    signal: AbortSignal;
  },
): Promise<RemoteImage> {
  const { platform, isKnown, resolved: known, found, signal } = options;
  const documents = new Map<Digest, RemoteDocument>();
  const cached = withKnownDocuments(repository, content, documents);
  const { digest, tag } = withDefaultTag(reference);
  const name = digest ?? tag ?? "";
  const asks = known === undefined && isKnown && digest === undefined;
  const start = asks ? (await repository.resolve(name, signal)).digest : (known ?? name);
  const root = await cached.manifest(start, signal);
  found();
  const resolved = await resolveImage(cached, root.digest, platform, signal);
  const { manifest, index, descriptor } = resolved;
  const image = await registryImage(cached, manifest, signal);
  const member = index === undefined ? undefined : memberOf(index, manifest, documents);
  const lister = member?.path.at(-1)?.value;
  return {
    image,
    descriptor,
    manifest: manifest.digest,
    index: member,
    attestations:
      lister === undefined ? [] : attestationsOf(lister, (subject) => subject === manifest.digest),
  };
}

/** A repository whose documents come from the content store where that has them. */
function withKnownDocuments(
  repository: Repository,
  content: ContentStore,
  documents: Map<Digest, RemoteDocument>,
): Pick<Repository, "domain" | "path" | "manifest" | "document" | "blob"> {
  const known = (tagOrDigest: string): RemoteDocument | undefined => {
    if (!isDigest(tagOrDigest)) return undefined;
    const seen = documents.get(tagOrDigest);
    if (seen !== undefined) return seen;
    const bytes = content.tryRead(tagOrDigest);
    return bytes && { bytes, digest: tagOrDigest, mediaType: manifestTypeOf(bytes, "", tagOrDigest) };
  };
  return {
    domain: repository.domain,
    path: repository.path,
    manifest: async (tagOrDigest, signal) => {
      const document = known(tagOrDigest) ?? (await repository.manifest(tagOrDigest, signal));
      documents.set(document.digest, document);
      return document;
    },
    document: async (descriptor, signal) =>
      content.tryRead(descriptor.digest) ?? repository.document(descriptor, signal),
    blob: (descriptor, options) => repository.blob(descriptor, options),
  };
}

/** The way from the outermost index to the manifest, over documents that were all read on it. */
function memberOf(
  outermost: RemoteDocument,
  manifest: RemoteDocument,
  documents: ReadonlyMap<Digest, RemoteDocument>,
): IndexMember | undefined {
  const walk = (
    path: readonly [Document<Index>, ...Document<Index>[]],
    seen: ReadonlySet<Digest>,
  ): IndexMember | undefined => {
    const last = path.at(-1) ?? path[0];
    for (const descriptor of last.value.manifests) {
      if (descriptor.digest === manifest.digest) return { path, descriptor };
      const next = documents.get(descriptor.digest);
      if (next === undefined || !isIndexType(next.mediaType) || seen.has(next.digest)) continue;
      const found = walk([...path, indexDocument(next.bytes)], new Set([...seen, next.digest]));
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return walk([indexDocument(outermost.bytes)], new Set([outermost.digest]));
}
