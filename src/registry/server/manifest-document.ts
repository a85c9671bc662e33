/** A manifest or an index as somebody pushes it: what it refers to, checked as far as a registry has to know. */
import { InvalidParameter } from "../../core/errors.ts";
import { type JsonReader, parseJson } from "../../images/json.ts";
import { isIndexType, isManifestType, largestDocument, mediaTypes } from "../../images/manifest.ts";
import { failure, RegistryFailure } from "./failures.ts";
import { type ContentDigest, isContentDigest } from "./names.ts";

/** Most layers of a manifest, or manifests of an index. Runtimes stop at a few hundred. */
const mostItems = 4096;

export interface ManifestReference {
  readonly digest: ContentDigest;
  readonly mediaType: string;
  /** Bytes, as the manifest has them. */
  readonly size: number;
  readonly kind: "blob" | "manifest";
  /** A layer that clients fetch from its own addresses: it need not be here. */
  readonly isElsewhere: boolean;
}

export interface ManifestDocument {
  readonly digest: ContentDigest;
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly references: readonly ManifestReference[];
  readonly subject: ContentDigest | undefined;
  /** As the list of referrers shows it; empty for none. */
  readonly artifactType: string;
  readonly annotations: Record<string, string> | undefined;
}

/**
 * @param contentType of the request; empty when it has none, then the document's own `mediaType` counts
 * @throws RegistryFailure MANIFEST_INVALID
 */
export function parseManifestDocument(
  bytes: Uint8Array,
  contentType: string,
  digest: ContentDigest,
): ManifestDocument {
  if (bytes.length > largestDocument) throw tooLarge();
  try {
    return read(parseJson(decodeUtf8(bytes), "manifest"), bytes, contentType, digest);
  } catch (error) {
    if (error instanceof InvalidParameter) throw failure("MANIFEST_INVALID", error.message);
    throw error;
  }
}

export function tooLarge(): RegistryFailure {
  return new RegistryFailure("MANIFEST_INVALID", `a manifest has at most ${largestDocument} bytes`, {
    status: 413,
  });
}

function read(
  json: JsonReader,
  bytes: Uint8Array,
  contentType: string,
  digest: ContentDigest,
): ManifestDocument {
  if (json.at("schemaVersion").integer() !== 2) {
    throw failure("MANIFEST_INVALID", "schema 1 manifests are not supported; push with a newer client");
  }
  const own = json.at("mediaType").optional((value) => value.string()) ?? "";
  const declared = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (own !== "" && declared !== "" && own !== declared) {
    throw failure("MANIFEST_INVALID", "the document's mediaType is not the Content-Type", {
      mediaType: own,
      contentType: declared,
    });
  }
  const mediaType = declared || own || mediaTypes.manifest;
  const isIndex = isIndexType(mediaType);
  if (!isIndex && !isManifestType(mediaType)) {
    throw failure("MANIFEST_INVALID", `unsupported manifest media type: ${mediaType.slice(0, 200)}`);
  }
  const config = isIndex ? undefined : descriptor(json.at("config"), "blob");
  return {
    digest,
    bytes,
    mediaType,
    references: isIndex
      ? list(json.at("manifests"), "manifest")
      : [...(config === undefined ? [] : [config]), ...list(json.at("layers"), "blob")],
    subject: json.at("subject").optional((value) => descriptor(value, "manifest").digest),
    artifactType: json.at("artifactType").optional((value) => value.string()) || (config?.mediaType ?? ""),
    annotations: json.at("annotations").optional((value) => value.stringMap()),
  };
}

function list(json: JsonReader, kind: "blob" | "manifest"): ManifestReference[] {
  const items = json.optional((value) => value.array(mostItems)) ?? [];
  return items.map((item) => descriptor(item, kind));
}

function descriptor(json: JsonReader, kind: "blob" | "manifest"): ManifestReference {
  const digest = json.at("digest").string();
  if (!isContentDigest(digest)) return json.at("digest").fail("a digest that this registry supports");
  const size = json.at("size").integer();
  if (size < 0) json.at("size").fail("a size");
  const mediaType = json.at("mediaType").string();
  const urls = json.at("urls").optional((value) => value.strings()) ?? [];
  const isForeign = /\.foreign\.|\.nondistributable\./.test(mediaType);
  return { digest, size, mediaType, kind, isElsewhere: urls.length > 0 || isForeign };
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) throw new InvalidParameter("manifest is not UTF-8", { cause: error });
    throw error;
  }
}
