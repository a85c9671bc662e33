/** A registry as a source of images. Layers are streams from the registry: nothing is fetched before they are opened. */
import { InvalidParameter } from "../core/errors.ts";
import {
  checkLayerCount,
  configDocument,
  type Image,
  type ImageSource,
  type Layer,
  manifestDocument,
} from "../images/image.ts";
import type { Platform } from "../images/manifest.ts";
import { type Reference, withDefaultTag } from "../images/references.ts";
import type { RemoteDocument, Repository } from "./client/repository.ts";
import { checkConfigType, checkLayerType } from "./media-types.ts";
import { resolveImage } from "./resolve.ts";

export interface RegistrySourceOptions {
  platform: Platform;
  signal?: AbortSignal;
}

/** The one image that `reference` (`:latest` when it has neither tag nor digest) leads to, named so. */
export function registrySource(
  repository: Repository,
  reference: Reference,
  { platform, signal }: RegistrySourceOptions,
): ImageSource {
  return {
    async *images() {
      const name = withDefaultTag(reference);
      const { manifest } = await resolveImage(
        repository,
        name.digest ?? name.tag ?? "",
        () => platform,
        signal,
      );
      yield { image: await registryImage(repository, manifest, signal), names: [name], parent: undefined };
    },
  };
}

/**
 * The image of a manifest. Its config is fetched and checked here; layers' bytes are checked by who reads them.
 * @throws InvalidParameter for configs and layers that are not an image's, and where the two do not fit together.
 */
export async function registryImage(
  repository: Pick<Repository, "document" | "blob">,
  document: RemoteDocument,
  signal?: AbortSignal,
): Promise<Image> {
  const manifest = manifestDocument(document.bytes, `manifest ${document.digest}`);
  const { config: descriptor, layers: descriptors } = manifest.value;
  checkConfigType(descriptor.mediaType);
  for (const layer of descriptors) checkLayerType(layer);
  const config = configDocument(
    await repository.document(descriptor, signal),
    `image config ${descriptor.digest}`,
  );
  checkLayerCount(config.value, descriptors.length);
  const layers = descriptors.map((layer, position): Layer => {
    const diffId = config.value.rootfs.diff_ids[position];
    if (diffId === undefined)
      throw new InvalidParameter(`${document.digest}: no diff id for layer ${position}`);
    return {
      diffId,
      descriptor: async () => layer,
      open: () => repository.blob(layer, signal === undefined ? {} : { signal }),
      ingested: undefined,
    };
  });
  return { config, layers, manifest: async () => manifest };
}
