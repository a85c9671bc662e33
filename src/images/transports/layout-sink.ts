/**
 * An OCI image layout in a directory as a sink of images. Blobs are written aside first; they get their names, and
 * index.json its new entries, only when all of them are there. Several writers may work on one layout at a time.
 */

import { hasErrno, InvalidParameter } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import type { Digest } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "../../linux/files.ts";
import { closeLockFile, tryLock } from "../../linux/flock.ts";
import { openDirectory } from "../../linux/paths.ts";
import { layoutIndex } from "../archives/archive-writer.ts";
import type { ImageSink, Layer, NamedImage } from "../image.ts";
import { parseJson } from "../json.ts";
import { largestDocument, mediaTypes } from "../manifest.ts";
import { blobName } from "../oci-layout.ts";
import { syncFile, writeLayers } from "./blob-directory.ts";
import { collectingSink } from "./collecting.ts";
import { tagAnnotation } from "./layout-names.ts";
import { documentsOf, type Root, rootsOf } from "./roots.ts";
import { removeDeadStaging, stagingName } from "./staging.ts";

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
    faultPoint("layout:staged");
    const roots = await rootsOf(images);
    for (const digest of staged) renameSync(join(staging, digest.slice(7)), blobPath(directory, digest));
    await syncFile(join(directory, "blobs", "sha256"));
    using _lock = await lockLayout(directory, signal);
    addEntries(directory, roots, tag);
    return roots;
  } finally {
    rmSync(staging, { recursive: true, force: true });
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
  const layers = new Map<Digest, Layer>();
  for (const layer of images.flatMap(({ image }) => image.layers)) {
    const { digest, size } = await layer.descriptor();
    if (isMissing(digest, size)) layers.set(digest, layer);
  }
  await writeLayers(staging, layers, (digest) => digest.slice(7), signal);
  for (const digest of layers.keys()) staged.add(digest);
  for (const { digest, bytes } of await documentsOf(images)) {
    if (!isMissing(digest, bytes.byteLength)) continue;
    writeFileSync(join(staging, digest.slice(7)), bytes, { mode: 0o644, flush: true });
    staged.add(digest);
  }
  return staged;
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
