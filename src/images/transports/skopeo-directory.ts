/**
 * skopeo's `dir:` form: the files of one image, or of an index and its members, side by side in a directory.
 *
 *     version                 Directory Transport Version: 1.1
 *     manifest.json           what the image's name would lead to
 *     <hex>.manifest.json     a member of an index
 *     <hex>                   a config or layer
 *
 * containers-dir(5) does not promise that the form stays; it is for looking at images.
 */

import { Conflict, hasErrno, InvalidParameter, NotFound } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import { namesIn } from "../../linux/directories.ts";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "../../linux/files.ts";
import { closeFile, openDirectory } from "../../linux/paths.ts";
import type { ImageSink, ImageSource, Layer, NamedImage } from "../image.ts";
import { parseJson } from "../json.ts";
import {
  type Descriptor,
  digestOf,
  isIndexType,
  isManifestType,
  parseIndex,
  parseManifest,
} from "../manifest.ts";
import { syncFile, writeLayers } from "./blob-directory.ts";
import { collectingSink } from "./collecting.ts";
import { directoryPlace, readDocument } from "./directory-place.ts";
import { imagesAt, type PlatformChoice } from "./place.ts";
import { documentsOf, type Root, rootsOf } from "./roots.ts";
import { removeDeadStaging, stagingName } from "./staging.ts";

const versionText = "Directory Transport Version: 1.1\n";
const knownVersion = /^Directory Transport Version: 1\.\d+\n?$/;
/** What the form consists of, with the signatures that others put there. */
const ownName = /^(version|manifest\.json|[0-9a-f]{64}(\.manifest\.json)?|([0-9a-f]{64}\.)?signature-\d+)$/;

/** Its images' layers can be opened until it is disposed of. They have no names. @throws NotFound, InvalidParameter */
export function skopeoDirectorySource(directory: string, choice: PlatformChoice): ImageSource & Disposable {
  const root = openDirectory(directory);
  return {
    async *images() {
      // Early versions of the form had no such file.
      const version = readIfThere(root, "version");
      if (version !== undefined && !knownVersion.test(version.toString("latin1"))) {
        throw new InvalidParameter(`${directory}/version: this version of the form is not read`);
      }
      const bytes = readIfThere(root, "manifest.json");
      if (bytes === undefined) throw new NotFound(`${directory} holds no image`);
      const first = describe(bytes, `${directory}/manifest.json`);
      const place = directoryPlace(root, nameOf);
      const withFirst: typeof place = {
        ...place,
        document: async (descriptor) =>
          descriptor.digest === first.digest ? bytes : place.document(descriptor),
      };
      for await (const found of imagesAt(withFirst, first, choice)) {
        yield { ...found, names: [], parent: undefined };
      }
    },
    [Symbol.dispose]: () => closeFile(root),
  };
}

/**
 * Replaces what the directory holds; until all is written, that stays.
 * @throws Conflict for a directory that holds something else; LinuxError ENOSPC.
 */
export function skopeoDirectorySink(
  directory: string,
  { signal }: { signal?: AbortSignal } = {},
): ImageSink<Root[]> {
  return collectingSink((images) => write(directory, images, signal));
}

async function write(
  directory: string,
  images: readonly NamedImage[],
  signal: AbortSignal | undefined,
): Promise<Root[]> {
  mkdirSync(directory, { recursive: true });
  checkMayReplace(directory);
  removeDeadStaging(directory);
  const roots = await rootsOf(images);
  const [root] = roots;
  if (root === undefined || roots.length > 1) throw new InvalidParameter("dir: holds one image");
  const staging = join(directory, stagingName());
  mkdirSync(staging, { mode: 0o700 });
  try {
    const names = await stage(staging, images, root, signal);
    // From here to the last rename there is no image: better than one of the new manifest and the old layers.
    rmSync(join(directory, "manifest.json"), { force: true });
    for (const name of namesIn(directory)) {
      if (ownName.test(name) && !names.includes(name)) rmSync(join(directory, name), { force: true });
    }
    for (const name of names) renameSync(join(staging, name), join(directory, name));
    await syncFile(directory);
    return roots;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/** @returns the names of its files, that of the manifest last */
async function stage(
  staging: string,
  images: readonly NamedImage[],
  root: Root,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const layers = new Map<Digest, Layer>();
  for (const layer of images.flatMap(({ image }) => image.layers)) {
    layers.set((await layer.descriptor()).digest, layer);
  }
  await writeLayers(staging, layers, hexOf, signal);
  const names = new Set([...layers.keys()].map(hexOf));
  const put = (name: string, content: Uint8Array | string) => {
    names.add(name);
    writeFileSync(join(staging, name), content, { mode: 0o644, flush: true });
  };
  const configs = new Set(images.map(({ image }) => image.config.digest));
  put("version", versionText);
  for (const { digest, bytes } of await documentsOf(images)) {
    if (configs.has(digest)) put(hexOf(digest), bytes);
    else if (digest !== root.document.digest) put(`${hexOf(digest)}.manifest.json`, bytes);
  }
  put("manifest.json", root.document.bytes);
  return [...names];
}

/** As skopeo: nobody's data is thrown away for having the wrong path. */
function checkMayReplace(directory: string): void {
  const names = namesIn(directory);
  if (names.every((name) => name.startsWith(".davit-"))) return;
  const fd = openDirectory(directory);
  try {
    const version = readIfThere(fd, "version");
    if (version !== undefined && knownVersion.test(version.toString("latin1"))) return;
  } finally {
    closeFile(fd);
  }
  throw new Conflict(
    `${directory}: not a containers image directory, don't want to overwrite important data`,
  );
}

function readIfThere(root: number, name: string): Buffer | undefined {
  try {
    return readDocument(root, name);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function describe(bytes: Uint8Array, what: string): Descriptor {
  const isIndex = !parseJson(bytes, what).at("manifests").isAbsent;
  const { mediaType } = isIndex ? parseIndex(bytes, what) : parseManifest(bytes, what);
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

function nameOf({ digest, mediaType }: Descriptor): string {
  const isManifest = isManifestType(mediaType) || isIndexType(mediaType);
  return isManifest ? `${hexOf(digest)}.manifest.json` : hexOf(digest);
}

function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length);
}
