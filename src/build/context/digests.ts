/**
 * Digests of files, for cache keys. A file that was hashed before, and has not changed since as its times, size and
 * inode tell, is not read again: what is known of a directory is kept in one file, `<data root>/build/digests/<name>`.
 */
import { join } from "../../core/paths.ts";
import { type NodeStatus, readAt, statusAt } from "../../linux/nodes.ts";
import { closeFile, openAt, openFlag } from "../../linux/paths.ts";
import { readKept, writeKept } from "../cache/kept-files.ts";

export interface FileDigests {
  /** Tells the directory from others, where what is found is kept; undefined where nobody asks for it again. */
  readonly name: string | undefined;
  /** @param path from the tree's root. @param directory that holds the file, open. */
  digest(path: string, directory: number, name: string, status: NodeStatus): string;
  /** Keeps what was found for the next time. */
  save(): void;
}

const readFlags = openFlag.readOnly | openFlag.noFollow | openFlag.nonBlocking;
const buffer = new Uint8Array(1 << 18);

/** sha512/256: faster than sha256 where there are no instructions for it. */
function hashFile(directory: number, name: string): string {
  const fd = openAt(directory, name, readFlags);
  try {
    const hasher = new Bun.CryptoHasher("sha512-256");
    for (let offset = 0; ; ) {
      const got = readAt(fd, buffer, offset, name);
      if (got === 0) return hasher.digest("hex");
      hasher.update(got === buffer.length ? buffer : buffer.subarray(0, got));
      offset += got;
    }
  } finally {
    closeFile(fd);
  }
}

/** Of files that nobody asks for again. */
export const plainDigests: FileDigests = {
  name: undefined,
  digest: (_, directory, name) => hashFile(directory, name),
  save: () => {},
};

/** A change this soon before it was looked at may be followed by one that no time tells of. Nanoseconds. */
const uncertain = 50_000_000n;

const format = "davit digests 1";

/**
 * What is known of the directory that is open as `root`.
 * @param dataRoot of the instance
 */
export function knownDigests(dataRoot: string, root: number): FileDigests {
  const { device, inode } = statusAt(root, "");
  const kept = join(dataRoot, "build", "digests");
  const file = `${device.toString(16)}-${inode.toString(16)}`;
  const known = new Map<string, string>();
  for (const line of readKept(kept, file, format)) {
    const at = line.indexOf("\t");
    if (at > 0) known.set(line.slice(at + 1), line.slice(0, at));
  }
  const found = new Map<string, string>();
  let isChanged = false;
  return {
    name: file,
    digest: (path, directory, name, status) => {
      const facts = `${status.inode} ${status.size} ${status.mtime} ${status.ctime}`;
      const before = known.get(path);
      if (before?.startsWith(`${facts} `) === true) {
        found.set(path, before);
        return before.slice(facts.length + 1);
      }
      const seen = BigInt(Date.now()) * 1_000_000n;
      const digest = hashFile(directory, name);
      isChanged = true;
      if (status.ctime < seen - uncertain && status.mtime < seen - uncertain)
        found.set(path, `${facts} ${digest}`);
      return digest;
    },
    save: () => {
      if (!isChanged && found.size <= known.size) return;
      const all = new Map([...known, ...found]);
      if (all.size > mostKept) return;
      const lines: string[] = [];
      for (const [path, facts] of all) {
        if (!path.includes("\n") && path.isWellFormed()) lines.push(`${facts}\t${path}`);
      }
      writeKept(kept, file, format, lines);
    },
  };
}

/** More than this is not kept: it would take longer to read than it saves. */
const mostKept = 500_000;
