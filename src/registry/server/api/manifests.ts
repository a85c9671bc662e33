/** Pulling, pushing and removing manifests, and the list of those that refer to one. */
import { largestDocument, mediaTypes } from "../../../images/manifest.ts";
import { failure, RegistryFailure } from "../failures.ts";
import { parseManifestDocument, tooLarge } from "../manifest-document.ts";
import {
  algorithmOf,
  type ContentDigest,
  digestOfBytes,
  isContentDigest,
  type RepositoryName,
  type TagName,
} from "../names.ts";
import type { Call, Registry } from "../registry.ts";
import { feedOfStream } from "../storage/receive.ts";
import type { Referrer, StoredManifest } from "../storage/store.ts";

export type ManifestName = { tag: TagName } | { digest: ContentDigest };

/** Most referrers in one answer. */
const referrersPage = 500;
/** Seconds within which a manifest has to arrive. */
const longestPush = 60;

/** `GET` and `HEAD /v2/<name>/manifests/<reference>` */
export async function readManifest(
  registry: Registry,
  call: Call,
  name: RepositoryName,
  reference: ManifestName,
): Promise<Response> {
  const word = "tag" in reference ? reference.tag : reference.digest;
  const manifest =
    registry.upstream === undefined
      ? registry.store.manifest(name, word)
      : await registry.upstream.manifest(name, word);
  if (manifest === undefined) throw unknownManifest(registry, name, word);
  registry.store.renewManifest(name, manifest.digest);
  return manifestResponse(call, manifest);
}

function manifestResponse(call: Call, { digest, mediaType, bytes }: StoredManifest): Response {
  const headers = {
    "Content-Type": mediaType,
    "Docker-Content-Digest": digest,
    ETag: `"${digest}"`,
    "X-Content-Type-Options": "nosniff",
  };
  if (call.request.headers.get("if-none-match")?.includes(digest)) {
    return new Response(null, { status: 304, headers });
  }
  const withLength = { ...headers, "Content-Length": String(bytes.length) };
  if (call.request.method === "HEAD") return new Response(null, { headers: withLength });
  call.transferred = bytes.length;
  return new Response(bytes, { headers: withLength });
}

/** `PUT /v2/<name>/manifests/<reference>` */
export async function pushManifest(
  registry: Registry,
  call: Call,
  name: RepositoryName,
  reference: ManifestName,
): Promise<Response> {
  call.allowSilence(longestPush);
  const bytes = await readBody(call.request);
  call.transferred = bytes.length;
  const algorithm = "digest" in reference ? algorithmOf(reference.digest) : "sha256";
  const digest = digestOfBytes(bytes, algorithm);
  if ("digest" in reference && reference.digest !== digest) {
    throw failure("DIGEST_INVALID", "provided digest did not match uploaded content", { actual: digest });
  }
  const document = parseManifestDocument(bytes, call.request.headers.get("content-type") ?? "", digest);
  registry.store.putManifest(name, document, {
    checked: true,
    ...("tag" in reference ? { tag: reference.tag } : {}),
  });
  await registry.records.durable();
  return new Response(null, {
    status: 201,
    headers: {
      Location: `/v2/${name}/manifests/${digest}`,
      "Docker-Content-Digest": digest,
      "Content-Length": "0",
      ...(document.subject === undefined ? {} : { "OCI-Subject": document.subject }),
    },
  });
}

/** `DELETE /v2/<name>/manifests/<reference>`: a tag alone, or a manifest with its tags. */
export async function removeManifest(
  registry: Registry,
  name: RepositoryName,
  reference: ManifestName,
): Promise<Response> {
  const { store } = registry;
  const isGone =
    "tag" in reference ? store.removeTag(name, reference.tag) : store.removeManifest(name, reference.digest);
  if (!isGone) throw unknownManifest(registry, name, "tag" in reference ? reference.tag : reference.digest);
  await registry.records.durable();
  return new Response(null, { status: 202 });
}

/** `GET /v2/<name>/referrers/<digest>` */
export async function listReferrers(
  registry: Registry,
  call: Call,
  name: RepositoryName,
  digest: ContentDigest,
): Promise<Response> {
  // A media type holds no blank: who wrote + without escaping it meant +.
  const wanted = call.query.get("artifactType")?.replaceAll(" ", "+") ?? null;
  const last = call.query.get("last") ?? "";
  const after = isContentDigest(last) ? last : "";
  const page = registry.store.referrers(name, digest, after, referrersPage, wanted ?? undefined);
  const headers = new Headers({ "Content-Type": mediaTypes.index });
  if (wanted !== null) headers.set("OCI-Filters-Applied", "artifactType");
  const end = page.at(-1);
  if (page.length === referrersPage && end !== undefined) {
    const query = new URLSearchParams({ last: end.digest });
    if (wanted !== null) query.set("artifactType", wanted);
    headers.set("Link", `</v2/${name}/referrers/${digest}?${query}>; rel="next"`);
  }
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: page.map(describeReferrer) };
  return new Response(JSON.stringify(index), { headers });
}

function describeReferrer({ annotations, artifactType, ...descriptor }: Referrer) {
  return {
    ...descriptor,
    ...(artifactType === "" ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** At most `largestDocument` bytes, in `longestPush`. @throws RegistryFailure MANIFEST_INVALID (408, 413) */
async function readBody(request: Request): Promise<Uint8Array> {
  if (Number(request.headers.get("content-length") ?? 0) > largestDocument) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  if (request.body === null) return new Uint8Array();
  const feed = feedOfStream(request.body);
  const timer = setTimeout(feed.cancel, longestPush * 1000);
  const deadline = Date.now() + longestPush * 1000;
  try {
    for (let step = await feed.next(); step.value !== undefined; step = await feed.next()) {
      size += step.value.length;
      if (size > largestDocument) throw tooLarge();
      chunks.push(step.value);
    }
  } finally {
    clearTimeout(timer);
  }
  if (Date.now() >= deadline) {
    throw new RegistryFailure("MANIFEST_INVALID", "the manifest comes too slowly", { status: 408 });
  }
  return Buffer.concat(chunks);
}

function unknownManifest(registry: Registry, name: RepositoryName, word: string) {
  return registry.upstream === undefined && !registry.store.has(name)
    ? failure("NAME_UNKNOWN", "repository name not known to registry", { name })
    : failure("MANIFEST_UNKNOWN", "manifest unknown", { name, reference: word });
}
