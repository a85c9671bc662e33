/** The images that a build stands on: those that are here, and others pulled. */

import type { BaseImage, ImageResolver } from "../../build/dockerfile/stages/model.ts";
import type { LocalImage } from "../../build/graph/operations.ts";
import type { Progress, Vertex } from "../../build/solver/progress.ts";
import { hasErrno, messageOf, NotFound } from "../../core/errors.ts";
import type { IngestSession } from "../../images/content.ts";
import { lease } from "../../images/leases.ts";
import { chainIdsOf, type Platform, parseConfig, parseManifest } from "../../images/manifest.ts";
import { formatPlatform } from "../../images/platform.ts";
import { parseReference } from "../../images/references.ts";
import { imageFor } from "../../images/variants.ts";
import { lock } from "../../state/locks.ts";
import type { CredentialSource } from "../engine.ts";
import type { Local } from "./local.ts";

export interface BuildImages {
  readonly resolve: ImageResolver;
  /** What `resolve` found. */
  readonly imageOf: (image: BaseImage) => LocalImage;
}

export interface BuildImagesOptions {
  readonly progress: Progress;
  readonly session: IngestSession;
  /** Ask the registry even for what is here. */
  readonly pull: boolean;
  readonly credentials: CredentialSource | undefined;
  /** The build has several: then titles say which one is looked for. */
  readonly namesPlatforms: boolean;
  readonly signal: AbortSignal;
}

export function buildImages(local: Local, options: BuildImagesOptions): BuildImages {
  const found = new Map<BaseImage, LocalImage>();
  const asked = new Map<string, Promise<BaseImage>>();
  const resolve = (name: string, platform: Platform): Promise<BaseImage> => {
    const key = `${name} ${formatPlatform(platform)}`;
    const known = asked.get(key);
    if (known !== undefined) return known;
    const prefix = options.namesPlatforms ? `${formatPlatform(platform)} ` : "";
    const vertex = options.progress.vertex(`[${prefix}internal] load metadata for ${name}`);
    const looking = lookUp(local, name, platform, vertex, options).then(({ base, image }) => {
      found.set(base, image);
      return base;
    });
    asked.set(key, looking);
    return looking;
  };
  return {
    resolve,
    imageOf: (base) => {
      const image = found.get(base);
      if (image === undefined) throw new NotFound(`No such image: ${base.reference}`);
      return image;
    },
  };
}

interface Found {
  readonly base: BaseImage;
  readonly image: LocalImage;
}

async function lookUp(
  local: Local,
  name: string,
  platform: Platform,
  vertex: Vertex,
  options: BuildImagesOptions,
): Promise<Found> {
  vertex.started();
  try {
    const here = options.pull ? undefined : await findHere(local, name, platform, options);
    const found = here ?? (await pulled(local, name, platform, vertex, options));
    vertex.finished();
    return found;
  } catch (error) {
    vertex.finished(messageOf(error));
    throw error;
  }
}

async function pulled(
  local: Local,
  name: string,
  platform: Platform,
  vertex: Vertex,
  options: BuildImagesOptions,
): Promise<Found> {
  const { pull } = await import("./pull-again.ts");
  const auth = await options.credentials?.(parseReference(name).domain);
  const messages = pull(local, name, {
    platform: formatPlatform(platform),
    signal: options.signal,
    ...(auth === undefined ? {} : { auth }),
  });
  for await (const { id, status } of messages) {
    const isEnd = status === "Pull complete" || status === "Already exists";
    if (id !== undefined && isEnd) vertex.status(`${id} ${status}`)();
  }
  const found = await findHere(local, name, platform, options);
  if (found === undefined) throw new NotFound(`${name}: not found`);
  return found;
}

/** Holds what it finds: its layers are leased before they are looked for (images/leases.ts, rule 3). */
async function findHere(
  local: Local,
  name: string,
  platform: Platform,
  { session, signal }: BuildImagesOptions,
): Promise<Found | undefined> {
  using _lock = await lock(local.instance, "images", { mode: "shared", signal });
  try {
    const { record, manifest: digest, platform: own, index } = imageFor(local, name, platform);
    for (const chainId of record.chainIds) lease(session, chainId);
    const config = parseConfig(local.content.read(record.id));
    const manifest = parseManifest(local.content.read(digest));
    const diffIds = config.rootfs.diff_ids;
    const layers = chainIdsOf(diffIds).flatMap((chainId, position) => {
      const [diffId, descriptor] = [diffIds[position], manifest.layers[position]];
      return diffId === undefined || descriptor === undefined ? [] : [{ chainId, diffId, descriptor }];
    });
    for (const { chainId, descriptor } of layers) {
      if (!(await local.snapshots.has(chainId)) || session.hold(descriptor.digest) === undefined)
        return undefined;
    }
    return {
      base: {
        reference: name,
        platform: own,
        config: config.config,
        history: config.history,
        ...(config.author === undefined ? {} : { author: config.author }),
      },
      image: { id: record.id, digest: index ?? digest, config, layers },
    };
  } catch (error) {
    if (error instanceof NotFound || hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
