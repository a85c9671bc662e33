/** Which endpoint an address means. OCI distribution specification, "Endpoints". */
import { failure } from "./failures.ts";
import {
  type ContentDigest,
  parseContentDigest,
  parseManifestReference,
  parseRepositoryName,
  type RepositoryName,
  type TagName,
} from "./names.ts";

export type Route =
  | { kind: "base" }
  | { kind: "catalog" }
  | { kind: "tags"; repository: RepositoryName }
  | { kind: "manifest"; repository: RepositoryName; reference: { tag: TagName } | { digest: ContentDigest } }
  | { kind: "blob"; repository: RepositoryName; digest: ContentDigest }
  | { kind: "uploads"; repository: RepositoryName }
  | { kind: "upload"; repository: RepositoryName; id: string }
  | { kind: "referrers"; repository: RepositoryName; digest: ContentDigest }
  | { kind: "ping" }
  | { kind: "search" }
  | { kind: "page"; repository: RepositoryName | undefined; tag: TagName | undefined };

/** Longer paths name nothing: a name has 255 letters, a digest 135. */
const longestPath = 1024;
const rest = /^\/v2\/(.+)\/(manifests|blobs|referrers|tags)\/([^/]+)$/;
const uploads = /^\/v2\/(.+)\/blobs\/uploads\/?$/;
const upload = /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/;
const page = /^\/repositories\/(.+?)\/?$/;

/**
 * @param path of the address, without its query
 * @throws RegistryFailure when a name, tag or digest in it breaks the grammar; undefined when it is no endpoint
 */
export function routeOf(path: string): Route | undefined {
  if (path.length > longestPath) return undefined;
  if (path === "/v2/" || path === "/v2") return { kind: "base" };
  if (path === "/v2/_catalog") return { kind: "catalog" };
  if (path === "/v1/_ping") return { kind: "ping" };
  if (path === "/v1/search") return { kind: "search" };
  if (path === "/") return { kind: "page", repository: undefined, tag: undefined };
  if (!path.startsWith("/v2/")) return pageRoute(path);
  const [, uploadRepository, id = ""] = upload.exec(path) ?? [];
  if (uploadRepository !== undefined) {
    return { kind: "upload", repository: parseRepositoryName(decode(uploadRepository)), id };
  }
  const [, uploadsRepository] = uploads.exec(path) ?? [];
  if (uploadsRepository !== undefined) {
    return { kind: "uploads", repository: parseRepositoryName(decode(uploadsRepository)) };
  }
  const [, name, kind, last] = rest.exec(path) ?? [];
  if (name === undefined || last === undefined) return undefined;
  const repository = parseRepositoryName(decode(name));
  const word = decode(last);
  switch (kind) {
    case "manifests":
      return { kind: "manifest", repository, reference: parseManifestReference(word) };
    case "blobs":
      return { kind: "blob", repository, digest: parseContentDigest(word) };
    case "referrers":
      return { kind: "referrers", repository, digest: parseContentDigest(word) };
    default:
      return word === "list" ? { kind: "tags", repository } : undefined;
  }
}

/** `/repositories/<name>` and `/repositories/<name>:<tag>`. */
function pageRoute(path: string): Route | undefined {
  const name = page.exec(path)?.[1];
  if (name === undefined) return undefined;
  const [repository = "", tag] = decode(name).split(":", 2);
  if (tag === undefined) return { kind: "page", repository: parseRepositoryName(repository), tag: undefined };
  const reference = parseManifestReference(tag);
  return "tag" in reference
    ? { kind: "page", repository: parseRepositoryName(repository), tag: reference.tag }
    : undefined;
}

function decode(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) throw failure("NAME_INVALID", "invalid escape in the address");
    throw error;
  }
}
