/** What a registry may hold that is no image davit can run, with Docker's words for refusing it. */
import { InvalidParameter } from "../core/errors.ts";
import { type Descriptor, mediaTypes } from "../images/manifest.ts";

const schema1 = new Set([
  "application/vnd.docker.distribution.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v1+prettyjws",
  "application/json",
]);

function isSchema1(mediaType: string): boolean {
  return schema1.has(mediaType);
}

/** @throws InvalidParameter always */
export function refuseMediaType(mediaType: string, reference?: string): never {
  if (isSchema1(mediaType)) {
    const what = reference === undefined ? "image" : `image ${reference}`;
    throw new InvalidParameter(
      `unsupported manifest: the ${what} is in Docker image format v1 (manifest schema version 1), which is no ` +
        "longer read. Its owner can push it again with a current Docker to convert it",
    );
  }
  throw new InvalidParameter(`unsupported manifest format: ${mediaType}`);
}

const configTypes = new Set<string>([
  mediaTypes.config,
  mediaTypes.dockerConfig,
  // Docker takes these as well: what old registries and old clients wrote.
  "application/octet-stream",
  "application/json",
  "text/html",
  "",
]);

const artifactNames: Record<string, string> = {
  "application/vnd.docker.plugin.v1+json": "plugin",
};

/** @throws InvalidParameter in Docker's words when a manifest's config is not an image's: a plugin, a Helm chart … */
export function checkConfigType(mediaType: string): void {
  if (configTypes.has(mediaType)) return;
  const name = artifactNames[mediaType];
  throw new InvalidParameter(
    name === undefined
      ? `invalid config media type: ${mediaType || "none"}: the manifest is not of an image`
      : `Encountered remote "${mediaType}"(${name}) when fetching`,
  );
}

const layerTypes = new Set<string>([
  mediaTypes.layer,
  mediaTypes.layerGzip,
  mediaTypes.layerZstd,
  mediaTypes.dockerLayer,
  mediaTypes.dockerLayerGzip,
  mediaTypes.dockerLayerZstd,
]);

/** @throws InvalidParameter for layers that lie elsewhere (`foreign`, `nondistributable`) and for what is no layer. */
export function checkLayerType({ mediaType, digest }: Descriptor): void {
  if (layerTypes.has(mediaType)) return;
  if (/\bforeign\b|nondistributable/.test(mediaType)) {
    throw new InvalidParameter(
      `layer ${digest} is a foreign layer (${mediaType}): it is not in the registry, and davit does not fetch ` +
        "layers from other places",
    );
  }
  throw new InvalidParameter(`unsupported layer media type: ${mediaType || "none"} (layer ${digest})`);
}
