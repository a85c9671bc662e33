/** Results of steps as a cache to be kept elsewhere: their layers, and what they are known by. */
import type { ChainId } from "../../../core/ids.ts";
import type { Document, Image, Layer } from "../../../images/image.ts";
import {
  chainIdsOf,
  digestOf,
  type ImageConfig,
  type Manifest,
  mediaTypes,
} from "../../../images/manifest.ts";
import { type WriteContext, type WrittenLayer, writeLayers } from "../../output/layers.ts";
import type { BuildRooms } from "../../rooms.ts";
import type { Root, RootLayer } from "../../steps/root.ts";
import { aliasesOf, resultById } from "../results.ts";
import { type CacheRecord, cacheConfigType, writeRecords } from "./document.ts";
import { RemoteLayer } from "./layer.ts";

/** Steps' layers, each once, and those below before those above. */
export class CacheCollection {
  readonly #rooms: BuildRooms;
  readonly #positions = new Map<string, number>();
  readonly #entries: Entry[] = [];

  constructor(rooms: BuildRooms) {
    this.#rooms = rooms;
  }

  /** All of a root's layers that steps have made. */
  add({ layers }: Pick<Root, "layers">): void {
    const base = layers.flatMap((layer) => (layer.kind === "image" ? [layer.diffId] : []));
    const baseChain = chainIdsOf(base).at(-1);
    let below: number | undefined;
    for (const layer of layers) {
      if (layer.kind === "image") continue;
      const identity = identityOf(layer);
      const known = this.#positions.get(identity);
      if (known === undefined) {
        this.#positions.set(identity, this.#entries.length);
        this.#entries.push({ layer, below, base: below === undefined ? baseChain : undefined });
      }
      below = known ?? this.#entries.length - 1;
    }
  }

  get layers(): RootLayer[] {
    return this.#entries.map(({ layer }) => layer);
  }

  /**
   * @param written the layers, in their order
   * @param placeOf where a layer stands in the manifest; by default where it stands here
   */
  async records(
    written: readonly WrittenLayer[],
    placeOf: (position: number) => number = (position) => position,
  ): Promise<CacheRecord[]> {
    return Promise.all(
      this.#entries.map(async ({ layer, below, base }, position): Promise<CacheRecord> => {
        const made = written[position];
        if (made === undefined) throw new RangeError(`no layer ${position}`);
        const about = layer.kind === "away" ? aboutAway(layer.layer) : this.#aboutResult(layer);
        const size = about.size ?? (await made.layer.descriptor()).size;
        return { ...about, size, below, base, layer: placeOf(position), diffId: made.diffId };
      }),
    );
  }

  #aboutResult(layer: RootLayer): About {
    const id = layer.kind === "result" ? layer.id : "";
    const { state } = this.#rooms;
    const result = resultById(state, id);
    if (result === undefined) throw new RangeError(`no result ${id}`);
    const { key, fileTime, description } = result;
    return {
      ...(key === "" ? {} : { key }),
      aliases: aliasesOf(state, id),
      fileTime,
      description,
      size: undefined,
    };
  }
}

interface Entry {
  readonly layer: RootLayer;
  readonly below: number | undefined;
  readonly base: ChainId | undefined;
}

type About = Pick<CacheRecord, "key" | "aliases" | "fileTime" | "description"> & {
  /** Undefined for a layer that is plain here. */
  readonly size: number | undefined;
};

function aboutAway(layer: unknown): About {
  if (!(layer instanceof RemoteLayer)) throw new TypeError("a layer of an unknown cache");
  const { key, aliases, fileTime, description, size } = layer.record;
  return { ...(key === undefined ? {} : { key }), aliases, fileTime, description, size };
}

function identityOf(layer: RootLayer): string {
  switch (layer.kind) {
    case "image":
      return layer.chainId;
    case "result":
      return layer.id;
    case "away":
      return layer.layer.resultId ?? `${layer.layer.diffId} ${aboutAway(layer.layer).key ?? ""}`;
  }
}

/** The roots' layers as an artifact, which registries and layouts take. */
export async function cacheArtifact(
  roots: readonly Pick<Root, "layers">[],
  context: WriteContext,
): Promise<Image> {
  const collection = new CacheCollection(context.rooms);
  for (const root of roots) collection.add(root);
  const written = await writeLayers({ layers: collection.layers }, context);
  const records = await collection.records(written);
  return artifactOf(
    Buffer.from(JSON.stringify(writeRecords(records))),
    written.map(({ layer }) => layer),
  );
}

/** What an image's own config says of its layers, so that the image is a cache. */
export async function inlineCache(
  root: Pick<Root, "layers">,
  written: readonly WrittenLayer[],
  rooms: BuildRooms,
): Promise<object> {
  const collection = new CacheCollection(rooms);
  collection.add(root);
  const places = root.layers.flatMap(({ kind }, place) => (kind === "image" ? [] : [place]));
  const steps = places.flatMap((place) => written[place] ?? []);
  return writeRecords(await collection.records(steps, (position) => places[position] ?? 0));
}

async function artifactOf(config: Uint8Array, layers: readonly Layer[]): Promise<Image> {
  const digest = digestOf(config);
  const value: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: cacheConfigType, digest, size: config.byteLength },
    layers: await Promise.all(layers.map((layer) => layer.descriptor())),
  };
  const bytes = Buffer.from(JSON.stringify(value));
  const manifest: Document<Manifest> = { bytes, digest: digestOf(bytes), value };
  const nothing: ImageConfig = {
    architecture: "",
    os: "",
    config: {},
    rootfs: { type: "layers", diff_ids: [] },
    history: [],
  };
  return {
    isArtifact: true,
    config: { bytes: config, digest, value: nothing },
    layers,
    manifest: async () => manifest,
  };
}
