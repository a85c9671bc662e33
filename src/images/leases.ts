/**
 * Who is at work on images that are not recorded yet, so that collection keeps its hands off. A session's directory
 * (content.ts) holds a file `leases`, one chain id a line, from its beginning until it is cleared; it counts while the
 * session's process lives.
 *
 * The rule, for whoever pulls, loads or builds without holding the "images" lock all the time:
 * 1. A layer is unpacked into an active snapshot whose key is `unpackKey()`: it stays while this process lives and has
 *    a session that it has not cleared.
 * 2. `lease(session, chainId)` comes before `snapshots.commit(key, chainId)`. No lock is needed for that. Where commit
 *    throws Conflict, another process has unpacked the same layer meanwhile: remove the own snapshot, use that one.
 * 3. To stand on a layer that is there already (recorded, or committed by another process), hold the "images" lock
 *    (shared is enough), lease it, and look whether it is there *after* that, before the lock is given back.
 * 4. Blobs lie in the session's directory until they are adopted; adopt them under the exclusive "images" lock that
 *    the transaction which records the image is made under too. A blob that is there already is held
 *    (`session.hold`), which needs no lock.
 * 5. `session.clear()`, disposing of the session and the death of the process end its leases.
 *
 * Collection holds the "images" lock exclusively, lists the snapshots first and reads the leases then: what it saw
 * committed was leased before.
 */

import { hasErrno } from "../core/errors.ts";
import { type ChainId, type Digest, isDigest, randomId } from "../core/ids.ts";
import { basename, join } from "../core/paths.ts";
import { appendFileSync, existsSync, readFileSync } from "../linux/files.ts";
import { startTimeOf } from "../linux/processes.ts";
import type { ContentStore, IngestSession } from "./content.ts";

/** Begins the keys of all active snapshots that layers are unpacked into. */
export const unpackPrefix = "unpack-";

/** A fresh key for an active snapshot to unpack a layer into. It is kept while this process lives. */
export function unpackKey(): string {
  return `${unpackPrefix}${process.pid}.${startTimeOf(process.pid) ?? 0}.${randomId().slice(0, 20)}`;
}

/** True for a key of `unpackKey` whose process is alive and has a session at work. */
export function isUnpacking(key: string, content: Pick<ContentStore, "liveSessions">): boolean {
  const owner = /^unpack-(\d+\.\d+)\.[0-9a-f]+$/.exec(key)?.[1];
  return (
    owner !== undefined &&
    content
      .liveSessions()
      .some((session) => basename(session).startsWith(`${owner}.`) && existsSync(join(session, "leases")))
  );
}

/** Keeps a layer from being collected as long as the session lives, recorded or not. */
export function lease(session: Pick<IngestSession, "directory">, chainId: Digest): void {
  appendFileSync(join(session.directory, "leases"), `${chainId}\n`);
}

/** All chain ids that sessions of live processes name. */
export function liveLeases(content: Pick<ContentStore, "liveSessions">): Set<ChainId> {
  const leased = new Set<ChainId>();
  for (const directory of content.liveSessions()) {
    for (const line of readLeases(directory)) if (isDigest(line)) leased.add(line as ChainId);
  }
  return leased;
}

function readLeases(session: string): string[] {
  try {
    return readFileSync(join(session, "leases"), "latin1").split("\n");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}
