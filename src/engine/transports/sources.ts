/** Places as sources: what is opened here is closed when the copy has ended. */

import { InvalidParameter, NotFound } from "../../core/errors.ts";
import { isAbsolute, join } from "../../core/paths.ts";
import { type Archive, readArchive } from "../../images/archives/archive.ts";
import { ociArchive } from "../../images/archives/oci-archive.ts";
import { archiveImages } from "../../images/archives/source.ts";
import type { IngestSession } from "../../images/content.ts";
import type { ImageSource, NamedImage } from "../../images/image.ts";
import type { ByteSource } from "../../images/layers/tar-entry.ts";
import { parseIndex } from "../../images/manifest.ts";
import { canonicalForm, familiarForm, type Reference } from "../../images/references.ts";
import { chooseEntry, layoutSource } from "../../images/transports/layout.ts";
import { imagesAt, type PlatformChoice } from "../../images/transports/place.ts";
import { skopeoDirectorySource } from "../../images/transports/skopeo-directory.ts";
import { storedImages } from "../../images/transports/stored-source.ts";
import type { Engine } from "../engine.ts";
import type { CopyPlaces } from "./copy.ts";
import type { PlaceName } from "./places.ts";
import { registryPlace } from "./registry-place.ts";

/** What sources lean on while the copy goes on. */
export interface SourceRoom {
  places: CopyPlaces;
  choice: PlatformChoice;
  /** Nobody asked for this platform: an image that is for another one alone will do. */
  isByDefault: boolean;
  /** Keeps what archives hold. */
  session: IngestSession;
  signal: AbortSignal;
  /** Closes something at the end. */
  use<Resource extends Disposable>(resource: Resource): Resource;
}

/** Opens nothing before its images are asked for. @throws as the place does */
export function openSource(place: PlaceName, room: SourceRoom): ImageSource {
  return {
    async *images() {
      yield* (await sourceOf(place, room)).images();
    },
  };
}

async function sourceOf(place: PlaceName, room: SourceRoom): Promise<ImageSource> {
  const { places, choice, session, signal } = room;
  switch (place.kind) {
    case "registry":
      return registryImages(place.reference, room);
    case "oci":
      return room.use(
        layoutSource(place.path, { choice, ...(place.tag === undefined ? {} : { tag: place.tag }) }),
      );
    case "dir":
      return room.use(skopeoDirectorySource(place.path, choice));
    case "oci-archive": {
      const archive = await readArchive(session, fileSource(place.path), signal);
      const entry = chooseEntry(parseIndex(archive.read("index.json")), place.tag, place.path);
      return ociArchive(archive, choice, ({ digest }) => digest === entry.digest);
    }
    case "docker-archive":
      return oneOf(
        archiveImages(await readArchive(session, fileSource(place.path), signal), choice),
        place,
        place.path,
      );
    case "daemon":
      return engineSource(await places.openDaemon(), place.reference, room);
    case "local": {
      const { local } = places;
      if ("openEngine" in local) return engineSource(await local.openEngine(), place.reference, room);
      return listSource(
        storedImages(local.stores, [place.reference], room.isByDefault ? [undefined] : choice, session),
      );
    }
  }
}

async function registryImages(reference: Reference, room: SourceRoom): Promise<ImageSource> {
  const { places, choice, signal } = room;
  const auth = await places.credentials(reference.domain);
  const repository = places.registries.repository(reference, auth);
  const root = await repository.manifest(reference.digest ?? reference.tag ?? "latest", signal);
  return {
    async *images() {
      const descriptor = { mediaType: root.mediaType, digest: root.digest, size: root.bytes.byteLength };
      const place = registryPlace(repository, root, signal);
      for await (const found of imagesAt(place, descriptor, choice)) {
        yield { ...found, names: [reference], parent: undefined };
      }
    },
  };
}

/** Through `docker save`: what the engine says of platforms is in the archive. */
async function engineSource(engine: Engine, reference: string, room: SourceRoom): Promise<ImageSource> {
  const archive: Archive = await readArchive(room.session, engine.images.save([reference]), room.signal);
  return oneOf(archiveImages(archive, room.choice), { reference: undefined, position: undefined }, reference);
}

/** The wanted image of an archive; the only one when nothing is said. An index counts as one. */
function oneOf(
  source: ImageSource,
  wanted: { reference: Reference | undefined; position: number | undefined },
  where: string,
): ImageSource {
  return {
    async *images() {
      const roots = new Map<unknown, NamedImage[]>();
      for await (const named of source.images()) {
        const key = named.index?.path[0].digest ?? named;
        roots.set(key, [...(roots.get(key) ?? []), named]);
      }
      yield* chooseRoot([...roots.values()], wanted, where);
    },
  };
}

function chooseRoot(
  roots: readonly NamedImage[][],
  { reference, position }: { reference: Reference | undefined; position: number | undefined },
  where: string,
): NamedImage[] {
  if (reference !== undefined) {
    const name = canonicalForm(reference);
    const found = roots.find(([first]) => first?.names.some((other) => canonicalForm(other) === name));
    if (found === undefined)
      throw new NotFound(`tag ${JSON.stringify(familiarForm(reference))} not found in ${where}`);
    return found;
  }
  if (position === undefined && roots.length > 1) {
    throw new InvalidParameter(
      `${where} holds ${roots.length} images: choose one by its name or by @position`,
    );
  }
  const found = roots[position ?? 0];
  if (found === undefined) throw new NotFound(`${where} has no image at position ${position ?? 0}`);
  return found;
}

function listSource(images: readonly NamedImage[]): ImageSource {
  return {
    async *images() {
      yield* images;
    },
  };
}

function fileSource(path: string): ByteSource {
  return { path: isAbsolute(path) ? path : join(process.cwd(), path) };
}
