/** The digest of a layer's uncompressed tar, for a blob that is not going to be unpacked. */
import { type DiffId, parseDigest } from "../core/ids.ts";
import type { IngestedBlob } from "./ingest.ts";
import { decompress, detectFileCompression } from "./layers/compression.ts";

/** Costs nothing for a plain tar: then the blob's own digest is its diff id. */
export async function diffIdOf(file: IngestedBlob): Promise<DiffId> {
  // Also waits for the bytes of one that is still being copied.
  const digest = await file.digest;
  if (isPlain(file)) return digest as DiffId;
  const { stream } = await decompress({ path: file.path });
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of stream) hash.update(chunk);
  return parseDigest(`sha256:${hash.digest("hex")}`) as DiffId;
}

function isPlain(file: IngestedBlob): boolean {
  return detectFileCompression({ path: file.path }) === "none";
}
