/** Manifests and blobs that lie as files in a directory. It may come from anywhere: the kernel keeps every name inside. */

import { InvalidParameter } from "../../core/errors.ts";
import { fstatSync } from "../../linux/files.ts";
import { readAt } from "../../linux/nodes.ts";
import { closeFile, openFlag, openResolved, resolve, tryOpenResolved } from "../../linux/paths.ts";
import { chunkSize } from "../layers/byte-source.ts";
import { type Descriptor, largestDocument } from "../manifest.ts";
import type { Place } from "./place.ts";
import { verified } from "./verified.ts";

/**
 * @param root an open directory, which has to stay open while blobs are opened
 * @param nameOf where a manifest, config or layer lies below it
 */
export function directoryPlace(root: number, nameOf: (descriptor: Descriptor) => string): Place {
  return {
    document: async (descriptor) => {
      const path = nameOf(descriptor);
      return exists(root, path) ? readDocument(root, path) : undefined;
    },
    layer: (descriptor) => {
      const path = nameOf(descriptor);
      if (!exists(root, path)) return undefined;
      return {
        descriptor: async () => descriptor,
        open: () => verified(readStream(root, path), descriptor),
        openUnchecked: () => readStream(root, path),
        ingested: undefined,
      };
    },
  };
}

const openHow = resolve.inRoot | resolve.noMagicLinks;

function exists(root: number, path: string): boolean {
  const fd = tryOpenResolved(root, path, openFlag.path, openHow);
  if (fd < 0) return false;
  closeFile(fd);
  return true;
}

/** A regular file: no FIFO that would wait for ever, no device. */
function openFile(root: number, path: string): { fd: number; size: number } {
  const fd = openResolved(root, path, openFlag.readOnly | openFlag.nonBlocking, openHow);
  const status = fstatSync(fd);
  if (status.isFile()) return { fd, size: status.size };
  closeFile(fd);
  throw new InvalidParameter(`${path} is no regular file`);
}

/** A small file. @throws LinuxError, InvalidParameter for what is too large or no file */
export function readDocument(root: number, path: string): Buffer {
  const { fd, size } = openFile(root, path);
  try {
    if (size > largestDocument) {
      throw new InvalidParameter(`${path} has ${size} bytes; at most ${largestDocument} are read`);
    }
    const bytes = Buffer.alloc(size);
    let end = 0;
    while (end < size) {
      const count = readAt(fd, bytes.subarray(end), end, path);
      if (count === 0) break;
      end += count;
    }
    return bytes.subarray(0, end);
  } finally {
    closeFile(fd);
  }
}

async function* readStream(root: number, path: string): AsyncGenerator<Uint8Array> {
  const { fd } = openFile(root, path);
  try {
    for (let position = 0; ; ) {
      const buffer = new Uint8Array(chunkSize);
      const count = readAt(fd, buffer, position, path);
      if (count === 0) return;
      position += count;
      yield buffer.subarray(0, count);
    }
  } finally {
    closeFile(fd);
  }
}
