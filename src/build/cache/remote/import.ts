/** Caches elsewhere as sources of results: what they have is known at once, and fetched when it is needed. */
import type { IngestSession } from "../../../images/content.ts";
import { chainIdsOf, type Descriptor, mostLayers } from "../../../images/manifest.ts";
import { Limit } from "../../../images/transfer/limit.ts";
import type { BuildRooms } from "../../rooms.ts";
import type { Progress, Vertex } from "../../solver/progress.ts";
import type { Root, RootLayer } from "../../steps/root.ts";
import type { CacheRecord } from "./document.ts";
import { type FetchContext, type RemoteBlob, RemoteLayer } from "./layer.ts";

/** What a manifest of a cache has said. */
export interface CacheContent {
  /** As the user has named it. */
  readonly source: string;
  readonly records: readonly CacheRecord[];
  /** As many as the manifest has layers. */
  readonly blobs: readonly RemoteBlob[];
}

export interface ImportContext {
  readonly rooms: BuildRooms;
  readonly session: IngestSession;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Layers of one cache that are fetched at the same time, as in Docker. */
const fetchedAtOnce = 3;

/** The caches of a build, those named first before the others. */
export class RemoteCaches implements Disposable {
  readonly #caches: RemoteCache[];

  constructor(contents: readonly CacheContent[], context: ImportContext) {
    this.#caches = contents.map((content) => new RemoteCache(content, context));
  }

  /** The result with this key, or with this other key, of a step on this input. */
  find(key: string, input: Root): Root | undefined {
    for (const cache of this.#caches) {
      const found = cache.find(key, input);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The key of the step that has this key, or this other key. */
  keyOf(alias: string): string | undefined {
    for (const cache of this.#caches) {
      const key = cache.keyOf(alias);
      if (key !== undefined) return key;
    }
    return undefined;
  }

  /** Ends what is shown of it. */
  [Symbol.dispose](): void {
    for (const cache of this.#caches) cache.finish();
  }
}

class RemoteCache {
  readonly #content: CacheContent;
  readonly #byKey = new Map<string, number>();
  readonly #layers = new Map<number, RemoteLayer>();
  readonly #fetch: FetchContext;
  readonly #progress: Progress;
  #vertex: Vertex | undefined;
  #failure: string | undefined;

  constructor(content: CacheContent, { rooms, session, progress, signal }: ImportContext) {
    this.#content = content;
    this.#progress = progress;
    this.#fetch = {
      source: content.source,
      rooms,
      session,
      limit: new Limit(fetchedAtOnce),
      signal,
      tell: (descriptor) => this.#tell(descriptor),
      failed: ({ message }) => {
        this.#failure ??= message;
      },
    };
    for (const [position, { key, aliases }] of content.records.entries()) {
      for (const each of [...(key === undefined ? [] : [key]), ...aliases]) {
        if (!this.#byKey.has(each)) this.#byKey.set(each, position);
      }
    }
  }

  get source(): string {
    return this.#content.source;
  }

  keyOf(alias: string): string | undefined {
    return this.#content.records[this.#byKey.get(alias) ?? -1]?.key;
  }

  find(key: string, input: Root): Root | undefined {
    const position = this.#byKey.get(key);
    const top = position === undefined ? undefined : this.#layerAt(position);
    if (top?.record.key === undefined) return undefined;
    const base = input.layers.filter((layer) => layer.kind === "image");
    const chainId = chainIdsOf(base.map(({ diffId }) => diffId)).at(-1);
    const away: RootLayer[] = [];
    let bottom: RemoteLayer = top;
    for (let layer: RemoteLayer | undefined = top; layer !== undefined; layer = layer.below) {
      bottom = layer;
      away.push({ kind: "away", layer });
    }
    if (bottom.record.base !== chainId || base.length + away.length > mostLayers) return undefined;
    return { key: top.record.key, fileTime: top.record.fileTime, layers: [...base, ...away.reverse()] };
  }

  finish(): void {
    this.#vertex?.finished(this.#failure);
    this.#vertex = undefined;
  }

  /** One for each record, so that each is fetched once. Records refer to those before them only. */
  #layerAt(position: number): RemoteLayer | undefined {
    const known = this.#layers.get(position);
    if (known !== undefined) return known;
    const chain: [number, CacheRecord][] = [];
    for (let at: number | undefined = position; at !== undefined && !this.#layers.has(at); ) {
      const record: CacheRecord | undefined = this.#content.records[at];
      if (record === undefined) return undefined;
      chain.push([at, record]);
      at = record.below;
    }
    for (const [at, record] of chain.reverse()) {
      const blob = this.#content.blobs[record.layer];
      if (blob === undefined) return undefined;
      const below = record.below === undefined ? undefined : this.#layers.get(record.below);
      this.#layers.set(at, new RemoteLayer(record, below, blob, this.#fetch));
    }
    return this.#layers.get(position);
  }

  #tell({ digest }: Descriptor): () => void {
    if (this.#vertex === undefined) {
      this.#vertex = this.#progress.vertex(`pulling cached layers from ${this.source}`);
      this.#vertex.started();
    }
    return this.#vertex.status(`pulling ${digest}`);
  }
}
