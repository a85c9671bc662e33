/**
 * A registry as a sink of images. Layers go up side by side, what is there already is not sent, and what another
 * repository of the same registry has is mounted. The manifest, which makes an image visible, goes last.
 */
import type { Digest } from "../core/ids.ts";
import type { Image, ImageSink, Layer } from "../images/image.ts";
import { type Descriptor, digestOf } from "../images/manifest.ts";
import type { BlobOutcome, RemoteDocument, Repository, UploadOptions } from "./client/repository.ts";

/** What became of one layer, for the line that push prints. */
export interface LayerOutcome {
  readonly layer: Layer;
  readonly descriptor: Descriptor;
  readonly outcome: BlobOutcome;
}

export interface PushedImage {
  /** Of the manifest as the registry has it. */
  readonly descriptor: Descriptor;
  /** Tags under which it was put. */
  readonly tags: readonly string[];
}

export interface RegistrySinkOptions {
  /** Layers that travel at the same time; 5 when absent, as in Docker. */
  parallel?: number;
  /** Paths of repositories of the same registry that may hold the layer, besides the one that it comes from. */
  mountFrom?: (layer: Layer) => readonly string[];
  /** Called as a layer's bytes go; may go back when a part has to be sent again. */
  progress?: (layer: Layer, sent: number, total: number) => void;
  /** Called once a layer, as soon as it is known. Docker: `Pushed`, `Layer already exists`, `Mounted from x`. */
  settled?: (outcome: LayerOutcome) => void;
  /** The manifest to be put for an image where it is another than `image.manifest()`. */
  manifestOf?: (image: Image) => Promise<Pick<RemoteDocument, "bytes" | "mediaType">>;
  signal?: AbortSignal;
}

const layersAtOnce = 5;

/**
 * Pushes images to the tags of their names that are of this repository (by digest alone where there is none).
 * `put` sends what an image is made of; `commit` puts the manifests.
 * @throws what the repository throws; the first failure stops the other layers.
 */
export function registrySink(
  repository: Repository,
  options: RegistrySinkOptions = {},
): ImageSink<PushedImage[]> {
  const ready: { document: Pick<RemoteDocument, "bytes" | "mediaType">; tags: string[] }[] = [];
  return {
    put: async ({ image, names }) => {
      await putLayers(repository, image.layers, options);
      const { digest, bytes } = image.config;
      const signal = options.signal;
      await repository.putBlob(
        { digest, size: bytes.byteLength },
        () => streamOf(bytes),
        signal === undefined ? {} : { signal },
      );
      const document = (await options.manifestOf?.(image)) ?? (await manifestOf(image));
      const tags = names.flatMap(({ domain, path, tag }) =>
        domain === repository.domain && path === repository.path && tag !== undefined ? [tag] : [],
      );
      ready.push({ document, tags });
    },
    commit: async () => {
      const pushed: PushedImage[] = [];
      for (const { document, tags } of ready) {
        const digest = digestOf(document.bytes);
        for (const tag of tags.length > 0 ? tags : [digest]) await repository.putManifest(tag, document);
        const descriptor = { mediaType: document.mediaType, digest, size: document.bytes.byteLength };
        pushed.push({ descriptor, tags });
      }
      return pushed;
    },
  };
}

async function manifestOf(image: Image): Promise<Pick<RemoteDocument, "bytes" | "mediaType">> {
  const { bytes, value } = await image.manifest();
  return { bytes, mediaType: value.mediaType };
}

/** Each blob once, however many layers of the image it is. */
async function putLayers(
  repository: Repository,
  layers: readonly Layer[],
  options: RegistrySinkOptions,
): Promise<void> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const sent = new Map<Digest, Promise<BlobOutcome>>();
  const waiting = [...layers];
  const work = async () => {
    for (let layer = waiting.shift(); layer !== undefined; layer = waiting.shift()) {
      signal.throwIfAborted();
      const descriptor = await layer.descriptor();
      const sending = sent.get(descriptor.digest) ?? putLayer(repository, layer, descriptor, signal, options);
      sent.set(descriptor.digest, sending);
      const outcome = await sending;
      options.settled?.({ layer, descriptor, outcome });
    }
  };
  const workers = Array.from({ length: options.parallel ?? layersAtOnce }, () =>
    work().catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  // All are awaited, so that nothing of them goes on after a failure; the first failure is the one to tell.
  const failed = (await Promise.allSettled(workers)).some(({ status }) => status === "rejected");
  if (failed) throw stop.signal.reason;
}

function putLayer(
  repository: Repository,
  layer: Layer,
  { digest, size }: Descriptor,
  signal: AbortSignal,
  { mountFrom, progress }: RegistrySinkOptions,
): Promise<BlobOutcome> {
  const upload: UploadOptions = { signal };
  const { domain, path } = layer.origin ?? {};
  const origin = path !== undefined && domain === repository.domain && path !== repository.path ? [path] : [];
  upload.mountFrom = [...origin, ...(mountFrom?.(layer) ?? [])];
  if (progress !== undefined) upload.progress = (sent) => progress(layer, sent, size);
  return repository.putBlob({ digest, size }, () => layer.open(), upload);
}

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
