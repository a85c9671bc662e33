/**
 * Compresses a plain layer for its way to a registry: gzip, in members of a megabyte each, which every reader takes as
 * one stream. The same bytes and the same davit give the same result.
 */
import { constants } from "node:os";
import { linuxError } from "../../linux/libc.ts";
import { writeAt } from "../../linux/nodes.ts";
import { atCurrentDirectory, closeFile, openAt, openFlag } from "../../linux/paths.ts";
import { RangeReader } from "../layers/byte-source.ts";
import { SpaceWatch } from "../layers/space.ts";
import type { CompressedBlob, CompressJob } from "./messages.ts";

const memberSize = 1 << 20;
/** The fastest: what it makes is smaller than what zlib's fastest makes, in as little time. */
const level = 1;
const membersBetweenTurns = 4;

/** @throws LinuxError, also ENOSPC before the file system is full. */
export async function compressLayer(
  { path, output }: CompressJob,
  { signal, taken }: { signal: AbortSignal; taken: (bytes: number) => void },
): Promise<CompressedBlob> {
  using reader = new RangeReader({ path });
  const fd = openAt(
    atCurrentDirectory,
    output,
    openFlag.writeOnly | openFlag.create | openFlag.exclusive,
    0o600,
  );
  try {
    const hash = new Bun.CryptoHasher("sha256");
    const space = new SpaceWatch(fd);
    const buffer = new Uint8Array(memberSize);
    let size = 0;
    for (let members = 1; ; members += 1) {
      const plain = reader.read(buffer);
      // An empty layer has one member, too: no bytes at all would be no gzip.
      if (plain.length === 0 && size > 0) break;
      const member = Bun.gzipSync(new Uint8Array(plain), { level, library: "libdeflate" });
      space.addBytes(member.length, output);
      writeAt(fd, member, size, output);
      hash.update(member);
      size += member.length;
      if (members % membersBetweenTurns === 0) {
        taken(reader.position);
        await Bun.sleep(0);
        signal.throwIfAborted();
      }
    }
    if (reader.position < reader.end) throw linuxError("read", constants.errno.EIO, path);
    return { digest: `sha256:${hash.digest("hex")}`, size };
  } finally {
    closeFile(fd);
  }
}
