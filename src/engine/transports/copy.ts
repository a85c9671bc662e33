/**
 * `davit image copy`: any place of images to any other, as `skopeo copy`.
 *
 *     docker://registry/name:tag      a registry
 *     docker-archive:file[:name:tag]  what `docker save` writes
 *     oci-archive:file[:tag]          an OCI image layout in a tar
 *     oci:directory[:tag]             an OCI image layout
 *     dir:directory                   skopeo's directory form
 *     docker-daemon:name:tag          another engine, through its API
 *     davit:name:tag, name:tag        this engine
 */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { InvalidParameter } from "../../core/errors.ts";
import { type Digest, shortId } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import { isAttestation } from "../../images/attestations.ts";
import type { ImageStores } from "../../images/collect.ts";
import { type ContentStore, openContent } from "../../images/content.ts";
import { copy, type ImageSource, type Layer, type NamedImage } from "../../images/image.ts";
import { chunksOf } from "../../images/layers/byte-source.ts";
import type { ByteSource } from "../../images/layers/tar-entry.ts";
import { detectHostPlatform, parsePlatform } from "../../images/platform.ts";
import { inFormat, isInFormat, type ManifestFormat } from "../../images/transports/convert.ts";
import type { PlatformChoice } from "../../images/transports/place.ts";
import type { Registries } from "../../registry/client/index.ts";
import type { CredentialSource, Engine, ProgressMessage } from "../engine.ts";
import { storesOf } from "../local/stores.ts";
import { type PlaceName, parsePlace } from "./places.ts";
import { type CopySink, openSink } from "./sinks.ts";
import { openSource } from "./sources.ts";

export interface CopyRequest {
  from: string;
  to: string;
  /** `os/arch[/variant]` of an index; this machine's when absent. */
  platform?: string;
  /** All of an index. */
  all?: boolean;
  /** Manifests of this kind at the target; absent: as they are, where the target takes them. */
  format?: "oci" | "docker";
  /** Fail rather than convert. */
  preserveDigests?: boolean;
}

/** What copying stands on. */
export interface CopyPlaces {
  registries: Registries;
  credentials: CredentialSource;
  /** This engine: by its stores where it is in this process, for then nothing is packed in between. */
  local: { stores: ImageStores } | { openEngine: () => Promise<Engine> };
  /** `docker-daemon:`; asked once, when it is needed. */
  openDaemon: () => Promise<Engine>;
  /** Where archives are taken apart; an empty directory is made below it and removed. */
  scratch: string;
  report?: (message: ProgressMessage) => void;
  signal?: AbortSignal;
}

export interface CopyResult {
  /** Of what the target's name leads to: the index with `all`, else the manifest. */
  digest: Digest;
  mediaType: string;
}

/**
 * Copies manifests and blobs byte for byte where the target takes them, so that digests stay; what the target has is
 * not sent. On failure the target shows nothing of it.
 * @throws InvalidParameter for what is no place; NotFound; what the places throw.
 */
export async function copyImage(request: CopyRequest, given: CopyPlaces): Promise<CopyResult> {
  const from = parsePlace(request.from);
  const to = parsePlace(request.to);
  const choice: PlatformChoice = request.all
    ? "all"
    : [request.platform ? parsePlatform(request.platform) : detectHostPlatform()];
  const signal = given.signal ?? new AbortController().signal;
  using closing = new DisposableStack();
  const here = isLocal(from) || isLocal(to) ? await inProcess(given) : given;
  const content = "stores" in here.local ? here.local.stores.content : scratchContent(given.scratch, closing);
  const session = closing.use(content.openSession());
  const source = openSource(from, {
    places: here,
    choice,
    isByDefault: !request.all && !request.platform,
    session,
    signal,
    use: (resource) => closing.use(resource),
  });
  const sink = await openSink(to, { places: here, from, session, signal });
  const root = await copy(prepared(source, request, to), watched(sink, given.report));
  return { digest: root.descriptor.digest, mediaType: root.descriptor.mediaType };
}

function isLocal({ kind }: PlaceName): boolean {
  return kind === "local";
}

/** This engine by its stores, where it works in this process. */
async function inProcess(places: CopyPlaces): Promise<CopyPlaces> {
  const { local } = places;
  if ("stores" in local) return places;
  const engine = await local.openEngine();
  const stores = storesOf(engine);
  return { ...places, local: stores === undefined ? { openEngine: async () => engine } : { stores } };
}

/** What the target is to get: an index only when all of it was asked for, and manifests in its format. */
function prepared(
  source: ImageSource,
  { all, format, preserveDigests }: CopyRequest,
  to: PlaceName,
): ImageSource {
  const wanted = format ?? (to.kind === "oci" || to.kind === "oci-archive" ? "oci" : undefined);
  return {
    async *images() {
      const images: NamedImage[] = [];
      for await (const { index, ...image } of source.images()) {
        // What is attested goes with its index.
        if (!all && index !== undefined && isAttestation({ index })) continue;
        images.push(all && index !== undefined ? { ...image, index } : image);
      }
      if (wanted === undefined || (await areAllIn(images, wanted))) {
        yield* images;
        return;
      }
      if (preserveDigests) {
        throw new InvalidParameter(
          `the manifest has to be converted to ${wanted} for the target, which changes its digest`,
        );
      }
      yield* await inFormat(images, wanted);
    },
  };
}

async function areAllIn(images: readonly NamedImage[], format: ManifestFormat): Promise<boolean> {
  for (const image of images) if (!(await isInFormat(image, format))) return false;
  return true;
}

/** Reports each layer that the sink asks for. */
function watched(sink: CopySink, report: CopyPlaces["report"]): CopySink {
  if (report === undefined) return sink;
  return {
    ...sink,
    put: (named) =>
      sink.put({
        ...named,
        image: { ...named.image, layers: named.image.layers.map((layer) => watchedLayer(layer, report)) },
      }),
    commit: async () => {
      const root = await sink.commit();
      report({ status: `Copied ${root.descriptor.digest}` });
      return root;
    },
  };
}

/** How many bytes pass between two messages. */
const reportStep = 1 << 20;

function watchedLayer(layer: Layer, report: (message: ProgressMessage) => void): Layer {
  const watching = (open: () => ByteSource) =>
    async function* () {
      const { digest, size } = await layer.descriptor();
      const id = shortId(digest);
      let current = 0;
      let told = -reportStep;
      for await (const chunk of chunksOf(open())) {
        if (current - told >= reportStep) {
          told = current;
          report({ status: "Copying", id, progressDetail: { current, total: size } });
        }
        current += chunk.byteLength;
        yield chunk;
      }
      report({ status: "Copied", id });
    };
  const { openUnchecked } = layer;
  return {
    ...layer,
    open: watching(() => layer.open()),
    ...(openUnchecked === undefined ? {} : { openUnchecked: watching(openUnchecked) }),
  };
}

/** A content store for the time of one copy. */
function scratchContent(scratch: string, closing: DisposableStack): ContentStore {
  mkdirSync(scratch, { recursive: true });
  const directory = mkdtempSync(join(scratch, "copy-"));
  closing.defer(() => rmSync(directory, { recursive: true, force: true }));
  return openContent(directory);
}
