/** `commit`: an image of a working container as it is now: the layers that it stands on, and one with its changes. */
import { dropUnchanged } from "../../build/steps/unchanged.ts";
import { InvalidParameter } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import type { DiffId } from "../../core/ids.ts";
import { layerOfFile } from "../../images/archives/layer.ts";
import { repairImages } from "../../images/collect.ts";
import type { IngestSession } from "../../images/content.ts";
import { imageEvent } from "../../images/events.ts";
import { copy, type ImageSource, idOf, type Layer, type NamedImage } from "../../images/image.ts";
import { diffTar } from "../../images/layers/diff.ts";
import { treeTar } from "../../images/layers/tree.ts";
import { localStoreSink } from "../../images/local-store.ts";
import { canonicalForm, parseReference, type Reference, withDefaultTag } from "../../images/references.ts";
import { workingSnapshot } from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";
import { type PlaceName, parsePlace } from "../transports/places.ts";
import { openSink } from "../transports/sinks.ts";
import type { Committed, WorkingCommitRequest } from "../working.ts";
import { baseLayers } from "./base-layers.ts";
import { composeImage } from "./image.ts";
import type { OpenList } from "./image-list.ts";
import { type OpenWorking, openWorking } from "./open.ts";
import { transportsOf } from "./reach.ts";

/** @throws NotFound when its base image is gone; what the destination throws. Then no image was made. */
export async function commit(
  local: Local,
  reference: string,
  request: WorkingCommitRequest,
): Promise<Committed> {
  const place = placeOf(request.destination);
  const isHere = place === undefined || place.kind === "local";
  if (request.list !== undefined && !isHere) {
    throw new InvalidParameter(
      `${request.destination}: only an image that is here can be in a manifest list`,
    );
  }
  await repairImages(local);
  const done = await commitTo(local, reference, request, place);
  if (request.remove === true) {
    const { remove } = await import("./remove.ts");
    await remove(local, done.id);
  }
  return done.committed;
}

/** Undefined: here, without a name. */
function placeOf(destination: string): PlaceName | undefined {
  const text = destination.replace(/^containers-storage:/, "");
  return text === "" ? undefined : parsePlace(text);
}

async function commitTo(
  local: Local,
  reference: string,
  request: WorkingCommitRequest,
  place: PlaceName | undefined,
): Promise<{ committed: Committed; id: string }> {
  const signal = request.signal ?? new AbortController().signal;
  const isHere = place === undefined || place.kind === "local";
  const name = place?.kind === "local" ? nameOf(place.reference) : undefined;
  await using container = await openWorking(local, reference, { mode: "alone", signal });
  using session = local.content.openSession();
  using list = await openListOf(local, request, { name, session, signal });
  const base = await baseLayers(local, session, container.record, request.squash === true);
  const layer = await writeLayer(local, container, session, request, signal);
  faultPoint("working:layer");
  const composed = await composeImage(container.record, base, layer, request);
  const image = (await list?.formed(composed)) ?? composed;
  const named: NamedImage = { image, names: name === undefined ? [] : [name], parent: undefined };
  if (isHere) await store(local, session, [named, ...((await list?.with(image)) ?? [])], request);
  else await send(local, session, named, place, request, signal);
  await list?.tidy();
  const manifest = await image.manifest();
  return {
    id: container.id,
    committed: { imageId: idOf(image), manifestDigest: manifest.digest, isHere },
  };
}

/** @throws Conflict, InvalidParameter */
async function openListOf(
  local: Local,
  { list: text }: WorkingCommitRequest,
  { name, ...room }: { name: Reference | undefined; session: IngestSession; signal: AbortSignal },
): Promise<OpenList | undefined> {
  if (text === undefined) return undefined;
  const { openList } = await import("./image-list.ts");
  const list = await openList(local, text, room);
  if (name === undefined || canonicalForm(name) !== canonicalForm(list.name)) return list;
  list[Symbol.dispose]();
  throw new InvalidParameter(`${text} cannot be the image and the list that it is in`);
}

/** @throws InvalidParameter */
function nameOf(text: string): Reference {
  const name = withDefaultTag(parseReference(text));
  if (name.digest !== undefined)
    throw new InvalidParameter(`a digest cannot be given to what is committed: ${text}`);
  return name;
}

/** What was changed; of a squashed image everything. */
async function writeLayer(
  local: Local,
  container: OpenWorking,
  session: IngestSession,
  { squash, timestamp }: WorkingCommitRequest,
  signal: AbortSignal,
): Promise<Layer> {
  const options = {
    signal,
    ...(timestamp === undefined ? {} : { mtime: BigInt(timestamp) * 1_000_000_000n }),
  };
  const writer = session.create();
  try {
    const tar =
      squash === true ? treeTar(await container.root(), options) : await changes(local, container, options);
    for await (const chunk of tar) writer.write(chunk);
    const blob = writer.finish();
    return layerOfFile(blob, (await blob.digest) as DiffId);
  } catch (error) {
    writer.close();
    throw error;
  }
}

async function changes(
  { snapshots }: Local,
  container: OpenWorking,
  options: Parameters<typeof diffTar>[1],
): Promise<AsyncGenerator<Uint8Array>> {
  await container.unmount();
  const target = await snapshots.layerTarget(workingSnapshot(container.id));
  // Below a mount nobody may change anything.
  if (!container.isMounted) dropUnchanged(target);
  return diffTar(target, options);
}

async function store(
  local: Local,
  session: IngestSession,
  images: readonly NamedImage[],
  { report, signal }: WorkingCommitRequest,
): Promise<void> {
  const eventOf = ({ image, names: [name] }: NamedImage) =>
    name === undefined
      ? undefined
      : imageEvent("tag", idOf(image), image.config.value.config, canonicalForm(name));
  using sink = localStoreSink(local, session, {
    action: "tag",
    eventOf,
    takesManifest: true,
    report: report ?? (() => {}),
    signal: signal ?? new AbortController().signal,
  });
  await copy(sourceOf(images), sink);
}

async function send(
  local: Local,
  session: IngestSession,
  named: NamedImage,
  place: PlaceName,
  request: WorkingCommitRequest,
  signal: AbortSignal,
): Promise<void> {
  const from: PlaceName = { kind: "local", reference: "" };
  const sink = await openSink(place, { places: transportsOf(local, request), from, session, signal });
  if (place.kind !== "registry") {
    await copy(sourceOf([named]), sink);
    return;
  }
  // What travels is compressed on the way, as by a push.
  const { Outgoing } = await import("../../images/transfer/outgoing.ts");
  using outgoing = new Outgoing(local.state, session, { compressing: () => {}, isAnew: true, signal });
  await copy(sourceOf([{ ...named, image: await outgoing.prepare(named.image) }]), sink);
}

function sourceOf(all: readonly NamedImage[]): ImageSource {
  return {
    async *images() {
      yield* all;
    },
  };
}
