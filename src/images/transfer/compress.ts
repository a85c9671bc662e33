/**
 * Compresses a plain layer for its way out: in gzip members of a megabyte each or zstd frames of eight, which every
 * reader takes as one stream. The same bytes and the same davit give the same result.
 */
import { errnoNumber } from "../../linux/errno.ts";
import { linuxError } from "../../linux/libc.ts";
import { writeAt } from "../../linux/nodes.ts";
import { atCurrentDirectory, closeFile, openAt, openFlag } from "../../linux/paths.ts";
import { RangeReader } from "../layers/byte-source.ts";
import { SpaceWatch } from "../layers/space.ts";
import type { CompressedBlob, CompressJob } from "./messages.ts";

/** Parts of a layer that begin at multiples of this come to the same bytes as the whole does. */
export const partAlignment = 8 << 20;
/** Bytes that are compressed at once, and do not refer to those before. */
const memberSizes = { gzip: 1 << 20, zstd: 8 << 20 };
/** The fastest of gzip: what it makes is smaller than what zlib's fastest makes, in as little time. Zstd's own default. */
const defaultLevels = { gzip: 1, zstd: 3 } as const;
const bytesBetweenTurns = 4 << 20;

/** @throws LinuxError, also ENOSPC before the file system is full. */
export async function compressLayer(
  { path, part, output, compression, level = defaultLevels[compression] }: CompressJob,
  { signal, taken }: { signal: AbortSignal; taken: (bytes: number) => void },
): Promise<CompressedBlob> {
  using reader = new RangeReader({ path, ...part });
  const start = reader.position;
  const fd = openAt(
    atCurrentDirectory,
    output,
    openFlag.writeOnly | openFlag.create | openFlag.exclusive,
    0o600,
  );
  try {
    const hash = new Bun.CryptoHasher("sha256");
    const space = new SpaceWatch(fd);
    const buffer = new Uint8Array(Math.min(memberSizes[compression], Math.max(1, reader.end - start)));
    let size = 0;
    for (let turn = start + bytesBetweenTurns; ; ) {
      const plain = reader.read(buffer);
      // An empty layer has one member, too: no bytes at all would be no gzip.
      if (plain.length === 0 && size > 0) break;
      const member = compressMember(plain, compression, level);
      space.addBytes(member.length, output);
      writeAt(fd, member, size, output);
      hash.update(member);
      size += member.length;
      if (reader.position >= turn) {
        turn = reader.position + bytesBetweenTurns;
        taken(reader.position - start);
        await Bun.sleep(0);
        signal.throwIfAborted();
      }
    }
    if (reader.position < reader.end) throw linuxError("read", errnoNumber.EIO, path);
    return { digest: `sha256:${hash.digest("hex")}`, size };
  } finally {
    closeFile(fd);
  }
}

const gzipLevels = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] as const;

function compressMember(plain: Uint8Array, compression: "gzip" | "zstd", level: number): Uint8Array {
  const bytes = new Uint8Array(plain);
  // Zstd knows no level 0.
  if (compression === "zstd") return Bun.zstdCompressSync(bytes, { level: Math.max(1, level) });
  return Bun.gzipSync(bytes, { level: gzipLevels[level] ?? defaultLevels.gzip, library: "libdeflate" });
}
