/** Places as sinks. Each shows what it got only when it has all of it. */

import { Conflict, InvalidParameter, NotFound } from "../../core/errors.ts";
import { type Digest, randomId } from "../../core/ids.ts";
import { dirname, join } from "../../core/paths.ts";
import { type ArchiveOptions, archiveBytes } from "../../images/archives/archive-writer.ts";
import { isAttestation } from "../../images/attestations.ts";
import { type ImageStores, repairImages } from "../../images/collect.ts";
import type { IngestSession } from "../../images/content.ts";
import { type ImageSink, isRunnable, type NamedImage } from "../../images/image.ts";
import { localStoreSink } from "../../images/local-store.ts";
import { isManifestType } from "../../images/manifest.ts";
import { formatPlatform } from "../../images/platform.ts";
import { parseReference, type Reference, withDefaultTag } from "../../images/references.ts";
import { collectingSink } from "../../images/transports/collecting.ts";
import { tagAnnotation } from "../../images/transports/layout-names.ts";
import { layoutSink } from "../../images/transports/layout-sink.ts";
import { type Root, rootsOf } from "../../images/transports/roots.ts";
import { skopeoDirectorySink } from "../../images/transports/skopeo-directory.ts";
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "../../linux/files.ts";
import type { Repository } from "../../registry/client/index.ts";
import { registrySink } from "../../registry/sink.ts";
import type { Engine } from "../engine.ts";
import type { CopyPlaces } from "./copy.ts";
import type { PlaceName } from "./places.ts";

export interface SinkRoom {
  places: CopyPlaces;
  from: PlaceName;
  session: IngestSession;
  signal: AbortSignal;
}

/** What the target's name leads to afterwards. */
export type CopySink = ImageSink<Root>;

export async function openSink(place: PlaceName, room: SinkRoom): Promise<CopySink> {
  const { places, signal } = room;
  switch (place.kind) {
    case "registry":
      return registryTarget(place.reference, room);
    case "oci":
      return rootOf(
        layoutSink(place.path, { signal, ...(place.tag === undefined ? {} : { tag: place.tag }) }),
      );
    case "dir":
      return rootOf(skopeoDirectorySink(place.path, { signal }));
    case "oci-archive": {
      const { tag } = place;
      const annotationsOf = () => (tag === undefined ? [] : [tagAnnotation(tag)]);
      return archiveFile(place.path, [], { docker: false, annotationsOf, signal });
    }
    case "docker-archive": {
      if (place.position !== undefined)
        throw new InvalidParameter("docker-archive: a position cannot be written to");
      // As in skopeo: nobody expects that a file full of images is thrown away.
      if (existsSync(place.path) && statSync(place.path).size > 0) {
        throw new Conflict("docker-archive doesn't support modifying existing images");
      }
      const names = place.reference === undefined ? [] : [place.reference];
      return archiveFile(place.path, names, { docker: true, signal });
    }
    case "daemon":
      return engineTarget(await places.openDaemon(), targetName(place.reference), signal);
    case "local": {
      const { local } = places;
      if ("stores" in local) {
        await repairImages(local.stores);
        return storeTarget(local.stores, targetName(place.reference), room);
      }
      const engine = await local.openEngine();
      return engineTarget(engine, targetName(place.reference), signal);
    }
  }
}

/** @throws InvalidParameter for a digest: what is written has the digest that it has. */
function targetName(text: string): Reference {
  const name = withDefaultTag(parseReference(text));
  if (name.digest !== undefined)
    throw new InvalidParameter(`a digest cannot be given to what is written: ${text}`);
  return name;
}

async function registryTarget(reference: Reference, { places, from, signal }: SinkRoom): Promise<CopySink> {
  const repository = places.registries.repository(reference, await places.credentials(reference.domain));
  const mountFrom =
    from.kind === "registry" && from.reference.domain === reference.domain ? [from.reference.path] : [];
  return collectingSink(async (images) => {
    await checkComplete(images, repository, signal);
    // First by their digests: the name comes last, when all that it leads to is there.
    const sink = registrySink(repository, { signal, mountFrom: () => mountFrom });
    for (const named of images) {
      const { digest, bytes } = named.image.config;
      // The sink mounts layers; a config can come from the other repository just as well.
      await repository.putBlob({ digest, size: bytes.byteLength }, () => once(bytes), { mountFrom, signal });
      await sink.put({ ...named, names: [] });
    }
    await sink.commit();
    const root = await onlyRoot(images);
    const indexes = new Map(
      images.flatMap(({ index }) => index?.path ?? []).map((each) => [each.digest, each]),
    );
    for (const index of [...indexes.values()].reverse()) {
      await repository.putManifest(index.digest, { bytes: index.bytes, mediaType: index.value.mediaType });
    }
    if (reference.digest !== undefined && reference.digest !== root.descriptor.digest) {
      throw new InvalidParameter(
        `the digest of what was copied is ${root.descriptor.digest}, not ${reference.digest} as the target's name says`,
      );
    }
    const { bytes, value } = root.document;
    await repository.putManifest(reference.digest ?? reference.tag ?? "latest", {
      bytes,
      mediaType: value.mediaType,
    });
    return root;
  });
}

/** @throws InvalidParameter for an index of which neither the source nor the target has all: registries take no such. */
async function checkComplete(
  images: readonly NamedImage[],
  repository: Repository,
  signal: AbortSignal,
): Promise<void> {
  const travelling = new Set<Digest>();
  for (const { image } of images) travelling.add((await image.manifest()).digest);
  const listed = images.flatMap(({ index }) => index?.path ?? []).flatMap(({ value }) => value.manifests);
  const entries = new Map(listed.map((entry) => [entry.digest, entry]));
  const missing: string[] = [];
  for (const { digest, mediaType, platform } of entries.values()) {
    if (travelling.has(digest) || !isManifestType(mediaType) || (await has(repository, digest, signal)))
      continue;
    missing.push(platform === undefined ? digest : formatPlatform(platform));
  }
  if (missing.length === 0) return;
  throw new InvalidParameter(
    `the index lists what the source has not: ${[...new Set(missing)].join(", ")}. Copy one platform, or fetch all first`,
  );
}

async function has(repository: Repository, digest: Digest, signal: AbortSignal): Promise<boolean> {
  try {
    await repository.resolve(digest, signal);
    return true;
  } catch (error) {
    if (error instanceof NotFound) return false;
    throw error;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Written aside, then renamed. */
function archiveFile(path: string, names: readonly Reference[], options: ArchiveOptions): CopySink {
  return collectingSink(async (images) => {
    const named = images.map((image) => ({ ...image, names }));
    const temporary = join(dirname(path), `.davit-${randomId().slice(0, 16)}`);
    try {
      const fd = openSync(temporary, "wx", 0o644);
      try {
        for await (const chunk of archiveBytes(named, options)) {
          for (let start = 0; start < chunk.byteLength; ) start += writeSync(fd, chunk, start);
        }
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    return onlyRoot(named);
  });
}

function engineTarget(engine: Engine, name: Reference, signal: AbortSignal): CopySink {
  return collectingSink(async (images) => {
    const named = images.map((image) => ({ ...image, names: [name] }));
    const archive = archiveBytes(named, { docker: true, signal });
    for await (const message of engine.images.load(archive, { quiet: true, signal })) {
      if (message.error !== undefined) throw new InvalidParameter(message.error);
    }
    return onlyRoot(named);
  });
}

function storeTarget(stores: ImageStores, name: Reference, room: SinkRoom): CopySink {
  const sink = localStoreSink(stores, room.session, {
    action: "pull",
    report: room.places.report ?? (() => {}),
    takesManifest: true,
    signal: room.signal,
  });
  const put: NamedImage[] = [];
  return {
    put: async (image) => {
      const isStatement = isAttestation(image);
      if (image.index !== undefined && !isRunnable(image.image) && !isStatement) return;
      const named = { ...image, names: [name] };
      if (!isStatement) put.push(named);
      await sink.put(named);
    },
    commit: async () => {
      if (put.length === 0) throw new InvalidParameter("none of the images can run on linux");
      await sink.commit();
      return onlyRoot(put);
    },
    discard: () => sink.discard(),
  };
}

function rootOf(sink: ImageSink<Root[]>): CopySink {
  return { ...sink, commit: async () => first(await sink.commit()) };
}

async function onlyRoot(images: readonly NamedImage[]): Promise<Root> {
  return first(await rootsOf(images));
}

function first(roots: readonly Root[]): Root {
  const [root] = roots;
  if (root === undefined) throw new InvalidParameter("there is no image to copy");
  return root;
}
