/** `load`: images out of an archive, into the local store. All of them or none. */
import { type OpenedArchive, openArchive } from "./archives/archive.ts";
import { archiveImages } from "./archives/source.ts";
import { type ImageStores, repairImages } from "./collect.ts";
import { copy, idOf, storable } from "./image.ts";
import type { ByteSource } from "./layers/tar-entry.ts";
import { localStoreSink, type StoredImage } from "./local-store.ts";
import { parsePlatform } from "./platform.ts";
import { type ProgressMessage, progressOf, type Report } from "./progress.ts";
import { familiarForm } from "./references.ts";

export interface LoadOptions {
  /** No progress, only `Loaded image: …`. */
  quiet?: boolean;
  /** Of an index only these, as `os/arch[/variant]`; all that the archive holds when absent or empty. */
  platforms?: readonly string[];
  signal?: AbortSignal;
}

/**
 * Takes a docker-archive, an OCI archive, or one that is both; plain, gzip or zstd. A local file may be given by its
 * path.
 * @throws InvalidParameter for a bad archive; LinuxError ENOSPC. Then nothing has changed.
 */
export function loadImages(
  stores: ImageStores,
  source: ByteSource,
  options: LoadOptions = {},
): AsyncGenerator<ProgressMessage> {
  return progressOf(async (report, signal) => {
    const wanted = (options.platforms ?? []).map(parsePlatform);
    await repairImages(stores);
    using session = stores.content.openSession();
    using opened = await openArchive(session, source, signal);
    const images = archiveImages(opened.archive, wanted.length === 0 ? "all" : wanted);
    const progress = options.quiet ? ignore : report;
    const stored = await whileCopying(opened, signal, async (inner, copied) => {
      using sink = localStoreSink(stores, session, { action: "load", report: progress, signal: inner });
      const commit = async () => {
        // All of the archive has to be good before anything of it is here.
        await copied;
        return await sink.commit();
      };
      return await copy(storable(images), { ...sink, commit });
    });
    announce(stored, report);
  }, options.signal);
}

/** Lets `work` unpack what is there of an archive while the rest is copied. Of two failures the first one counts. */
async function whileCopying<Result>(
  opened: OpenedArchive,
  outer: AbortSignal,
  work: (signal: AbortSignal, copied: Promise<void>) => Promise<Result>,
): Promise<Result> {
  const stop = new AbortController();
  const signal = AbortSignal.any([outer, stop.signal]);
  const orStop = async <Value>(part: Promise<Value>) => {
    try {
      return await part;
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  };
  const copied = orStop(opened.copyRest(signal));
  const parts = [orStop(work(signal, copied)), copied] as const;
  await Promise.allSettled(parts);
  stop.signal.throwIfAborted();
  const [result] = await Promise.all(parts);
  return result;
}

/** Docker's words: a line for each name; where no image of the archive has a name, a line for each id. */
function announce(stored: readonly StoredImage[], report: Report): void {
  const line = (text: string) => report({ stream: `${text}\n` });
  for (const { named, renamed } of stored) {
    for (const name of named.names.map(familiarForm)) {
      const before = renamed.get(name);
      if (before !== undefined) {
        line(`The image ${name} already exists, renaming the old one with ID ${before} to empty string`);
      }
      line(`Loaded image: ${name}`);
    }
  }
  if (stored.every(({ named }) => named.names.length === 0)) {
    for (const { named } of stored) line(`Loaded image ID: ${idOf(named.image)}`);
  }
}

function ignore(): void {
  // Progress that nobody asked for.
}
