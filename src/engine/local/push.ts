/**
 * `push`: names of the local store into their registry. What is there is not sent, what another repository of the same
 * registry has is mounted, what is plain here is compressed on the way. Messages are dockerd's.
 */
import { InvalidParameter, NotFound, Unauthorized } from "../../core/errors.ts";
import { shortId } from "../../core/ids.ts";
import { isAttestation } from "../../images/attestations.ts";
import type { IngestSession } from "../../images/content.ts";
import type { Document, Image, Layer, NamedImage } from "../../images/image.ts";
import type { Descriptor, Index } from "../../images/manifest.ts";
import { parsePlatform } from "../../images/platform.ts";
import { progressOf, type Report } from "../../images/progress.ts";
import { allImages, imageByName, setRepoDigest } from "../../images/records.ts";
import {
  canonicalForm,
  familiarForm,
  familiarName,
  parseReference,
  type Reference,
  repositoryOf,
  withDefaultTag,
  withDigest,
} from "../../images/references.ts";
import type { LayerForm } from "../../images/transfer/layer-form.ts";
import { barMessage, Pace } from "../../images/transfer/layer-messages.ts";
import { FormChanged, Outgoing } from "../../images/transfer/outgoing.ts";
import { storedImages } from "../../images/transports/stored-source.ts";
import type { BlobOutcome, Repository } from "../../registry/client/index.ts";
import { registrySink } from "../../registry/sink.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import type { ProgressMessage, PushOptions } from "../engine.ts";
import type { Local } from "./local.ts";
import { indexToPush, type PushedIndex } from "./push-index.ts";

/**
 * @throws InvalidParameter for a reference or platform that is none; NotFound `An image does not exist locally with
 *   the tag: x`; Unauthorized, Unavailable in Docker's words.
 */
export function push(
  local: Local,
  text: string,
  options: PushOptions & { form?: LayerForm } = {},
): AsyncGenerator<ProgressMessage> {
  return progressOf(async (report, signal) => {
    const reference = parseReference(text);
    if (reference.digest !== undefined) throw new InvalidParameter("cannot push a digest reference");
    if (options.all === true && reference.tag !== undefined) {
      throw new InvalidParameter("tag can't be used with --all-tags/-a");
    }
    const platform = options.platform ? parsePlatform(options.platform) : undefined;
    const names = options.all === true ? tagsOf(local, reference) : [withDefaultTag(reference)];
    // First, as Docker does: what goes wrong after it is told as a part of the progress.
    report({ status: `The push refers to repository [${repositoryOf(reference)}]` });
    const [first] = names;
    if (first === undefined || imageByName(local.state, first) === undefined) {
      throw new NotFound(`An image does not exist locally with the tag: ${familiarName(reference)}`);
    }
    const repository = local.registries.repository(reference, options.auth);
    for (const name of names) {
      using session = local.content.openSession();
      const stored = storedImages(
        local,
        [canonicalForm(name)],
        platform === undefined ? "all" : [platform],
        session,
      );
      // One platform goes by itself; what is attested of it goes with its index.
      const images = platform === undefined ? stored : stored.filter((image) => !isAttestation(image));
      const request = { local, repository, session, name, form: options.form, report, signal };
      await pushName(request, images, platform !== undefined);
    }
  }, options.signal);
}

function tagsOf({ state }: Local, reference: Reference): Reference[] {
  const repository = repositoryOf(reference);
  return allImages(state)
    .flatMap(({ tags }) => tags.map(parseReference))
    .filter((name) => repositoryOf(name) === repository)
    .toSorted((a, b) => ((a.tag ?? "") < (b.tag ?? "") ? -1 : 1));
}

interface Request {
  local: Local;
  repository: Repository;
  session: IngestSession;
  /** With a tag. */
  name: Reference;
  /** What plain layers become; gzip by default. */
  form: LayerForm | undefined;
  report: Report;
  signal: AbortSignal;
}

async function pushName(
  request: Request,
  images: readonly NamedImage[],
  isOnePlatform: boolean,
): Promise<void> {
  const { local, name, report } = request;
  const index = isOnePlatform ? undefined : indexToPush(images);
  let pushed: Descriptor;
  try {
    pushed = await pushImages(request, images, index, false);
  } catch (error) {
    if (!(error instanceof FormChanged)) throw error;
    pushed = await pushImages(request, images, index, true);
  }
  const { digest: Digest, size: Size } = pushed;
  const Tag = name.tag ?? "";
  if (index?.kind === "single") report({ status: index.note });
  report({ status: `${Tag}: digest: ${Digest} size: ${Size}` });
  report({ progressDetail: {}, aux: { Tag, Digest, Size } });
  noteRepoDigest(local, name, pushed);
}

/** @returns what the tag leads to now. */
async function pushImages(
  request: Request,
  images: readonly NamedImage[],
  index: PushedIndex | undefined,
  isAnew: boolean,
): Promise<Descriptor> {
  const { local, repository, session, name, report, signal } = request;
  const paces = new Map<Layer["diffId"], Pace>();
  const bar = (layer: Layer, status: string, current: number, total: number) => {
    const pace = paces.get(layer.diffId) ?? new Pace();
    paces.set(layer.diffId, pace);
    if (pace.isDue(status, current, total)) report(barMessage(shortId(layer.diffId), status, current, total));
  };
  using outgoing = new Outgoing(local.state, session, {
    compressing: (layer, done, total) => bar(layer, "Compressing", done, total),
    isAnew,
    ...(request.form === undefined ? {} : { form: request.form }),
    signal,
  });
  const sink = registrySink(repository, {
    signal,
    mountFrom: (layer) => repositoriesWith(local, repository, layer),
    progress: (layer, sent, total) => bar(layer, "Pushing", sent, total),
    settled: ({ layer, outcome }) =>
      report({ status: wordsOf(outcome), progressDetail: {}, id: shortId(layer.diffId) }),
  });
  const wanted = index?.kind === "single" ? [index.image] : images;
  const prepared: Image[] = [];
  for (const { image, ...named } of wanted) {
    if (!isAttestation(named)) announce(image, report);
    // An index names manifests byte for byte, with their layers as they are.
    prepared.push(index?.kind === "index" ? image : await outgoing.prepare(image));
  }
  const there = await alreadyThere(repository, name, index, prepared, signal);
  if (there !== undefined) {
    for (const { diffId } of prepared.flatMap(({ layers }) => layers)) {
      report({ status: wordsOf({ kind: "exists" }), progressDetail: {}, id: shortId(diffId) });
    }
    return there;
  }
  for (const image of prepared) {
    await sink.put({ image, names: index?.kind === "index" ? [] : [name], parent: undefined });
  }
  const [last] = (await sink.commit()).toReversed();
  if (index?.kind === "index") return putIndex(repository, name, index.document, signal);
  if (last === undefined) throw new NotFound(`No such image: ${familiarForm(name)}`);
  return last.descriptor;
}

/**
 * What the tag leads to, if that is what would be put there: a registry that has a manifest has all that it names, so
 * one question is enough.
 */
async function alreadyThere(
  repository: Repository,
  { tag = "" }: Reference,
  index: PushedIndex | undefined,
  prepared: readonly Image[],
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  const [only] = prepared;
  const document = index?.kind === "index" ? index.document : await only?.manifest();
  if (document === undefined || (index?.kind !== "index" && prepared.length !== 1)) return undefined;
  try {
    const found = await repository.resolve(tag, signal);
    if (found.digest !== document.digest) return undefined;
    const { mediaType } = document.value;
    return { mediaType, digest: document.digest, size: document.bytes.byteLength };
  } catch (error) {
    // Nothing there, or nothing that may be asked for: what putting it says is what counts.
    if (error instanceof NotFound || error instanceof Unauthorized) return undefined;
    throw error;
  }
}

async function putIndex(
  repository: Repository,
  { tag = "" }: Reference,
  { bytes, digest, value: { mediaType } }: Document<Index>,
  signal: AbortSignal,
): Promise<Descriptor> {
  await repository.putManifest(tag, { bytes, mediaType }, signal);
  return { mediaType, digest, size: bytes.byteLength };
}

/** Uploads at the same time, as in Docker and in the sink. */
const uploadsAtOnce = 5;

function announce(image: Image, report: Report): void {
  const ids = image.layers.map(({ diffId }) => shortId(diffId)).toReversed();
  for (const id of ids) report({ status: "Preparing", progressDetail: {}, id });
  for (const id of ids.slice(uploadsAtOnce)) report({ status: "Waiting", progressDetail: {}, id });
}

function wordsOf(outcome: BlobOutcome): string {
  switch (outcome.kind) {
    case "exists":
      return "Layer already exists";
    case "mounted":
      return `Mounted from ${outcome.from}`;
    case "uploaded":
      return "Pushed";
  }
}

/** Paths of other repositories of the registry that images with this layer came from or went to. */
function repositoriesWith({ state }: Local, { domain, path }: Repository, { diffId }: Layer): string[] {
  const rows = state.db
    .query<{ reference: string }, [string]>(
      `SELECT DISTINCT r.reference FROM repo_digests r
         JOIN image_layers i ON i.image_id = r.image_id
         JOIN layers l ON l.chain_id = i.chain_id
       WHERE l.diff_id = ?1`,
    )
    .all(diffId);
  const paths = rows
    .map(({ reference }) => parseReference(reference))
    .filter((reference) => reference.domain === domain && reference.path !== path)
    .map((reference) => reference.path);
  return [...new Set(paths)];
}

/** The image is known by what the registry has it under, from now on. */
function noteRepoDigest({ state }: Local, name: Reference, { digest }: Descriptor): void {
  const record = imageByName(state, name);
  if (record === undefined) return;
  const known = canonicalForm(withDigest(name, digest));
  state.transaction(() => {
    if (!record.repoDigests.includes(known)) setRepoDigest(state, known, record.id);
    appendEvent(state, {
      Type: "image",
      Action: "push",
      Actor: { ID: familiarForm(name), Attributes: { name: familiarName(name) } },
    });
  });
  ringBell(state.instance);
}
