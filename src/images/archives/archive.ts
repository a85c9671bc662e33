/** An image archive, read once from a stream: every file in it becomes an ingested blob of the session. */

import { InvalidParameter } from "../../core/errors.ts";
import { type Digest, isDigest } from "../../core/ids.ts";
import { dirname, join, normalize } from "../../core/paths.ts";
import { type IngestSession, readWhole } from "../content.ts";
import type { IngestedBlob } from "../ingest.ts";
import { quote } from "../layers/entry-name.ts";
import type { ByteSource, TarEntry } from "../layers/tar-entry.ts";
import { largestDocument } from "../manifest.ts";
import { blobName } from "../oci-layout.ts";
import { LateMembers } from "./late-members.ts";
import { type ArchiveMember, membersOf } from "./members.ts";

const mostLinks = 16;

/** The names and contents of an archive's files. */
export class Archive {
  private readonly files: ReadonlyMap<string, IngestedBlob>;
  private readonly links: ReadonlyMap<string, string>;

  constructor(files: ReadonlyMap<string, IngestedBlob>, links: ReadonlyMap<string, string>) {
    this.files = files;
    this.links = links;
  }

  /** A file by its name in the archive; links inside the archive are followed. */
  find(name: string): IngestedBlob | undefined {
    let current = cleanName(name);
    for (let step = 0; step < mostLinks; step += 1) {
      const target = this.links.get(current);
      if (target === undefined) return this.files.get(current);
      current = target;
    }
    return undefined;
  }

  /** @throws InvalidParameter when the archive has no such file. */
  get(name: string): IngestedBlob {
    const file = this.find(name);
    if (file === undefined) throw new InvalidParameter(`invalid archive: it has no file ${quote(name)}`);
    return file;
  }

  /** A small file's bytes. @throws InvalidParameter when it is missing or larger than a document may be. */
  read(name: string): Uint8Array {
    const file = this.get(name);
    if (file.size > largestDocument) {
      throw new InvalidParameter(
        `invalid archive: ${quote(name)} has ${file.size} bytes; at most ${largestDocument} are read`,
      );
    }
    return readWhole(file.path);
  }

  /** A blob of an OCI layout, if the archive holds it. */
  findBlob(digest: Digest): IngestedBlob | undefined {
    return this.find(blobName(digest));
  }

  /** A small blob's bytes; the digest is the caller's to check. */
  readBlob(digest: Digest): Uint8Array {
    return this.read(blobName(digest));
  }

  names(): IterableIterator<string> {
    return this.files.keys();
  }
}

/** An archive of which large members may still have to be copied. */
export interface OpenedArchive extends Disposable {
  readonly archive: Archive;
  /** Copies them (`IngestedBlob.arrival`). @throws InvalidParameter, LinuxError ENOSPC */
  copyRest(signal: AbortSignal): Promise<void>;
}

/**
 * Reads an archive, plain, gzip or zstd, to its end. Blobs that the store holds already are not written again.
 * @throws InvalidParameter for what is no tar, ends early, or has too many entries; LinuxError ENOSPC.
 */
export async function readArchive(
  session: IngestSession,
  source: ByteSource,
  signal: AbortSignal,
): Promise<Archive> {
  using opened = await openArchive(session, source, signal);
  await opened.copyRest(signal);
  return opened.archive;
}

/** The same; but of a plain local file only the beginnings of large members are read, for now. */
export async function openArchive(
  session: IngestSession,
  source: ByteSource,
  signal: AbortSignal,
): Promise<OpenedArchive> {
  using resources = new DisposableStack();
  const late = resources.use(new LateMembers(session));
  const archive = await readMembers(session, source, late, signal);
  const kept = resources.move();
  return {
    archive,
    copyRest: (stop) => late.copy(stop),
    [Symbol.dispose]: () => kept.dispose(),
  };
}

async function readMembers(
  session: IngestSession,
  source: ByteSource,
  late: LateMembers,
  signal: AbortSignal,
): Promise<Archive> {
  const files = new Map<string, IngestedBlob>();
  const links = new Map<string, string>();
  for await (const member of membersOf(source, signal)) {
    const { entry } = member;
    const name = cleanName(entry.name);
    const link = linkTarget(name, entry);
    // A later entry replaces an earlier one of the same name, as in every tar.
    files.delete(name);
    links.delete(name);
    if (link !== undefined) links.set(name, link);
    else if (entry.type === "file") {
      files.set(name, held(session, name) ?? late.take(member) ?? (await ingest(session, member)));
    }
  }
  if (files.size === 0) throw new InvalidParameter("invalid archive: it has no files");
  return new Archive(files, links);
}

async function ingest(session: IngestSession, { writeTo }: ArchiveMember): Promise<IngestedBlob> {
  const writer = session.create();
  try {
    await writeTo(writer);
    return writer.finish();
  } catch (error) {
    writer.close();
    throw error;
  }
}

/** The store's own copy of a blob that the archive names by its digest. */
function held(session: IngestSession, name: string): IngestedBlob | undefined {
  const match = /^blobs\/sha256\/([a-f0-9]{64})$/.exec(name);
  const digest = `sha256:${match?.[1]}`;
  return isDigest(digest) ? session.hold(digest) : undefined;
}

/** Names are only keys of a map; nothing is ever opened by them. */
function cleanName(name: string): string {
  return normalize(`/${name}`).replace(/^\/+|\/+$/g, "");
}

/** `docker save` of old links layers that are the same: `<id>/layer.tar` → `../<other id>/layer.tar`. */
function linkTarget(name: string, entry: TarEntry): string | undefined {
  if (entry.type === "hard-link") return cleanName(entry.linkName);
  if (entry.type === "symlink") return cleanName(join(dirname(name), entry.linkName));
  return undefined;
}
