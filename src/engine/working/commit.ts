/** `commit`: an image of a working container as it is now: the layers that it stands on, and one with its changes. */
import { dropUnchanged } from "../../build/steps/unchanged.ts";
import { InvalidParameter } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import type { DiffId } from "../../core/ids.ts";
import { layerOfFile } from "../../images/archives/layer.ts";
import { repairImages } from "../../images/collect.ts";
import type { IngestSession } from "../../images/content.ts";
import { imageEvent } from "../../images/events.ts";
import { copy, idOf, type Layer, type NamedImage } from "../../images/image.ts";
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
import { type OpenWorking, openWorking } from "./open.ts";
import { transportsOf } from "./reach.ts";

/** @throws NotFound when its base image is gone; what the destination throws. Then no image was made. */
export async function commit(
  local: Local,
  reference: string,
  request: WorkingCommitRequest,
): Promise<Committed> {
  const place = placeOf(request.destination);
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
  const name = place?.kind === "local" ? nameOf(place.reference) : undefined;
  await using container = await openWorking(local, reference, { mode: "alone", signal });
  using session = local.content.openSession();
  const base = await baseLayers(local, session, container.record, request.squash === true);
  const layer = await writeLayer(local, container, session, request, signal);
  faultPoint("working:layer");
  const image = await composeImage(container.record, base, layer, request);
  const named: NamedImage = { image, names: name === undefined ? [] : [name], parent: undefined };
  if (place === undefined || place.kind === "local") await store(local, session, named, request);
  else await send(local, session, named, place, request, signal);
  const manifest = await image.manifest();
  const isHere = place === undefined || place.kind === "local";
  return {
    id: container.id,
    committed: { imageId: idOf(image), manifestDigest: manifest.digest, isHere },
  };
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
  named: NamedImage,
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
  await copy(oneImage(named), sink);
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
    await copy(oneImage(named), sink);
    return;
  }
  // What travels is compressed on the way, as by a push.
  const { Outgoing } = await import("../../images/transfer/outgoing.ts");
  using outgoing = new Outgoing(local.state, session, { compressing: () => {}, isAnew: true, signal });
  await copy(oneImage({ ...named, image: await outgoing.prepare(named.image) }), sink);
}

function oneImage(named: NamedImage) {
  return {
    async *images() {
      yield named;
    },
  };
}
