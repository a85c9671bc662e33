/** What has been built goes where the request says: the local store, a registry, an archive, files. */

import { composeImage } from "../../build/output/image.ts";
import type { BuildImage, Composed } from "../../build/output/image-index.ts";
import { type WrittenLayer, writeLayers } from "../../build/output/layers.ts";
import { storeImages } from "../../build/output/store.ts";
import type { BuildRooms } from "../../build/rooms.ts";
import type { Progress, Vertex } from "../../build/solver/progress.ts";
import { bringHere } from "../../build/steps/layer.ts";
import type { Root } from "../../build/steps/root.ts";
import { InvalidParameter } from "../../core/errors.ts";
import { parseBool } from "../../core/strconv.ts";
import type { IngestSession } from "../../images/content.ts";
import { idOf } from "../../images/image.ts";
import { formatPlatform, hostPlatform, matchPlatform, normalizePlatform } from "../../images/platform.ts";
import { canonicalForm, familiarForm, type Reference } from "../../images/references.ts";
import type { BuildOutput, BuildRequest } from "../build.ts";
import type { Attester } from "./build-attest.ts";
import {
  formedForStore,
  isOnlyPushed,
  isStored,
  type OutputContext,
  type PushOutput,
  sendImages,
} from "./build-outputs.ts";
import type { PlatformResult } from "./build-platforms.ts";
import { withVertex } from "./build-vertex.ts";
import type { Local } from "./local.ts";
import { spawnInternal } from "./restart-policy.ts";

export interface ExportState {
  readonly local: Local;
  readonly rooms: BuildRooms;
  readonly request: BuildRequest;
  readonly names: readonly Reference[];
  /** Undefined when nothing is to be attested. */
  readonly attester: Attester | undefined;
  /** What times are to be; nanoseconds since 1970. */
  readonly epoch: bigint | undefined;
  readonly session: IngestSession;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** @param results one for each platform, in the order of the request */
export async function exportResults(results: readonly PlatformResult[], state: ExportState): Promise<void> {
  const { outputs } = state.request;
  await bringNeeded(results, outputs);
  const ofFiles = outputs.filter((output) => output.kind === "local" || output.kind === "tar");
  if (ofFiles.length > 0) {
    const { exportFiles } = await import("./build-files.ts");
    for (const output of ofFiles) await exportFiles(results, output, state);
  }
  const ofImage = outputs.filter(({ kind }) => kind !== "local" && kind !== "tar");
  if (ofImage.length > 0) await exportImages(results, ofImage, state);
}

/** Layers in caches elsewhere that outputs need. All of them come before the first byte goes out: one may be broken. */
async function bringNeeded(
  results: readonly PlatformResult[],
  outputs: readonly BuildOutput[],
): Promise<void> {
  const needsFiles = outputs.some(
    (output) => isStored(output) || output.kind === "local" || output.kind === "tar",
  );
  for (const { root } of results) {
    if (needsFiles) await bringHere(root);
    else if (!outputs.every(isOnlyPushed)) {
      const away = root.layers.flatMap((layer) => (layer.kind === "away" ? [layer.layer] : []));
      await Promise.all(away.map((layer) => layer.tar()));
    }
  }
}

async function exportImages(
  results: readonly PlatformResult[],
  outputs: readonly BuildOutput[],
  state: ExportState,
): Promise<void> {
  const { names, progress, session, rooms, local, attester, signal } = state;
  const attest = attester?.attest ?? (async () => []);
  const pushes = outputs.filter((output) => output.kind === "push");
  if (pushes.length > 0 && names.length === 0) {
    throw new InvalidParameter("tag is needed when pushing to registry");
  }
  const done = await withVertex(progress, "exporting to image", async (vertex) => {
    const images = await builtImages(results, vertex, state);
    const isIndexed = results.length > 1 || state.request.attestations !== undefined;
    const context: OutputContext = { rooms, session, names, vertex, attest, isIndexed, signal };
    let sent: Composed | undefined;
    for (const output of outputs) {
      if (output.kind === "archive" || output.kind === "layout") {
        sent = await sendImages(images, output, context);
      }
    }
    const stored = outputs.filter(isStored);
    // What is told of is the image that is kept; of one that is not, as it went out.
    const composed =
      stored.length > 0 || sent === undefined ? await formedForStore(images, stored, context) : sent;
    for (const { descriptor } of composed.attestations) {
      vertex.status(`exporting attestation manifest ${descriptor.digest}`)();
    }
    if (composed.index !== undefined) vertex.status(`exporting manifest list ${composed.index.digest}`)();
    if (stored.length > 0) {
      const ids = composed.images.map(({ image }) => idOf(image));
      const storing = vertex.status(`writing image ${ids.join(" ")}`);
      const isSafe = await storeImages(rooms, session, { ...composed, names, signal });
      if (!isSafe) spawnInternal(local, "settle");
      storing();
      for (const name of names) vertex.status(`naming to ${canonicalForm(name)}`)();
    }
    return { images, composed, context };
  });
  for (const output of pushes) await pushAll(output, done, state);
  await tellResult(done.composed, state);
}

async function builtImages(
  results: readonly PlatformResult[],
  vertex: Vertex,
  state: ExportState,
): Promise<BuildImage[]> {
  const { rooms, session, request, signal } = state;
  const writing = vertex.status("exporting layers");
  const context = { rooms, session, leavesAway: request.outputs.every(isOnlyPushed), signal };
  // Platforms of which nothing but the config differs have the same layers.
  const written = new Map<Root, readonly WrittenLayer[]>();
  const images: BuildImage[] = [];
  for (const { platform, plan, root } of results) {
    const layers = written.get(root) ?? (await writeLayers(root, context));
    written.set(root, layers);
    const image = await composeImage({
      stage: plan.target.image,
      layers,
      created: root.fileTime,
      labels: request.labels ?? {},
      annotations: request.annotations ?? {},
      ...(isInline(request) ? await inlined(root, layers, state) : {}),
    });
    images.push({ platform: normalizePlatform(platform), image, layers });
  }
  writing();
  return images;
}

async function inlined(
  root: Root,
  layers: readonly WrittenLayer[],
  { progress, rooms }: ExportState,
): Promise<{ inlineCache: object }> {
  const { inlineCache } = await import("../../build/cache/remote/export.ts");
  return withVertex(progress, "preparing layers for inline cache", async () => ({
    inlineCache: await inlineCache(root, layers, rooms),
  }));
}

/** As with BuildKit, also a build argument asks for it. */
function isInline({ cacheTo = [], buildArguments = {} }: BuildRequest): boolean {
  const argument = parseBool(buildArguments.BUILDKIT_INLINE_CACHE ?? "");
  return argument === true || cacheTo.some(({ kind }) => kind === "inline");
}

async function pushAll(
  output: PushOutput,
  { images, context }: { images: readonly BuildImage[]; context: OutputContext },
  { local, names, progress, request, signal }: ExportState,
): Promise<void> {
  for (const name of names) {
    await withVertex(progress, `pushing ${canonicalForm(name)}`, async (vertex) => {
      const pushed = vertex.status("pushing layers");
      const { credentials } = request;
      if (output.isOnlyPushed === true) {
        const { pushOnly } = await import("./build-push.ts");
        await pushOnly(local, images, { name, output, credentials, context: { ...context, vertex } });
      } else {
        const { push } = await import("./push.ts");
        const auth = await credentials?.(name.domain);
        const options = {
          signal,
          ...(auth === undefined ? {} : { auth }),
          ...(output.form?.layers === undefined ? {} : { form: output.form.layers }),
        };
        for await (const message of push(local, canonicalForm(name), options)) {
          if (message.error !== undefined) throw new InvalidParameter(message.error);
        }
      }
      pushed();
    });
  }
}

async function tellResult({ images, index }: Composed, { progress, names }: ExportState): Promise<void> {
  const made = await Promise.all(
    images.map(async ({ platform, image }) => ({
      platform: formatPlatform(platform),
      imageId: idOf(image),
      manifestDigest: (await image.manifest()).digest,
    })),
  );
  const own = matchPlatform(
    images.map(({ platform }) => platform),
    hostPlatform(),
  );
  const main = made[own ?? 0];
  if (main === undefined) return;
  progress.tell({
    kind: "result",
    result: {
      imageId: main.imageId,
      manifestDigest: index?.digest ?? main.manifestDigest,
      names: names.map(familiarForm),
      images: made,
    },
  });
}
