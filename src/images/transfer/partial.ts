/**
 * Blobs on their way from elsewhere: `<data root>/content/partial/<hex>`, one file a blob, named by the digest that it
 * is to have. Whoever writes one holds its lock (flock), so that of several processes one fetches and the others wait.
 *
 * The file stays when a pull is cut off or killed: the next one goes on where it ended, or, if all was there, takes it
 * without asking the registry. Nothing in it is believed before its digest has been computed again. What nobody has
 * come back for in a day is removed (`expirePartials`).
 */

import { hasErrno } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import { namesIn } from "../../linux/directories.ts";
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  rmSync,
  statSync,
} from "../../linux/files.ts";
import { tryLock } from "../../linux/flock.ts";
import { atCurrentDirectory, closeFile, openAt, openFlag } from "../../linux/paths.ts";
import type { ContentStore } from "../content.ts";

const longestPause = 50;
const day = 24 * 60 * 60 * 1000;

/** The sole right to write one partial blob. */
export interface PartialBlob extends Disposable {
  readonly fd: number;
  readonly path: string;
  /** Another had it first. */
  readonly wasContended: boolean;
  /** Bytes that are there. */
  size(): number;
  /** Gives it another name as well, under which it stays when the partial one goes. */
  link(path: string): void;
  /** Begins again. */
  empty(): void;
  /** Removes it; the lock stays until it is disposed of. */
  remove(): void;
}

/** Waits for the right to write the blob `digest`. @param waiting is called once when another has it. */
export async function claimPartial(
  content: Pick<ContentStore, "path">,
  digest: Digest,
  options: { signal: AbortSignal; waiting?: () => void },
): Promise<PartialBlob> {
  const directory = join(content.path, "partial");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, digest.slice("sha256:".length));
  let wasContended = false;
  for (let pause = 1; ; pause = Math.min(pause * 2, longestPause)) {
    options.signal.throwIfAborted();
    const fd = tryClaim(path);
    if (fd !== undefined) return partialBlob(fd, path, wasContended);
    if (!wasContended) options.waiting?.();
    wasContended = true;
    await Bun.sleep(pause);
  }
}

/** Undefined while another has it. */
function tryClaim(path: string): number | undefined {
  const fd = openAt(atCurrentDirectory, path, openFlag.readWrite | openFlag.create, 0o600);
  try {
    // Whoever had it may have removed the file since it was opened: then the lock is on something that has no name.
    if (tryLock(fd, "exclusive", path) && isStill(fd, path)) return fd;
  } catch (error) {
    closeFile(fd);
    throw error;
  }
  closeFile(fd);
  return undefined;
}

function isStill(fd: number, path: string): boolean {
  try {
    return statSync(path).ino === fstatSync(fd).ino;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}

function partialBlob(fd: number, path: string, wasContended: boolean): PartialBlob {
  let isOpen = true;
  return {
    fd,
    path,
    wasContended,
    size: () => fstatSync(fd).size,
    link: (other) => {
      rmSync(other, { force: true });
      linkSync(path, other);
    },
    empty: () => ftruncateSync(fd, 0),
    remove: () => rmSync(path, { force: true }),
    [Symbol.dispose]: () => {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
}

/** Forgets a blob that has become part of the store. */
export function forgetPartial(content: Pick<ContentStore, "path">, digest: Digest): void {
  rmSync(join(content.path, "partial", digest.slice("sha256:".length)), { force: true });
}

/**
 * Removes what nobody has written to for `age` milliseconds (a day when absent; 0 for all) and nobody is writing.
 * @returns bytes that were freed.
 */
export function expirePartials(content: Pick<ContentStore, "path">, age: number = day): number {
  const directory = join(content.path, "partial");
  let freed = 0;
  for (const name of namesIn(directory)) {
    const path = join(directory, name);
    const fd = tryClaimExisting(path);
    if (fd === undefined) continue;
    const { mtimeMs, blocks } = fstatSync(fd);
    if (Date.now() - mtimeMs >= age) {
      rmSync(path, { force: true });
      freed += blocks * 512;
    }
    closeFile(fd);
  }
  return freed;
}

function tryClaimExisting(path: string): number | undefined {
  try {
    statSync(path);
    return tryClaim(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
