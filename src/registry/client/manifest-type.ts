/** What a manifest is: the server's word and the document's own have to agree. image-spec, manifest.md "mediaType". */
import { InvalidParameter } from "../../core/errors.ts";
import { parseJson } from "../../images/json.ts";
import { isIndexType, isManifestType, mediaTypes } from "../../images/manifest.ts";

/** All that we can read, the newest first, and Docker's schema 1, so that it can be refused by name. */
export const acceptedManifests = [
  mediaTypes.manifest,
  mediaTypes.index,
  mediaTypes.dockerManifest,
  mediaTypes.dockerIndex,
  "application/vnd.docker.distribution.manifest.v1+prettyjws",
  "*/*",
].join(", ");

/** A content type without its parameters. */
export function bareType(header: string | null): string {
  return (header ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

/**
 * The document's media type; anything that is neither manifest nor index is returned as it is called.
 * @throws InvalidParameter when it is no JSON object, or can be taken for two things.
 */
export function manifestTypeOf(bytes: Uint8Array, contentType: string, what: string): string {
  const json = parseJson(bytes, what);
  const own = json.at("mediaType").optional((value) => value.string());
  const stated = isImageType(contentType) ? contentType : undefined;
  if (own !== undefined && stated !== undefined && own !== stated) {
    throw new InvalidParameter(
      `${what}: mediaType in manifest should be '${stated}' not '${own.slice(0, 100)}'`,
    );
  }
  const hasManifests = !json.at("manifests").isAbsent;
  const hasLayers = !json.at("layers").isAbsent || !json.at("config").isAbsent;
  if (hasManifests && hasLayers)
    throw new InvalidParameter(`${what} claims to be both a manifest and an index`);
  const type = stated ?? own ?? guess(json.at("schemaVersion").raw(), hasManifests, hasLayers) ?? contentType;
  if ((isIndexType(type) && hasLayers) || (isManifestType(type) && hasManifests)) {
    throw new InvalidParameter(`${what} is not what its media type says (${type})`);
  }
  return type;
}

function isImageType(type: string): boolean {
  return isManifestType(type) || isIndexType(type);
}

/** For registries that know no better than `application/json`. */
function guess(schemaVersion: unknown, hasManifests: boolean, hasLayers: boolean): string | undefined {
  if (schemaVersion === 1) return "application/vnd.docker.distribution.manifest.v1+json";
  if (hasManifests) return mediaTypes.index;
  return hasLayers ? mediaTypes.manifest : undefined;
}
