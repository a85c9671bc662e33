/** The layers of a result as blobs: an image's own are there already, a step's are written as a tar once. */
import { NotFound } from "../../core/errors.ts";
import type { ChainId, DiffId } from "../../core/ids.ts";
import { layerOfFile } from "../../images/archives/layer.ts";
import type { IngestSession } from "../../images/content.ts";
import type { Layer } from "../../images/image.ts";
import type { IngestedBlob } from "../../images/ingest.ts";
import { chainIdsOf, mediaTypes } from "../../images/manifest.ts";
import { ociTypeOf } from "../../images/transfer/layer-form.ts";
import { Limit } from "../../images/transfer/limit.ts";
import { resultById } from "../cache/results.ts";
import type { BuildRooms } from "../rooms.ts";
import type { AwayLayer, Root, RootLayer } from "../steps/root.ts";

export interface WrittenLayer {
  readonly layer: Layer;
  /** Undefined for a layer that stays in a cache elsewhere and is only sent on. */
  readonly blob: IngestedBlob | undefined;
  readonly diffId: DiffId;
  readonly chainId: ChainId;
  /** In build_results; undefined for a layer of an image. */
  readonly resultId: string | undefined;
}

/** Layers that are written at the same time: hashing keeps a second core busy. */
const writtenAtOnce = 2;

export interface WriteContext {
  readonly rooms: BuildRooms;
  readonly session: IngestSession;
  /** What of a cache elsewhere is not here yet is not fetched either. */
  readonly leavesAway?: boolean;
  readonly signal: AbortSignal;
}

/** @throws NotFound when something was removed meanwhile; LinuxError ENOSPC */
export async function writeLayers(
  { layers }: Pick<Root, "layers">,
  context: WriteContext,
): Promise<WrittenLayer[]> {
  const limit = new Limit(writtenAtOnce);
  const written = await Promise.all(layers.map((layer) => limit.run(() => write(layer, context))));
  const chainIds = chainIdsOf(written.map(({ diffId }) => diffId));
  return written.map((layer, position) => {
    const chainId = chainIds[position];
    if (chainId === undefined) throw new NotFound(`no layer ${position}`);
    return { ...layer, chainId };
  });
}

async function write(layer: RootLayer, context: WriteContext): Promise<Omit<WrittenLayer, "chainId">> {
  if (layer.kind === "image") {
    const blob = context.session.hold(layer.descriptor.digest);
    if (blob === undefined) throw new NotFound(`content digest ${layer.descriptor.digest}: not found`);
    const { diffId } = layer;
    // The base may have come in Docker's words: those of one manifest are of one kind.
    const descriptor = { ...layer.descriptor, mediaType: ociTypeOf(layer.descriptor.mediaType) };
    const source = {
      diffId,
      descriptor: async () => descriptor,
      open: () => ({ path: blob.path }),
      ingested: blob,
    };
    return { layer: source, blob, diffId, resultId: undefined };
  }
  return layer.kind === "away" ? writeAway(layer.layer, context) : writeResult(layer.id, context);
}

async function writeAway(away: AwayLayer, context: WriteContext): Promise<Omit<WrittenLayer, "chainId">> {
  const { diffId, resultId, layer } = away;
  if (context.leavesAway === true && resultId === undefined) {
    return { layer, blob: undefined, diffId, resultId };
  }
  const blob = await away.tar();
  return { layer: layerOfFile(blob, diffId, mediaTypes.layer), blob, diffId, resultId };
}

async function writeResult(id: string, context: WriteContext): Promise<Omit<WrittenLayer, "chainId">> {
  const { rooms, session } = context;
  const record = resultById(rooms.state, id);
  if (record === undefined) throw new NotFound(`build result ${id} was removed while it was used`);
  const known = record.diffId === undefined ? undefined : session.hold(record.diffId);
  const blob = known ?? (await writeTar(record.snapshot, id, context));
  const diffId = (await blob.digest) as DiffId;
  return { layer: layerOfFile(blob, diffId, mediaTypes.layer), blob, diffId, resultId: id };
}

async function writeTar(
  snapshot: string,
  id: string,
  { rooms, session, signal }: WriteContext,
): Promise<IngestedBlob> {
  const [{ diffChunks }, { passOn }] = await Promise.all([
    import("../../images/layers/diff.ts"),
    import("../../images/layers/tar-writer.ts"),
  ]);
  const writer = session.create();
  try {
    const name = (await rooms.snapshots.has(snapshot))
      ? snapshot
      : (resultById(rooms.state, id)?.snapshot ?? snapshot);
    const chunks = diffChunks(await rooms.snapshots.layerTarget(name));
    await passOn(chunks, (chunk) => writer.write(chunk), { signal });
    return writer.finish();
  } catch (error) {
    writer.close();
    throw error;
  }
}
