/**
 * Layers on their way out. What is plain here is compressed there, or brought into the form that was asked for, in
 * threads; what it becomes is remembered, so that the next push asks for it by its digest and compresses nothing if the
 * registry has it. The compressed blob itself is not kept: it would take the space of the layer a third time, and the
 * same bytes can be made again.
 */

import { InvalidParameter } from "../../core/errors.ts";
import { type DiffId, type Digest, parseDigest, randomId } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import type { State } from "../../state/state.ts";
import type { IngestSession } from "../content.ts";
import type { Document, Image, Layer } from "../image.ts";
import { decompress } from "../layers/compression.ts";
import { type Descriptor, digestOf, type Manifest } from "../manifest.ts";
import { compressInParts } from "./compress-parts.ts";
import { compressedFormsOf, forgetCompressed, noteCompressed } from "./compressed-layers.ts";
import {
  compressionOfType,
  defaultForm,
  isOtherForm,
  type LayerForm,
  typeInCompression,
} from "./layer-form.ts";
import { LayerPool } from "./layer-pool.ts";

export interface OutgoingOptions {
  /** A layer is being compressed. */
  compressing: (layer: Layer, done: number, total: number) => void;
  /** Do not go by what is remembered. */
  isAnew: boolean;
  /** Plain layers become gzip by default, and others stay as they are. */
  form?: LayerForm;
  /** Threads that compress; see LayerPool. */
  threads?: number;
  signal: AbortSignal;
}

/** What a layer was said to become when it was compressed, it does not become any more: another version made that. */
export class FormChanged extends Error {
  override readonly name = "FormChanged";
}

/** To be disposed of, which ends its threads. Files that it makes are the session's. */
export class Outgoing implements Disposable {
  readonly #state: State;
  readonly #session: IngestSession;
  readonly #options: OutgoingOptions;
  readonly #form: LayerForm;
  readonly #pool: LayerPool;
  readonly #compressed = new Map<DiffId, Promise<CompressedFile>>();

  constructor(state: State, session: IngestSession, options: OutgoingOptions) {
    this.#state = state;
    this.#session = session;
    this.#options = options;
    this.#form = options.form ?? defaultForm;
    this.#pool = new LayerPool(options.threads);
  }

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]();
  }

  /**
   * The image as it travels. One whose layers have the form already is itself, its manifest byte for byte.
   * @throws FormChanged, from a layer's `open`: then try again with `isAnew`.
   */
  async prepare(image: Image): Promise<Image> {
    const original = await image.manifest();
    const isOther = original.value.layers.map(({ mediaType }) => isOtherForm(mediaType, this.#form));
    if (!isOther.includes(true)) return image;
    const layers = image.layers.map((layer, at) => (isOther[at] === true ? this.#converted(layer) : layer));
    return { ...image, layers, manifest: async () => withLayers(original.value, layers) };
  }

  /** The image with all its layers in their form as files of the session, which a store can adopt. */
  async make(image: Image): Promise<Image> {
    const original = await image.manifest();
    const layers = await Promise.all(
      image.layers.map(async (layer, at): Promise<Layer> => {
        const before = original.value.layers[at];
        if (before === undefined || !isOtherForm(before.mediaType, this.#form)) return layer;
        const { path, digest, size } = await this.#convert(layer);
        const mediaType = typeInCompression(before.mediaType, this.#form.compression);
        return {
          diffId: layer.diffId,
          descriptor: async () => ({ mediaType, digest, size }),
          open: () => ({ path }),
          ingested: { path, size, digest: Promise.resolve(digest) },
        };
      }),
    );
    if (layers.every((layer, at) => layer === image.layers[at])) return image;
    const manifest = await withLayers(original.value, layers);
    return { ...image, layers, manifest: async () => manifest };
  }

  #converted(layer: Layer): Layer {
    const descriptor = async (): Promise<Descriptor> => {
      const mediaType = typeInCompression((await layer.descriptor()).mediaType, this.#form.compression);
      // What is remembered says nothing of levels.
      const isRemembered = !this.#options.isAnew && this.#form.level === undefined;
      const known = isRemembered
        ? compressedFormsOf(this.#state, layer.diffId).find((form) => form.mediaType === mediaType)
        : undefined;
      if (known !== undefined) return known;
      const { digest, size } = await this.#convert(layer);
      return { mediaType, digest, size };
    };
    return {
      diffId: layer.diffId,
      descriptor,
      ingested: undefined,
      open: () => this.#open(layer, descriptor),
    };
  }

  async *#open(layer: Layer, descriptor: () => Promise<Descriptor>): AsyncGenerator<Uint8Array> {
    const promised = await descriptor();
    const { path, digest } = await this.#convert(layer);
    if (digest !== promised.digest) throw new FormChanged();
    yield* Bun.file(path).stream();
  }

  /** Once for each layer, however often it is asked for. */
  #convert(layer: Layer): Promise<CompressedFile> {
    const known = this.#compressed.get(layer.diffId);
    if (known !== undefined) return known;
    const converting = this.#convertNow(layer);
    this.#compressed.set(layer.diffId, converting);
    return converting;
  }

  async #convertNow(layer: Layer): Promise<CompressedFile> {
    const { signal } = this.#options;
    const { compression, level } = this.#form;
    const before = await layer.descriptor();
    const source = compressionOfType(before.mediaType) === "uncompressed" ? layer.ingested : undefined;
    const plain = source ?? (await this.#plain(layer));
    if (compression === "uncompressed") return { path: plain.path, digest: layer.diffId, size: plain.size };
    const path = join(this.#session.directory, `compressed-${randomId()}`);
    const job = { path: plain.path, output: path, compression, level };
    const { digest, size } = await compressInParts(this.#pool, job, plain.size, {
      signal,
      taken: (bytes) => this.#options.compressing(layer, bytes, plain.size),
    });
    const blob = { digest: parseDigest(digest), size };
    const mediaType = typeInCompression(before.mediaType, compression);
    if (level === undefined) this.#remember(layer.diffId, { ...blob, mediaType });
    return { ...blob, path };
  }

  /** Where another version had made something else of it, that goes. */
  #remember(diffId: DiffId, made: Descriptor): void {
    const before = compressedFormsOf(this.#state, diffId).find(
      ({ mediaType }) => mediaType === made.mediaType,
    );
    if (this.#options.isAnew && before !== undefined && before.digest !== made.digest) {
      forgetCompressed(this.#state, diffId);
    }
    noteCompressed(this.#state, diffId, made);
  }

  /** The layer's tar as a file of the session. @throws InvalidParameter when it is not what its diff id says. */
  async #plain(layer: Layer): Promise<{ path: string; size: number }> {
    const { signal } = this.#options;
    const writer = this.#session.create();
    try {
      const { stream } = await decompress(layer.open(), { signal });
      for await (const chunk of stream) {
        signal.throwIfAborted();
        writer.write(chunk);
      }
    } catch (error) {
      writer.close();
      throw error;
    }
    const plain = writer.finish();
    const digest = await plain.digest;
    if (digest !== layer.diffId) {
      throw new InvalidParameter(`layer ${layer.diffId} has the content of ${digest}`);
    }
    return plain;
  }
}

interface CompressedFile {
  path: string;
  digest: Digest;
  size: number;
}

/** The same manifest with other layers. */
async function withLayers(manifest: Manifest, layers: readonly Layer[]): Promise<Document<Manifest>> {
  const value: Manifest = {
    ...manifest,
    layers: await Promise.all(layers.map((layer) => layer.descriptor())),
  };
  const bytes = Buffer.from(JSON.stringify(value));
  return { bytes, digest: digestOf(bytes), value };
}
