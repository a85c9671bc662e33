/** `import`: the tar of a root file system becomes an image of one layer. */
import { InvalidParameter } from "../core/errors.ts";
import type { ContainerConfig } from "../core/objects.ts";
import { layerOfFile } from "./archives/layer.ts";
import { applyChanges } from "./changes.ts";
import { type ImageStores, repairImages } from "./collect.ts";
import type { IngestSession } from "./content.ts";
import { composeManifest, configDocument, copy, type Image, idOf } from "./image.ts";
import type { IngestedBlob } from "./ingest.ts";
import { diffIdOf } from "./layer-digest.ts";
import type { ByteSource } from "./layers/tar-entry.ts";
import { localStoreSink } from "./local-store.ts";
import type { Platform } from "./manifest.ts";
import { hostPlatform, parsePlatform } from "./platform.ts";
import { type ProgressMessage, progressOf } from "./progress.ts";
import { parseReference, withDefaultTag } from "./references.ts";

export interface ImportRequest {
  /** `repository:tag` or empty. */
  reference?: string;
  message?: string;
  /** Dockerfile instructions, as `--change`. */
  changes?: string[];
  /** `linux/arm64/v8`; this machine's when absent. */
  platform?: string;
}

/**
 * Takes a tar, plain, gzip or zstd. The last message's status is the image's id.
 * @throws InvalidParameter for a bad archive, reference, change or platform. Then nothing has changed.
 */
export function importImage(
  stores: ImageStores,
  source: ByteSource,
  request: ImportRequest = {},
  options: { signal?: AbortSignal } = {},
): AsyncGenerator<ProgressMessage> {
  return progressOf(async (report, signal) => {
    const names = request.reference ? [withDefaultTag(parseReference(request.reference))] : [];
    if (names.some(({ digest }) => digest !== undefined)) {
      throw new InvalidParameter("cannot import digest reference");
    }
    const config = applyChanges({}, request.changes ?? []);
    const platform = request.platform ? parsePlatform(request.platform) : hostPlatform();

    await repairImages(stores);
    using session = stores.content.openSession();
    const file = await ingestWhole(session, source, signal);
    const image = await compose(file, { config, platform, message: request.message });
    const sink = localStoreSink(stores, session, { action: "import", report: () => {}, signal });
    await copy(
      {
        async *images() {
          yield { image, names, parent: undefined };
        },
      },
      sink,
    );
    report({ status: idOf(image) });
  }, options.signal);
}

async function ingestWhole(
  session: IngestSession,
  source: ByteSource,
  signal: AbortSignal,
): Promise<IngestedBlob> {
  const writer = session.create();
  try {
    const stream = Symbol.asyncIterator in source ? source : Bun.file(source.path).stream();
    for await (const chunk of stream) {
      signal.throwIfAborted();
      writer.write(chunk);
    }
    return writer.finish();
  } catch (error) {
    writer.close();
    throw error;
  }
}

async function compose(
  file: IngestedBlob,
  about: { config: ContainerConfig; platform: Platform; message: string | undefined },
): Promise<Image> {
  const diffId = await diffIdOf(file);
  const created = new Date().toISOString();
  const comment = about.message || "Imported from -";
  const config = configDocument(
    Buffer.from(
      JSON.stringify({
        ...about.platform,
        config: about.config,
        created,
        history: [{ created, comment }],
        rootfs: { type: "layers", diff_ids: [diffId] },
      }),
    ),
  );
  const layers = [layerOfFile(file, diffId)];
  return { config, layers, manifest: () => composeManifest(config, layers) };
}
