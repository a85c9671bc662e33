/** What ADD takes for an archive: by what is in a file, not by its name. */
import { InvalidParameter } from "../../core/errors.ts";
import { decompress } from "../../images/layers/compression.ts";
import type { ByteSource } from "../../images/layers/tar-entry.ts";
import { blockSize, decodeHeader } from "../../images/layers/tar-header.ts";
import { closeFile, descriptorPath, openFlag, openResolved, resolve } from "../../linux/paths.ts";
import type { Scan } from "../context/scan.ts";

export interface ArchiveOptions {
  /** PATH, where programs for bzip2 and xz are looked for. */
  readonly searchPath: string;
  readonly signal: AbortSignal;
}

/**
 * The tar in an open file, to be read once. As Docker tells: what begins, decompressed, with the header of a tar.
 * @returns undefined for what is none. @throws Unavailable when the program that would decompress it is missing
 */
export async function tarOf(file: number, options: ArchiveOptions): Promise<ByteSource | undefined> {
  const path = descriptorPath(file);
  if (!(await isTar(path, options))) return undefined;
  const { compression, stream } = await decompress({ path }, options);
  return compression === "none" ? { path } : stream;
}

async function isTar(path: string, options: ArchiveOptions): Promise<boolean> {
  try {
    const block = await firstBlock(path, options);
    return block.length === blockSize && decodeHeader(block) !== undefined;
  } catch (error) {
    // No header, or compressed and damaged: a file like others.
    if (error instanceof InvalidParameter) return false;
    throw error;
  }
}

async function firstBlock(path: string, options: ArchiveOptions): Promise<Buffer> {
  const { stream } = await decompress({ path }, options);
  const block = Buffer.alloc(blockSize);
  let length = 0;
  for await (const chunk of stream) {
    length += Buffer.from(chunk).copy(block, length);
    if (length === blockSize) break;
  }
  return block.subarray(0, length);
}

/** Whether ADD unpacks it. @throws as `tarOf` */
export async function isArchive({ tree, base }: Scan, options: ArchiveOptions): Promise<boolean> {
  const how = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;
  const fd = openResolved(tree.root, base, openFlag.readOnly | openFlag.nonBlocking, how);
  try {
    return await isTar(descriptorPath(fd), options);
  } finally {
    closeFile(fd);
  }
}
