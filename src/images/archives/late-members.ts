/**
 * The large members of an archive that is a local file: each is a blob of known size at once, and its bytes are copied
 * while those that are there already are hashed and unpacked on other threads.
 */
import type { Digest } from "../../core/ids.ts";
import { Arrival } from "../arrival.ts";
import type { IngestSession } from "../content.ts";
import type { BlobWriter, IngestedBlob } from "../ingest.ts";
import type { RangeReader } from "../layers/byte-source.ts";
import { largestDocument } from "../manifest.ts";
import { type ArchiveMember, copyAll } from "./members.ts";

/** What begins a layer says how it is compressed. Bytes. */
const startSize = 512;
/** Each has two files open until it is copied. */
const mostLate = 256;

interface LateMember {
  readonly reader: RangeReader;
  readonly writer: BlobWriter;
  /** Bytes that are still to be copied. */
  readonly rest: number;
  readonly arrival: Arrival;
  readonly digest: PromiseWithResolvers<Digest>;
}

export class LateMembers implements Disposable {
  readonly #session: IngestSession;
  readonly #members: LateMember[] = [];

  constructor(session: IngestSession) {
    this.#session = session;
  }

  /** The member as a blob that is to arrive; undefined when it is small, as documents are, or no local file's. */
  take({ entry: { size }, open }: ArchiveMember): IngestedBlob | undefined {
    if (open === undefined || size <= largestDocument || this.#members.length >= mostLate) return undefined;
    const [reader, writer] = [open(), this.#session.create()];
    const digest = Promise.withResolvers<Digest>();
    // Who awaits it may come later, or never.
    digest.promise.catch(() => undefined);
    const arrival = new Arrival();
    this.#members.push({ reader, writer, rest: size - startSize, arrival, digest });
    writer.copyStart(reader, startSize);
    arrival.advance(startSize, false);
    return { path: writer.path, size, digest: digest.promise, arrival };
  }

  /** Copies all of them, in the archive's order. @throws InvalidParameter for a file that was cut off; LinuxError ENOSPC */
  async copy(signal: AbortSignal): Promise<void> {
    for (const member of this.#members.splice(0)) {
      try {
        await copyOne(member, signal);
      } catch (error) {
        member.digest.reject(error);
        throw error;
      } finally {
        close(member);
      }
    }
  }

  /** Closes what was not copied. */
  [Symbol.dispose](): void {
    for (const member of this.#members.splice(0)) close(member);
  }
}

async function copyOne(
  { reader, writer, rest, arrival, digest }: LateMember,
  signal: AbortSignal,
): Promise<void> {
  await copyAll(reader, writer, rest, signal, (written) => arrival.advance(written, false));
  const blob = writer.finish();
  arrival.advance(blob.size, true);
  digest.resolve(blob.digest);
}

function close({ reader, writer }: LateMember): void {
  reader[Symbol.dispose]();
  writer.close();
}
