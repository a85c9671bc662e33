/** The image that a working container is made from. */
import { InvalidParameter, messageOf, NotFound } from "../../core/errors.ts";
import type { ChainId, Digest, ImageId } from "../../core/ids.ts";
import { copy, idOf } from "../../images/image.ts";
import { localStoreSink } from "../../images/local-store.ts";
import { type Platform, parseConfig, parseManifest } from "../../images/manifest.ts";
import { detectHostPlatform, parsePlatform } from "../../images/platform.ts";
import type { ImageRecord } from "../../images/records.ts";
import {
  canonicalForm,
  parseImageSpecifier,
  parseReference,
  withDefaultTag,
} from "../../images/references.ts";
import { imageFor } from "../../images/variants.ts";
import type { WorkingConfig } from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";
import { type PlaceName, parsePlace } from "../transports/places.ts";
import { openSource } from "../transports/sources.ts";
import type { FromRequest, Reach } from "../working.ts";
import { reaching, transportsOf } from "./reach.ts";

export interface BaseImage {
  readonly id: ImageId;
  /** Canonical; the id's digits where it has no name. */
  readonly name: string;
  readonly manifest: Digest;
  readonly topChainId: ChainId | undefined;
  readonly config: WorkingConfig;
  /** Of its manifest. */
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Sees to it that the image is here, as the policy says.
 * @returns what `findBase` finds it by. @throws NotFound `x: image not known` where nothing is pulled
 */
export async function obtainBase(
  local: Local,
  request: Pick<FromRequest, "image" | "pull" | "platform"> & Reach,
): Promise<string> {
  const place = parsePlace(request.image);
  if (place.kind !== "local" && place.kind !== "registry") return await load(local, place, request);
  const text = place.kind === "registry" ? canonicalForm(place.reference) : place.reference;
  const isId = parseImageSpecifier(text).kind === "id";
  const isHere = has(local, text, request.platform);
  if (isId || (isHere && (request.pull === "missing" || request.pull === "never"))) return text;
  if (request.pull === "never") throw new NotFound(`${text}: image not known`);
  try {
    await pull(local, canonicalForm(withDefaultTag(parseReference(text))), request);
  } catch (error) {
    request.signal?.throwIfAborted();
    // A registry that cannot be reached has nothing newer.
    if (!(isHere && request.pull === "newer")) throw error;
  }
  return text;
}

function has(local: Local, text: string, platform: string | undefined): boolean {
  try {
    imageFor(local, text, platform === undefined ? undefined : parsePlatform(platform));
    return true;
  } catch (error) {
    if (error instanceof NotFound) return false;
    throw error;
  }
}

async function pull(
  local: Local,
  name: string,
  request: Pick<FromRequest, "platform"> & Reach,
): Promise<void> {
  const { pull: pullImage } = await import("../local/pull-again.ts");
  const { domain } = parseReference(name);
  const auth = await request.credentials?.(domain);
  const messages = pullImage(reaching(local, request), name, {
    ...(request.platform === undefined ? {} : { platform: request.platform }),
    ...(request.signal === undefined ? {} : { signal: request.signal }),
    ...(auth === undefined ? {} : { auth }),
  });
  for await (const message of messages) {
    if (message.error !== undefined) throw new InvalidParameter(message.error);
    request.report?.(message);
  }
}

/** An image from an archive or the like into the store. @returns its first name, or its id */
async function load(
  local: Local,
  place: PlaceName,
  request: Pick<FromRequest, "image" | "platform"> & Reach,
): Promise<string> {
  const signal = request.signal ?? new AbortController().signal;
  using closing = new DisposableStack();
  const session = closing.use(local.content.openSession());
  const source = openSource(place, {
    places: transportsOf(local, request),
    choice: [request.platform === undefined ? detectHostPlatform() : parsePlatform(request.platform)],
    isByDefault: request.platform === undefined,
    session,
    signal,
    use: (resource) => closing.use(resource),
  });
  const sink = closing.use(
    localStoreSink(local, session, { action: "load", report: request.report ?? (() => {}), signal }),
  );
  const [first] = await copy(source, sink);
  if (first === undefined) throw new NotFound(`${request.image}: image not known`);
  const [name] = first.named.names;
  return name === undefined ? idOf(first.named.image) : canonicalForm(name);
}

/** Hold the "images" lock: then nobody removes it meanwhile. @throws NotFound `x: image not known` */
export function findBase(local: Local, text: string, platform: Platform | undefined): BaseImage {
  try {
    const { record, manifest } = imageFor(local, text, platform);
    const {
      architecture,
      os,
      variant,
      author,
      comment,
      config,
      "os.version": osVersion,
    } = parseConfig(local.content.read(record.id));
    return {
      id: record.id,
      name: nameOf(record, text),
      manifest,
      topChainId: record.chainIds.at(-1),
      config: {
        architecture,
        os: os || "linux",
        ...(variant === undefined ? {} : { variant }),
        ...(osVersion === undefined ? {} : { osVersion }),
        ...(author === undefined ? {} : { author }),
        ...(comment === undefined ? {} : { comment }),
        config,
      },
      annotations: parseManifest(local.content.read(manifest)).annotations ?? {},
    };
  } catch (error) {
    if (!(error instanceof NotFound) || !/no such image/i.test(messageOf(error))) throw error;
    throw new NotFound(`${text}: image not known`, { cause: error });
  }
}

/** The name that a user's word is, if the image goes by it; else its first. */
function nameOf(record: ImageRecord, text: string): string {
  const specifier = parseImageSpecifier(text);
  if (specifier.kind === "name") {
    const name = canonicalForm(withDefaultTag(specifier.reference));
    const all = [...record.tags, ...record.repoDigests, ...record.variantOf];
    if (all.includes(name)) return name;
  }
  return record.tags[0] ?? record.id.replace("sha256:", "");
}
