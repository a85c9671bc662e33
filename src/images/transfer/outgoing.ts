/**
 * Layers on their way to a registry. What is plain here is compressed there, in threads; what it becomes is remembered,
 * so that the next push asks for it by its digest and compresses nothing if the registry has it. The compressed blob
 * itself is not kept: it would take the space of the layer a third time, and the same bytes can be made again.
 */
import { join } from "node:path";
import { type DiffId, type Digest, parseDigest, randomId } from "../../core/ids.ts";
import type { State } from "../../state/state.ts";
import type { IngestSession } from "../content.ts";
import type { Document, Image, Layer } from "../image.ts";
import { type Descriptor, digestOf, type Manifest, mediaTypes } from "../manifest.ts";
import { compressedFormsOf, forgetCompressed, noteCompressed } from "./compressed-layers.ts";
import { LayerPool } from "./layer-pool.ts";

export interface OutgoingOptions {
  /** A layer is being compressed. */
  compressing: (layer: Layer, done: number, total: number) => void;
  /** Do not go by what is remembered. */
  isAnew: boolean;
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
  readonly #pool = new LayerPool();
  readonly #compressed = new Map<DiffId, Promise<CompressedFile>>();

  constructor(state: State, session: IngestSession, options: OutgoingOptions) {
    this.#state = state;
    this.#session = session;
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]();
  }

  /**
   * The image as it travels. One whose layers are compressed already is itself, its manifest byte for byte.
   * @throws FormChanged, from a layer's `open`: then try again with `isAnew`.
   */
  async prepare(image: Image): Promise<Image> {
    const original = await image.manifest();
    const isPlain = original.value.layers.map(({ mediaType }) => plainTypes.has(mediaType));
    if (!isPlain.includes(true)) return image;
    const layers = image.layers.map((layer, at) =>
      isPlain[at] === true ? this.#compressedLayer(layer) : layer,
    );
    return { ...image, layers, manifest: async () => withLayers(original.value, layers) };
  }

  #compressedLayer(layer: Layer): Layer {
    const descriptor = async (): Promise<Descriptor> => {
      const mediaType = gzipTypeOf((await layer.descriptor()).mediaType);
      const [known] = this.#options.isAnew
        ? []
        : compressedFormsOf(this.#state, layer.diffId).filter((form) => form.mediaType === mediaType);
      if (known !== undefined) return known;
      const { digest, size } = await this.#compress(layer);
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
    const { path, digest } = await this.#compress(layer);
    if (digest !== promised.digest) throw new FormChanged();
    yield* Bun.file(path).stream();
  }

  #compress(layer: Layer): Promise<CompressedFile> {
    const known = this.#compressed.get(layer.diffId);
    if (known !== undefined) return known;
    const compressing = this.#compressNow(layer);
    this.#compressed.set(layer.diffId, compressing);
    return compressing;
  }

  async #compressNow(layer: Layer): Promise<CompressedFile> {
    const { signal } = this.#options;
    const plain = await layer.descriptor();
    const source = layer.ingested;
    if (source === undefined) throw new Error(`layer ${layer.diffId} is not held`);
    const path = join(this.#session.directory, `compressed-${randomId()}`);
    const { digest, size } = await this.#pool.compress({ path: source.path, output: path }, signal, (bytes) =>
      this.#options.compressing(layer, bytes, plain.size),
    );
    const blob = { digest: parseDigest(digest), size };
    if (this.#options.isAnew) forgetCompressed(this.#state, layer.diffId);
    noteCompressed(this.#state, layer.diffId, { ...blob, mediaType: gzipTypeOf(plain.mediaType) });
    return { ...blob, path };
  }
}

interface CompressedFile {
  path: string;
  digest: Digest;
  size: number;
}

const plainTypes = new Set<string>([mediaTypes.layer, mediaTypes.dockerLayer]);

function gzipTypeOf(plain: string): string {
  return plain === mediaTypes.dockerLayer ? mediaTypes.dockerLayerGzip : mediaTypes.layerGzip;
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
