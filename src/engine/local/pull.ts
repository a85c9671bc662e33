/**
 * The rest of a `pull`: a name of a registry into the local store. Layers are fetched side by side and unpacked while they come; what
 * is here already is not asked for. Messages are dockerd's.
 */
import { InvalidParameter, NotFound } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import { heldAttestations } from "../../images/attestations.ts";
import { idOf, type NamedImage } from "../../images/image.ts";
import type { LocalStoreSink } from "../../images/local-store.ts";
import { isIndexType, type Platform } from "../../images/manifest.ts";
import { detectHostPlatform, formatPlatform, parsePlatform, servesPlatform } from "../../images/platform.ts";
import type { Report } from "../../images/progress.ts";
import { type ImageRecord, imageById, imageByName } from "../../images/records.ts";
import {
  canonicalForm,
  familiarForm,
  familiarName,
  type Reference,
  withDefaultTag,
  withDigest,
} from "../../images/references.ts";
import { pullMessages } from "../../images/transfer/layer-messages.ts";
import type { LayerWatch } from "../../images/transfer/watch.ts";
import type { Repository } from "../../registry/client/index.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import type { PullOptions } from "../engine.ts";
import type { Local } from "./local.ts";
import { hasLayers, pullEvent, statusOf } from "./pull-again.ts";
import { type RemoteImage, remoteImage } from "./remote-image.ts";

/** A pull, as far as `pull-again.ts` has come with it. */
export interface PullBegun {
  local: Local;
  repository: Repository;
  reference: Reference;
  options: PullOptions;
  /** What the registry says that the tag leads to, where it was asked already. */
  resolved: Digest | undefined;
  report: Report;
  signal: AbortSignal;
}

/** @throws as `pull` */
export async function pullInto(begun: PullBegun): Promise<void> {
  const { local, repository, reference, options, resolved, report, signal } = begun;
  const platform = options.platform ? parsePlatform(options.platform) : undefined;
  const isLazy = options.lazy === true;
  const one = async (name: Reference): Promise<Pulled> =>
    pullName({ local, repository, name, platform, resolved, report, isLazy, signal });
  if (options.all !== true) {
    // A digest says it all: the tag beside it stays as it is.
    const name =
      reference.digest === undefined ? withDefaultTag(reference) : { ...reference, tag: undefined };
    const pulled = await one(name);
    report({ status: statusOf(name, pulled) });
    if (pulled.warning !== undefined) report({ status: pulled.warning });
    await pulled.settle();
    return;
  }
  if (reference.tag !== undefined || reference.digest !== undefined) {
    throw new InvalidParameter("tag can't be used with --all-tags/-a");
  }
  await pullAll(repository, reference, one, report, signal);
}

async function pullAll(
  repository: Repository,
  reference: Reference,
  one: (name: Reference) => Promise<Pulled>,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const all: Pulled[] = [];
  // The list first: what is pushed meanwhile does not make it longer.
  const tags = await Array.fromAsync(repository.tags(signal));
  if (tags.length === 0)
    throw new NotFound(`repository ${familiarName(reference)} not found: it has no tags`);
  for (const tag of tags) all.push(await one({ ...reference, tag }));
  const isNewer = all.some((pulled) => pulled.isNewer);
  report({ status: statusOf(reference, { isNewer }) });
  for (const { warning } of all) if (warning !== undefined) report({ status: warning });
  for (const pulled of all) await pulled.settle();
}

interface Pulled {
  readonly isNewer: boolean;
  /** The image is for another platform than the one that was asked for. */
  readonly warning: string | undefined;
  /** What a lazy pull leaves to do. */
  settle(): Promise<void>;
}

interface Request {
  local: Local;
  repository: Repository;
  /** With a tag or a digest. */
  name: Reference;
  platform: Platform | undefined;
  resolved: Digest | undefined;
  report: Report;
  isLazy: boolean;
  signal: AbortSignal;
}

async function pullName(request: Request): Promise<Pulled> {
  const { local, repository, name, report, signal } = request;
  const remote = await remoteImage(repository, local.content, name, {
    platform: () => request.platform ?? detectHostPlatform(),
    isKnown: imageByName(local.state, name) !== undefined,
    resolved: request.resolved,
    found: () => report({ status: `Pulling from ${name.path}`, id: labelOf(name) }),
    signal,
  });
  const isNewer = !isKnownAs(imageById(local.state, idOf(remote.image)), canonicalForm(name));
  const settle = (await isHere(local, remote))
    ? await nameOnly(request, remote)
    : await fetch(request, remote, (await hasImage(local, remote)) ? silent : pullMessages(report));
  report({ status: `Digest: ${remote.descriptor.digest}` });
  return { isNewer, warning: warningOf(request, remote), settle };
}

/** What Docker's lines about a name begin with. */
function labelOf(name: Reference): string {
  return name.digest === undefined ? (name.tag ?? "") : canonicalForm(name);
}

/** Several platforms may have the name: it is asked whether this one has. */
function isKnownAs(record: ImageRecord | undefined, name: string): boolean {
  if (record === undefined) return false;
  return [record.tags, record.repoDigests, record.variantOf].some((names) => names.includes(name));
}

function warningOf({ name, platform: wanted }: Request, { image }: RemoteImage): string | undefined {
  const own = platformOf(image.config.value);
  if (wanted === undefined || servesPlatform(own, wanted)) return undefined;
  return mismatchWarning(name, own, wanted);
}

/** True when nothing is to be fetched: of the image, and of what is attested of it. */
async function isHere(local: Local, remote: RemoteImage): Promise<boolean> {
  return (await hasImage(local, remote)) && hasAttestations(local, remote);
}

function hasAttestations(local: Local, { manifest, index, attestations }: RemoteImage): boolean {
  if (attestations.length === 0 || index === undefined) return true;
  const lister = (index.path.at(-1) ?? index.path[0]).value;
  const held = heldAttestations(local.content, lister, (subject) => subject === manifest);
  return held.length >= attestations.length;
}

/** True when every byte of the image is here, under this very manifest, and unpacked. */
async function hasImage(local: Local, { image, manifest }: RemoteImage): Promise<boolean> {
  const record = imageById(local.state, idOf(image));
  if (record?.manifest !== manifest) return false;
  // Documents are small enough to be read: one that is damaged is fetched again.
  if ([record.id, manifest].some((digest) => local.content.tryRead(digest) === undefined)) return false;
  const layers = await Promise.all(image.layers.map((layer) => layer.descriptor()));
  return hasLayers(local, record, layers);
}

/** The names that a pull gives: its tag, if it has one, and the digest that the registry has it under. */
function namesOf({ name }: Request, { descriptor }: RemoteImage): Reference[] {
  const byDigest = withDigest(name, descriptor.digest);
  return name.digest === undefined ? [name, byDigest] : [byDigest];
}

function named(request: Request, remote: RemoteImage): NamedImage {
  const { image, index } = remote;
  const names = namesOf(request, remote);
  return { image, names, parent: undefined, ...(index === undefined ? {} : { index }) };
}

/** As Docker, which tells nothing of the layers of an image that is here. */
const silent: LayerWatch = () => {};

/** Nothing to fetch: perhaps the name was of something else. Writes only what is new. */
async function nameOnly(request: Request, remote: RemoteImage): Promise<Pulled["settle"]> {
  const { local, name } = request;
  const { state } = local;
  const record = imageById(state, idOf(remote.image));
  const wanted = namesOf(request, remote).map(canonicalForm);
  const has = (reference: string) =>
    record?.tags.includes(reference) === true || record?.repoDigests.includes(reference) === true;
  const isNamed = wanted.every(has);
  const isIndexed =
    remote.index === undefined
      ? !isIndexType(remote.descriptor.mediaType)
      : wanted.every((reference) => record?.variantOf.includes(reference) === true);
  if (!isNamed || !isIndexed || (remote.index === undefined && hasIndex(wanted, record?.variantOf))) {
    return fetch(request, remote, silent);
  }
  appendEvent(state, pullEvent(name, remote.image.config.value.config.Labels));
  ringBell(state.instance);
  return async () => {};
}

/** A name that led to an index leads to a plain manifest now. */
function hasIndex(wanted: readonly string[], variantOf: readonly string[] = []): boolean {
  return wanted.some((reference) => variantOf.includes(reference));
}

/** What is loaded for it is not needed to find that nothing is to be fetched. */
async function fetch(request: Request, remote: RemoteImage, watch: LayerWatch): Promise<Pulled["settle"]> {
  const [{ localStoreSink }, { repairImages }] = await Promise.all([
    import("../../images/local-store.ts"),
    import("../../images/collect.ts"),
  ]);
  await repairImages(request.local);
  const { local, repository, name, report, isLazy, signal } = request;
  using resources = new DisposableStack();
  const session = resources.use(local.content.openSession());
  const sink = resources.use(
    localStoreSink(local, session, {
      action: "pull",
      eventOf: ({ image }) => pullEvent(name, image.config.value.config.Labels),
      report,
      watch,
      fetch: (_, descriptor) => (offset, stop) =>
        repository.blob(descriptor, { offset, signal: stop, freesChunks: true }),
      takesManifest: true,
      isLazy,
      signal,
    }),
  );
  await put(sink, named(request, remote), attestationsAt(request, remote));
  if (!isLazy) return async () => {};
  const kept = resources.move();
  return async () => {
    using _ = kept;
    await sink.settle();
  };
}

/** What the registry has of them; those that it lists and has not, or that are none, are left out. */
async function* attestationsAt(
  { repository, report, signal }: Request,
  { index, attestations }: RemoteImage,
): AsyncGenerator<NamedImage> {
  if (index === undefined || attestations.length === 0) return;
  const [{ registryPlace }, { imageOfManifest }] = await Promise.all([
    import("../transports/registry-place.ts"),
    import("../../images/transports/place.ts"),
  ]);
  const place = registryPlace(repository, undefined, signal);
  for (const descriptor of attestations) {
    const image = await imageOfManifest(place, descriptor).catch((error: unknown) => {
      // The image is what was asked for: a statement about it that is broken does not keep it away.
      if (!(error instanceof InvalidParameter)) throw error;
      report({ status: `Attestation ${descriptor.digest} is left out: ${error.message}` });
      return undefined;
    });
    if (image !== undefined) yield { image, names: [], parent: undefined, index: { ...index, descriptor } };
  }
}

async function put(
  sink: LocalStoreSink,
  image: NamedImage,
  attestations: AsyncIterable<NamedImage>,
): Promise<void> {
  try {
    await sink.put(image);
    for await (const attestation of attestations) await sink.put(attestation);
    await sink.commit();
  } catch (error) {
    await sink.discard();
    throw error;
  }
}

function platformOf({ os, architecture, variant }: Platform): Platform {
  return { os: os || "linux", architecture, ...(variant === undefined ? {} : { variant }) };
}

function mismatchWarning(name: Reference, own: Platform, wanted: Platform): string {
  return (
    `WARNING: image with reference ${familiarForm(name)} was found but its platform (${formatPlatform(own)}) ` +
    `does not match the specified platform (${formatPlatform(wanted)})`
  );
}
