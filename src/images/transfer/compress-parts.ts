/** Compresses a large layer on several threads: each takes a part, and what they make is joined. */
import { rmSync } from "../../linux/files.ts";
import { atCurrentDirectory, closeFile, openAt, openFlag } from "../../linux/paths.ts";
import { hashInBackground } from "../layers/background-hash.ts";
import { RangeReader } from "../layers/byte-source.ts";
import { SpaceWatch } from "../layers/space.ts";
import { partAlignment } from "./compress.ts";
import type { LayerPool } from "./layer-pool.ts";
import type { CompressedBlob, CompressJob } from "./messages.ts";

/** A smaller part is not worth its thread. */
const smallestPart = 4 * partAlignment;
/** Bytes joined between two turns of the event loop. */
const joinStep = 32 << 20;

/**
 * The result has the same bytes, however many threads there are.
 * @param size of the plain layer @throws LinuxError; SystemFailure when it was cancelled
 */
export async function compressInParts(
  pool: Pick<LayerPool, "compress" | "threads">,
  job: CompressJob,
  size: number,
  { signal, taken }: { signal: AbortSignal; taken: (bytes: number) => void },
): Promise<CompressedBlob> {
  const count = Math.max(1, Math.min(pool.threads, Math.floor(size / smallestPart)));
  if (count === 1) return pool.compress(job, signal, taken);
  const length = Math.ceil(size / count / partAlignment) * partAlignment;
  const parts = Array.from({ length: Math.ceil(size / length) }, (_, at) => ({
    ...job,
    part: { offset: at * length, length: Math.min(length, size - at * length) },
    output: at === 0 ? job.output : `${job.output}.${at}`,
  }));
  const done = parts.map(() => 0);
  const blobs = await Promise.all(
    parts.map((part, at) =>
      pool.compress(part, signal, (bytes) => {
        done[at] = bytes;
        taken(done.reduce((sum, each) => sum + each, 0));
      }),
    ),
  );
  const [first, ...others] = parts.map(({ output }) => output);
  const whole = blobs.reduce((sum, blob) => sum + blob.size, 0);
  await join(first ?? job.output, blobs[0]?.size ?? 0, others, signal);
  using hash = hashInBackground({ path: job.output, offset: 0, length: whole });
  return { digest: await hash.digest, size: whole };
}

/** Appends files to one that has `size` bytes, and removes them. */
async function join(
  path: string,
  size: number,
  others: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const fd = openAt(atCurrentDirectory, path, openFlag.writeOnly);
  try {
    const space = new SpaceWatch(fd);
    let end = size;
    for (const other of others) {
      using reader = new RangeReader({ path: other });
      while (reader.position < reader.end) {
        space.addBytes(Math.min(joinStep, reader.end - reader.position), path);
        end += reader.copyTo(fd, end, joinStep);
        await Bun.sleep(0);
        signal.throwIfAborted();
      }
      rmSync(other);
    }
  } finally {
    closeFile(fd);
  }
}
