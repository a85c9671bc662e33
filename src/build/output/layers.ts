/** The layers of a result as blobs: an image's own are there already, a step's are written as a tar once. */
import { NotFound } from "../../core/errors.ts";
import type { ChainId, DiffId } from "../../core/ids.ts";
import { layerOfFile } from "../../images/archives/layer.ts";
import type { IngestSession } from "../../images/content.ts";
import type { Layer } from "../../images/image.ts";
import type { IngestedBlob } from "../../images/ingest.ts";
import { diffTar } from "../../images/layers/diff.ts";
import { chainIdsOf } from "../../images/manifest.ts";
import { Limit } from "../../images/transfer/limit.ts";
import { resultById } from "../cache/results.ts";
import type { BuildRooms } from "../rooms.ts";
import type { Root, RootLayer } from "../steps/root.ts";

export interface WrittenLayer {
  readonly layer: Layer;
  readonly blob: IngestedBlob;
  readonly diffId: DiffId;
  readonly chainId: ChainId;
  /** In build_results; undefined for a layer of an image. */
  readonly resultId: string | undefined;
}

/** Layers that are written at the same time: hashing keeps a second core busy. */
const writtenAtOnce = 2;

/** @throws NotFound when something was removed meanwhile; LinuxError ENOSPC */
export async function writeLayers(
  rooms: BuildRooms,
  session: IngestSession,
  root: Root,
  signal: AbortSignal,
): Promise<WrittenLayer[]> {
  const limit = new Limit(writtenAtOnce);
  const written = await Promise.all(
    root.layers.map((layer) => limit.run(() => write(rooms, session, layer, signal))),
  );
  const chainIds = chainIdsOf(written.map(({ diffId }) => diffId));
  return written.map((layer, position) => {
    const chainId = chainIds[position];
    if (chainId === undefined) throw new NotFound(`no layer ${position}`);
    return { ...layer, chainId };
  });
}

async function write(
  rooms: BuildRooms,
  session: IngestSession,
  layer: RootLayer,
  signal: AbortSignal,
): Promise<Omit<WrittenLayer, "chainId">> {
  if (layer.kind === "image") {
    const blob = session.hold(layer.descriptor.digest);
    if (blob === undefined) throw new NotFound(`content digest ${layer.descriptor.digest}: not found`);
    const { diffId, descriptor } = layer;
    const source = {
      diffId,
      descriptor: async () => descriptor,
      open: () => ({ path: blob.path }),
      ingested: blob,
    };
    return { layer: source, blob, diffId, resultId: undefined };
  }
  const record = resultById(rooms.state, layer.id);
  if (record === undefined) throw new NotFound(`build result ${layer.id} was removed while it was used`);
  const known = record.diffId === undefined ? undefined : session.hold(record.diffId);
  const blob = known ?? (await writeTar(rooms, session, record.snapshot, layer.id, signal));
  const diffId = (await blob.digest) as DiffId;
  return { layer: layerOfFile(blob, diffId), blob, diffId, resultId: layer.id };
}

async function writeTar(
  rooms: BuildRooms,
  session: IngestSession,
  snapshot: string,
  id: string,
  signal: AbortSignal,
): Promise<IngestedBlob> {
  const writer = session.create();
  try {
    const name = (await rooms.snapshots.has(snapshot))
      ? snapshot
      : (resultById(rooms.state, id)?.snapshot ?? snapshot);
    for await (const chunk of diffTar(await rooms.snapshots.layerTarget(name), { signal }))
      writer.write(chunk);
    return writer.finish();
  } catch (error) {
    writer.close();
    throw error;
  }
}
