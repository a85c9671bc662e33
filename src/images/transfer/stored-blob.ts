/**
 * A blob of the store that is about to be unpacked. It was checked when it came; what the disk has made of it since
 * then, nobody knows, and a plain layer has no checksum of its own that would tell.
 */
import { InvalidParameter } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import type { IngestedBlob } from "../ingest.ts";
import { digestOfFile } from "./fetch-blob.ts";

/** The blob with the digest that its bytes have now: they are read while the blob is unpacked. */
export function rehashed(blob: IngestedBlob, signal: AbortSignal): IngestedBlob {
  const digest = digestOfFile(blob.path, signal);
  // Awaited when it is unpacked; until then a rejection must not end the process.
  digest.catch(() => undefined);
  return { ...blob, digest };
}

/** @throws InvalidParameter when the bytes are not what the blob is called. */
export async function checkDigest(blob: IngestedBlob, name: Digest): Promise<void> {
  const actual = await blob.digest;
  if (actual !== name) throw new InvalidParameter(`blob ${name} has the content of ${actual}`);
}
