/** Attestations on their way into the store: they are kept as they are, nothing of them is unpacked. */
import type { Digest } from "../../core/ids.ts";
import type { IngestSession } from "../content.ts";
import type { Image, Layer } from "../image.ts";
import type { IngestedBlob } from "../ingest.ts";
import { chunksOf } from "../layers/byte-source.ts";
import { verified } from "../transports/verified.ts";

/**
 * Brings an attestation's documents and statements into the session.
 * @throws InvalidParameter for a blob that is not what its descriptor says
 */
export async function bringInAttestation(
  session: IngestSession,
  image: Image,
  signal: AbortSignal,
): Promise<Map<Digest, IngestedBlob>> {
  const blobs = new Map<Digest, IngestedBlob>();
  for (const layer of image.layers) {
    const { digest } = await layer.descriptor();
    blobs.set(digest, session.hold(digest) ?? (await ingest(session, layer, signal)));
  }
  const manifest = await image.manifest();
  for (const { bytes, digest } of [image.config, manifest]) blobs.set(digest, session.add(bytes));
  return blobs;
}

async function ingest(session: IngestSession, layer: Layer, signal: AbortSignal): Promise<IngestedBlob> {
  const descriptor = await layer.descriptor();
  const writer = session.create();
  try {
    for await (const chunk of verified(chunksOf(layer.open(), signal), descriptor)) writer.write(chunk);
    return writer.finish();
  } catch (error) {
    writer.close();
    throw error;
  }
}
