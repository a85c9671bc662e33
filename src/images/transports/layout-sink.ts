/**
 * An OCI image layout in a directory as a sink of images. Blobs are written aside first; they get their names, and
 * index.json its new entries, only when all of them are there. Several writers may work on one layout at a time.
 */

import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { hasErrno, InvalidParameter } from "../../core/errors.ts";
import { type Digest, randomId } from "../../core/ids.ts";
import { currentBootId } from "../../linux/boot.ts";
import { namesIn } from "../../linux/directories.ts";
import { syncFileSystem } from "../../linux/disks.ts";
import { closeLockFile, tryLock } from "../../linux/flock.ts";
import { openDirectory } from "../../linux/paths.ts";
import { isAlive, startTimeOf } from "../../linux/processes.ts";
import { layoutIndex } from "../archives/archive-writer.ts";
import type { ImageSink, NamedImage } from "../image.ts";
import { parseJson } from "../json.ts";
import { chunksOf } from "../layers/byte-source.ts";
import { largestDocument, mediaTypes } from "../manifest.ts";
import { blobName } from "../oci-layout.ts";
import { collectingSink } from "./collecting.ts";
import { tagAnnotation } from "./layout-names.ts";
import { documentsOf, type Root, rootsOf } from "./roots.ts";
import { verified } from "./verified.ts";

export interface LayoutSinkOptions {
  /** The entry's `org.opencontainers.image.ref.name`; another that has it loses its entry. */
  tag?: string;
  signal?: AbortSignal;
}

/** @throws InvalidParameter for a directory that is something else than a layout; LinuxError ENOSPC. */
export function layoutSink(directory: string, options: LayoutSinkOptions = {}): ImageSink<Root[]> {
  return collectingSink((images) => writeLayout(directory, images, options));
}

async function writeLayout(
  directory: string,
  images: readonly NamedImage[],
  { tag, signal }: LayoutSinkOptions,
): Promise<Root[]> {
  makeLayout(directory);
  removeDeadStaging(directory);
  const staging = join(directory, stagingName());
  mkdirSync(staging, { mode: 0o700 });
  try {
    const staged = await stage(directory, staging, images, signal);
    const roots = await rootsOf(images);
    for (const digest of staged) renameSync(join(staging, digest.slice(7)), blobPath(directory, digest));
    syncFileSystem(directory);
    using _lock = await lockLayout(directory, signal);
    addEntries(directory, roots, tag);
    return roots;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/** Says whose it is, so that the next writer on this machine can tell whether it is still wanted. */
function stagingName(): string {
  return `.davit-${currentBootId()}.${process.pid}.${startTimeOf(process.pid) ?? 0}.${randomId().slice(0, 8)}`;
}

/** What a killed writer left. Other machines' stay: nobody here knows whether their writers live. */
function removeDeadStaging(directory: string): void {
  const own = `.davit-${currentBootId()}.`;
  for (const name of namesIn(directory)) {
    if (!name.startsWith(own)) continue;
    const [pid, startTime] = name.slice(own.length).split(".").map(Number);
    if (pid !== undefined && startTime !== undefined && isAlive(pid, startTime)) continue;
    rmSync(join(directory, name), { recursive: true, force: true });
  }
}

function makeLayout(directory: string): void {
  mkdirSync(join(directory, "blobs", "sha256"), { recursive: true });
  const marker = join(directory, "oci-layout");
  try {
    writeFileSync(marker, `{"imageLayoutVersion":"1.0.0"}`, { flag: "wx" });
  } catch (error) {
    if (!hasErrno(error, "EEXIST")) throw error;
  }
}

/** Writes what the layout has not yet. @returns the digests that it wrote. */
async function stage(
  directory: string,
  staging: string,
  images: readonly NamedImage[],
  signal: AbortSignal | undefined,
): Promise<Set<Digest>> {
  const staged = new Set<Digest>();
  const isMissing = (digest: Digest, size: number) =>
    !staged.has(digest) && !isThere(blobPath(directory, digest), size);
  for (const { image } of images) {
    for (const layer of image.layers) {
      const descriptor = await layer.descriptor();
      if (!isMissing(descriptor.digest, descriptor.size)) continue;
      const content = verified(chunksOf(layer.open(), signal), descriptor);
      await writeBlob(join(staging, descriptor.digest.slice(7)), content);
      staged.add(descriptor.digest);
    }
  }
  for (const { digest, bytes } of await documentsOf(images)) {
    if (!isMissing(digest, bytes.byteLength)) continue;
    writeFileSync(join(staging, digest.slice(7)), bytes, { mode: 0o644 });
    staged.add(digest);
  }
  return staged;
}

async function writeBlob(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const fd = openSync(path, "wx", 0o644);
  try {
    for await (const chunk of content) {
      for (let start = 0; start < chunk.byteLength; ) start += writeSync(fd, chunk, start);
    }
  } finally {
    closeSync(fd);
  }
}

/** Under the layout's lock: reads index.json anew, so that no other writer's entry is lost. */
function addEntries(directory: string, roots: readonly Root[], tag: string | undefined): void {
  const path = join(directory, "index.json");
  const before = existsSync(path) ? readIndexFile(path) : { rest: [], manifests: [] };
  const added = layoutIndex(roots, () => (tag === undefined ? [] : [tagAnnotation(tag)])).manifests;
  const isReplaced = (entry: KnownEntry) =>
    tag === undefined
      ? entry.tag === undefined && added.some(({ digest }) => digest === entry.digest)
      : entry.tag === tag;
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    ...Object.fromEntries(before.rest),
    manifests: [
      ...before.manifests.filter((entry) => !isReplaced(entry)).map(({ value }) => value),
      ...added,
    ],
  };
  const temporary = join(directory, stagingName());
  try {
    writeFileSync(temporary, JSON.stringify(index), { mode: 0o644, flush: true });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

interface KnownEntry {
  digest: string;
  tag: string | undefined;
  /** As it stands, with what this program knows nothing of. */
  value: unknown;
}

function readIndexFile(path: string): { rest: [string, unknown][]; manifests: KnownEntry[] } {
  if (statSync(path).size > largestDocument)
    throw new InvalidParameter(`${path} is larger than an index may be`);
  const json = parseJson(readFileSync(path), path);
  const manifests = json.at("manifests").optional((list) => list.array(100_000)) ?? [];
  return {
    rest: json
      .entries()
      .filter(([key]) => key !== "manifests")
      .map(([key, value]) => [key, value.raw()]),
    manifests: manifests.map((entry) => ({
      digest: entry.at("digest").string(),
      tag: entry
        .at("annotations")
        .optional((map) => map.at("org.opencontainers.image.ref.name").optional((value) => value.string())),
      value: entry.raw(),
    })),
  };
}

/** The directory itself is what is locked: no file is left behind in the layout. */
async function lockLayout(directory: string, signal: AbortSignal | undefined): Promise<Disposable> {
  const fd = openDirectory(directory);
  try {
    while (!tryLock(fd, "exclusive", directory)) {
      signal?.throwIfAborted();
      await Bun.sleep(5);
    }
  } catch (error) {
    closeLockFile(fd);
    throw error;
  }
  return { [Symbol.dispose]: () => closeLockFile(fd) };
}

function isThere(path: string, size: number): boolean {
  return statSync(path, { throwIfNoEntry: false })?.size === size;
}

function blobPath(directory: string, digest: Digest): string {
  return join(directory, blobName(digest));
}
