/**
 * Names in a registry's addresses, in the grammar of the OCI distribution specification. Everything that reaches the
 * storage has passed here; file names are made of digests only.
 */
import type { Brand } from "../../core/ids.ts";
import { failure } from "./failures.ts";

/** `library/busybox`. */
export type RepositoryName = string & Brand<"RepositoryName">;
export type TagName = string & Brand<"TagName">;
/** `sha256:` and 64 hex digits, or `sha512:` and 128. */
export type ContentDigest = string & Brand<"ContentDigest">;
export type DigestAlgorithm = "sha256" | "sha512";

const longestName = 255;
const component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const namePattern = new RegExp(`^${component}(?:/${component})*$`);
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const digestPattern = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;
/** Any digest that the grammar allows, whether or not this registry knows its algorithm. */
const someDigestPattern = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= longestName && namePattern.test(text);
}

export function isTagName(text: string): text is TagName {
  return tagPattern.test(text);
}

export function isContentDigest(text: string): text is ContentDigest {
  return digestPattern.test(text);
}

/** @throws RegistryFailure NAME_INVALID */
export function parseRepositoryName(text: string): RepositoryName {
  if (isRepositoryName(text)) return text;
  throw failure("NAME_INVALID", "invalid repository name", { name: text.slice(0, longestName) });
}

/** @throws RegistryFailure DIGEST_INVALID */
export function parseContentDigest(text: string): ContentDigest {
  if (isContentDigest(text)) return text;
  const message = someDigestPattern.test(text)
    ? "unsupported digest: sha256 and sha512 are known here"
    : "provided digest is not a digest";
  throw failure("DIGEST_INVALID", message, { digest: text.slice(0, longestName) });
}

/** What stands behind `/manifests/`. @throws RegistryFailure DIGEST_INVALID, MANIFEST_UNKNOWN: no manifest has that tag */
export function parseManifestReference(text: string): { tag: TagName } | { digest: ContentDigest } {
  if (text.includes(":")) return { digest: parseContentDigest(text) };
  if (isTagName(text)) return { tag: text };
  throw failure("MANIFEST_UNKNOWN", "manifest unknown: this is no tag", { tag: text.slice(0, longestName) });
}

export function algorithmOf(digest: ContentDigest): DigestAlgorithm {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

/** Digest of bytes in memory. */
export function digestOfBytes(bytes: Uint8Array, algorithm: DigestAlgorithm = "sha256"): ContentDigest {
  return contentDigest(algorithm, new Bun.CryptoHasher(algorithm).update(bytes).digest("hex"));
}

export function contentDigest(algorithm: DigestAlgorithm, hex: string): ContentDigest {
  return parseContentDigest(`${algorithm}:${hex}`);
}
