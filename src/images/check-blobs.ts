/** Reads blobs and compares them with their digests, on two threads; fetches damaged ones again. */

import { hasErrno, messageOf, SystemFailure } from "../core/errors.ts";
import type { Digest } from "../core/ids.ts";
import { statSync } from "../linux/files.ts";
import type { ContentStore, IngestSession } from "./content.ts";
import { Hasher } from "./hasher.ts";

export interface CheckedBlobs {
  /** Those that are not what their name says, and in what way. */
  readonly damaged: Map<Digest, string>;
  /** Blobs that were read. */
  readonly count: number;
  readonly bytesRead: number;
}

/** Reads all of them. One that disappears meanwhile (its image was removed) is left out. */
export async function checkBlobs(
  content: ContentStore,
  digests: readonly Digest[],
  options: { progress: (current: number, total: number) => void; signal: AbortSignal },
): Promise<CheckedBlobs> {
  const blobs = digests.flatMap((digest) => sized(content, digest));
  const total = blobs.reduce((sum, { size }) => sum + size, 0);
  const damaged = new Map<Digest, string>();
  let bytesRead = 0;
  let count = 0;
  // The largest first, so that both threads end at about the same time.
  const queue = blobs.sort((left, right) => left.size - right.size);
  const lane = async () => {
    const hasher = new Hasher();
    try {
      for (let blob = queue.pop(); blob !== undefined; blob = queue.pop()) {
        options.signal.throwIfAborted();
        const problem = await problemOf(content, hasher, blob);
        if (problem === "gone") continue;
        if (problem !== undefined) damaged.set(blob.digest, problem);
        count += 1;
        bytesRead += blob.size;
        options.progress(bytesRead, total);
      }
    } finally {
      hasher.close();
    }
  };
  await Promise.all([lane(), lane()]);
  return { damaged, count, bytesRead };
}

interface SizedBlob {
  digest: Digest;
  size: number;
}

function sized(content: ContentStore, digest: Digest): SizedBlob[] {
  try {
    return [{ digest, size: statSync(content.blobPath(digest)).size }];
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

async function problemOf(
  content: ContentStore,
  hasher: Hasher,
  { digest, size }: SizedBlob,
): Promise<string | undefined> {
  try {
    const actual = await hasher.finish(content.blobPath(digest), size);
    return actual === digest ? undefined : `its ${size} bytes have the digest ${actual}`;
  } catch (error) {
    if (!content.has(digest)) return "gone";
    return `it cannot be read: ${messageOf(error)}`;
  }
}

/**
 * Puts a blob in the place of a damaged or missing one. Durable after the next syncfs.
 * @throws SystemFailure when what was fetched is not the blob either; what `fetched` throws.
 */
export async function replaceBlob(
  session: IngestSession,
  digest: Digest,
  fetched: AsyncIterable<Uint8Array>,
): Promise<void> {
  const writer = session.create();
  try {
    for await (const chunk of fetched) writer.write(chunk);
  } catch (error) {
    writer.close();
    throw error;
  }
  const blob = writer.finish();
  const actual = await blob.digest;
  if (actual !== digest) throw new SystemFailure(`what was fetched has the digest ${actual}`);
  session.adopt(blob, digest);
}
