/** `--cache-from` and `--cache-to`: caches of builds in registries and directories. */

import { CacheBroken } from "../../build/cache/remote/broken.ts";
import { cacheArtifact } from "../../build/cache/remote/export.ts";
import { type CacheContent, RemoteCaches } from "../../build/cache/remote/import.ts";
import { readCache } from "../../build/cache/remote/read.ts";
import { imageInForm } from "../../build/output/forms.ts";
import type { BuildRooms } from "../../build/rooms.ts";
import type { Progress, Vertex } from "../../build/solver/progress.ts";
import type { Root } from "../../build/steps/root.ts";
import { DavitError, messageOf, Unavailable } from "../../core/errors.ts";
import type { IngestSession } from "../../images/content.ts";
import { copy, type ImageSink, type NamedImage } from "../../images/image.ts";
import type { Platform } from "../../images/manifest.ts";
import { parseReference, type Reference, withDefaultTag } from "../../images/references.ts";
import { openLayout } from "../../images/transports/layout.ts";
import { layoutSink } from "../../images/transports/layout-sink.ts";
import { registrySink } from "../../registry/sink.ts";
import type { CacheSource, CacheTarget } from "../build.ts";
import type { CredentialSource } from "../engine.ts";
import { registryPlace } from "../transports/registry-place.ts";
import type { Local } from "./local.ts";

export interface CacheContext {
  readonly local: Local;
  readonly progress: Progress;
  readonly credentials: CredentialSource | undefined;
  readonly signal: AbortSignal;
}

/**
 * What caches say of themselves; layers are fetched later, when they are needed. What is missing or broken is told as
 * the failure of its vertex, and left out.
 * @param held what has to stay open as long as layers may be fetched
 */
export async function openCaches(
  sources: readonly CacheSource[],
  platforms: readonly Platform[],
  held: DisposableStack,
  context: CacheContext,
): Promise<CacheContent[]> {
  const contents = await Promise.all(sources.map((source) => openCache(source, platforms, held, context)));
  return contents.flatMap((content) => content ?? []);
}

async function openCache(
  source: CacheSource,
  platforms: readonly Platform[],
  held: DisposableStack,
  context: CacheContext,
): Promise<CacheContent | undefined> {
  const name = nameOf(source);
  const vertex = context.progress.vertex(`importing cache manifest from ${name}`);
  vertex.started();
  const note = (text: string) => vertex.log("stderr", Buffer.from(`note: ${text}\n`));
  const options = { source: name, platforms, note };
  try {
    const content =
      source.kind === "local"
        ? await readLocal(source, held, options)
        : await readRegistry(source.reference, options, context);
    vertex.finished();
    return content;
  } catch (error) {
    context.signal.throwIfAborted();
    // A fault of ours is none of the cache.
    if (!(error instanceof DavitError)) throw error;
    vertex.finished(`failed to configure ${source.kind} cache importer: ${messageOf(error)}`);
    return undefined;
  }
}

function nameOf(source: CacheSource): string {
  return source.kind === "registry" ? source.reference : `local:${source.directory}`;
}

async function readLocal(
  { directory, tag = "latest", digest }: Extract<CacheSource, { kind: "local" }>,
  held: DisposableStack,
  options: Parameters<typeof readCache>[2],
): Promise<CacheContent> {
  const layout = held.use(openLayout(directory, digest === undefined ? { tag } : { digest }));
  return readCache(layout.place, layout.entry, options);
}

async function readRegistry(
  name: string,
  options: Parameters<typeof readCache>[2],
  { local, credentials, signal }: CacheContext,
): Promise<CacheContent> {
  const reference = withDefaultTag(parseReference(name));
  const repository = local.registries.repository(reference, await credentials?.(reference.domain));
  const document = await repository.manifest(reference.digest ?? reference.tag ?? "", signal);
  const { mediaType, digest, bytes } = document;
  const root = { mediaType, digest, size: bytes.byteLength };
  const { domain, path } = repository;
  return readCache(registryPlace(repository, document, signal), root, {
    ...options,
    origin: { domain, path },
  });
}

export interface CacheExport {
  /** Of the result, one for each platform. */
  readonly results: readonly Root[];
  /** Of all steps. */
  readonly all: readonly Root[];
  readonly rooms: BuildRooms;
  readonly session: IngestSession;
}

type WrittenTarget = Exclude<CacheTarget, { kind: "inline" }>;

const exportNames = { registry: "exporting cache to registry", local: "exporting cache to client directory" };

/** @throws what registries and disks say, unless a target ignores it */
export async function exportCaches(
  targets: readonly CacheTarget[],
  parts: CacheExport,
  context: CacheContext,
): Promise<void> {
  for (const target of targets) {
    if (target.kind === "inline") continue;
    const vertex = context.progress.vertex(exportNames[target.kind]);
    vertex.started();
    try {
      await exportCache(target, parts, vertex, context);
      vertex.finished();
    } catch (error) {
      vertex.finished(messageOf(error));
      context.signal.throwIfAborted();
      if (target.ignoresErrors) continue;
      const broken = brokenCache(error);
      // By now the result has gone out: that a source has broken is no reason to build anew.
      throw broken === undefined ? error : new Unavailable(broken.message, { cause: broken.cause });
    }
  }
}

async function exportCache(
  target: WrittenTarget,
  { results, all, rooms, session }: CacheExport,
  vertex: Vertex,
  context: CacheContext,
): Promise<void> {
  const { signal } = context;
  const preparing = vertex.status("preparing build cache for export");
  const roots = target.mode === "max" ? sorted(all) : results;
  const plain = await cacheArtifact(roots, { rooms, session, leavesAway: true, signal });
  const image = await imageInForm(plain, target.form, { state: rooms.state, session, signal });
  preparing();
  const sent = vertex.status("sending cache export");
  const manifest = await image.manifest();
  const sending = manifest.value.layers.map(({ digest }) => vertex.status(`writing layer ${digest}`));
  const named = (names: readonly Reference[]): NamedImage => ({ image, names, parent: undefined });
  if (target.kind === "local") {
    await send(named([]), layoutSink(target.directory, { tag: target.tag ?? "latest", signal }));
  } else {
    const reference = withDefaultTag(parseReference(target.reference));
    const auth = await context.credentials?.(reference.domain);
    const repository = context.local.registries.repository(reference, auth);
    await send(named([reference]), registrySink(repository, { signal }));
  }
  for (const done of sending) done();
  vertex.status(`writing config ${image.config.digest}`)();
  vertex.status(`writing cache image manifest ${manifest.digest}`)();
  sent();
}

/** The same cache, in whichever order steps have ended. */
function sorted(roots: readonly Root[]): Root[] {
  return roots.toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

async function send(named: NamedImage, sink: ImageSink<unknown>): Promise<void> {
  const images = async function* () {
    yield named;
  };
  await copy({ images }, sink);
}

/**
 * Works with caches that are elsewhere. When one of them cannot give what it has promised, all is done again without
 * it: what steps have made by then is in the cache here.
 */
export async function withCaches(
  sources: readonly CacheSource[],
  parts: {
    readonly platforms: readonly Platform[];
    readonly rooms: BuildRooms;
    readonly session: IngestSession;
  },
  context: CacheContext,
  work: (caches: RemoteCaches) => Promise<void>,
): Promise<void> {
  const { progress, signal } = context;
  using held = new DisposableStack();
  let contents = await openCaches(sources, parts.platforms, held, context);
  for (;;) {
    using caches = new RemoteCaches(contents, { ...parts, progress, signal });
    try {
      await work(caches);
      return;
    } catch (error) {
      const broken = brokenCache(error);
      const isLeft = ({ source }: CacheContent) => source !== broken?.source;
      if (contents.every(isLeft)) throw error;
      contents = contents.filter(isLeft);
      const message = `${messageOf(broken)}: building without it`;
      progress.tell({ kind: "warning", warning: { rule: "", message } });
    }
  }
}

/** Who sends a layer on may have wrapped what it met. */
function brokenCache(error: unknown): CacheBroken | undefined {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (each instanceof CacheBroken) return each;
  }
  return undefined;
}
