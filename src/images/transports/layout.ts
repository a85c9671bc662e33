/**
 * An OCI image layout in a directory as a source of images. OCI image-spec, image-layout.md.
 * The directory may come from anywhere: the kernel keeps every name inside it.
 */

import { fstatSync } from "node:fs";
import { InvalidParameter, NotFound } from "../../core/errors.ts";
import { readAt } from "../../linux/nodes.ts";
import {
  closeFile,
  openDirectory,
  openFlag,
  openResolved,
  resolve,
  tryOpenResolved,
} from "../../linux/paths.ts";
import type { ImageSource } from "../image.ts";
import { parseJson } from "../json.ts";
import { chunkSize } from "../layers/byte-source.ts";
import { type Descriptor, type Index, largestDocument, parseIndex } from "../manifest.ts";
import { blobName } from "../oci-layout.ts";
import { tagOfDescriptor } from "./layout-names.ts";
import { imagesAt, type Place, type PlatformChoice } from "./place.ts";
import { verified } from "./verified.ts";

export interface LayoutSourceOptions {
  /** Which entry of index.json, by its `org.opencontainers.image.ref.name`; the only one when absent. */
  tag?: string;
  choice: PlatformChoice;
}

/** The images have no names: an entry's tag is none. @throws NotFound, InvalidParameter */
export function layoutSource(directory: string, { tag, choice }: LayoutSourceOptions): LayoutSource {
  const root = openDirectory(directory);
  return {
    async *images() {
      checkVersion(readDocument(root, "oci-layout"), directory);
      const index = parseIndex(readDocument(root, "index.json"), `${directory}/index.json`);
      for await (const found of imagesAt(directoryPlace(root), chooseEntry(index, tag, directory), choice)) {
        yield { ...found, names: [], parent: undefined };
      }
    },
    [Symbol.dispose]: () => closeFile(root),
  };
}

/** Its images' layers can be opened until it is disposed of. */
export interface LayoutSource extends ImageSource, Disposable {}

/** @throws InvalidParameter for several entries without a choice; NotFound. */
export function chooseEntry(index: Index, tag: string | undefined, where: string): Descriptor {
  const entries =
    tag === undefined ? index.manifests : index.manifests.filter((entry) => tagOfDescriptor(entry) === tag);
  const [first] = entries;
  if (first === undefined) {
    throw new NotFound(
      tag === undefined
        ? `${where} holds no image`
        : `no descriptor found for reference "${tag}" in ${where}`,
    );
  }
  const digests = new Set(entries.map(({ digest }) => digest));
  if (digests.size > 1) {
    const tags = index.manifests.map((entry) => tagOfDescriptor(entry)).filter((name) => name !== undefined);
    throw new InvalidParameter(
      `more than one image in ${where}, choose one${tags.length === 0 ? "" : ` of ${tags.join(", ")}`}`,
    );
  }
  return first;
}

/** @param root an open directory, which has to stay open while blobs are opened. */
function directoryPlace(root: number): Place {
  return {
    document: async (descriptor) => {
      const path = blobName(descriptor.digest);
      return exists(root, path) ? readDocument(root, path) : undefined;
    },
    layer: (descriptor) => {
      const path = blobName(descriptor.digest);
      if (!exists(root, path)) return undefined;
      return {
        descriptor: async () => descriptor,
        open: () => verified(readStream(root, path), descriptor),
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

function readDocument(root: number, path: string): Buffer {
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

function checkVersion(bytes: Uint8Array, where: string): void {
  const version = parseJson(bytes, `${where}/oci-layout`).at("imageLayoutVersion").string();
  if (!version.startsWith("1."))
    throw new InvalidParameter(`${where}: image layout version ${version} is not read`);
}
