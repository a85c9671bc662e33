/**
 * Names that lead to several platforms. A name (tag or repository digest) has one image that it stands for by itself:
 * this machine's if it is here, else the one that it was last pulled as. Where it leads to an index, that index is kept byte for byte in the content
 * store, and so are those of its platforms that were fetched; `variants` says which images those are.
 */
import { NotFound } from "../core/errors.ts";
import type { Digest } from "../core/ids.ts";
import type { State } from "../state/state.ts";
import type { ContentStore } from "./content.ts";
import { type IndexedImage, type Variants, variantsOf } from "./index-records.ts";
import { type ImageConfig, type Platform, parseConfig } from "./manifest.ts";
import {
  detectHostPlatform,
  formatPlatform,
  hostPlatform,
  matchPlatform,
  servesPlatform,
} from "./platform.ts";
import { findImage, type ImageRecord, imageById } from "./records.ts";
import { canonicalForm, parseImageSpecifier, withDefaultTag } from "./references.ts";

/** An image as a name and perhaps a platform lead to it. */
export interface ChosenImage {
  readonly record: ImageRecord;
  readonly platform: Platform;
  /** The manifest to be shown, sent or saved for it: the index's where it was reached through one. */
  readonly manifest: Digest;
  /** The index that the name leads to. */
  readonly index: Digest | undefined;
}

/**
 * The image that a name, digest or id means: of a name with several platforms the wanted one; without a wish this
 * machine's if it is here, else the one that the name was last pulled as.
 * @throws InvalidParameter for a malformed reference; NotFound when there is no such image, or none for the platform.
 */
export function imageFor(
  { state, content }: { state: State; content: ContentStore },
  text: string,
  platform: Platform | undefined,
): ChosenImage {
  const { record, index, variant } = chooseImage(state, text, platform);
  const own = variant?.platform ?? platformOfConfig(parseConfig(content.read(record.id)));
  checkPlatform(text, own, platform);
  return { record, platform: own, manifest: variant?.manifest ?? record.manifest, index };
}

/** As `imageFor`, from the records alone: where no index is involved, the platform is still to be checked. */
export function chooseImage(
  state: State,
  text: string,
  platform: Platform | undefined,
): { record: ImageRecord; index: Digest | undefined; variant: IndexedImage | undefined } {
  const record = findImage(state, text);
  // Most images have one platform and no index: then nothing more is asked.
  const variants = record.variantOf.length === 0 ? undefined : namedVariants(state, text);
  if (variants === undefined) return { record, index: undefined, variant: undefined };
  const variant = chooseVariant(variants.images, record, platform);
  const image = variant === undefined ? undefined : imageById(state, variant.imageId);
  return image === undefined
    ? { record, index: variants.index, variant: undefined }
    : { record: image, index: variants.index, variant };
}

/** @throws NotFound in Docker's words when the image is for another platform than the one asked for. */
export function checkPlatform(text: string, own: Platform, wanted: Platform | undefined): void {
  if (wanted === undefined || servesPlatform(own, wanted)) return;
  throw new NotFound(
    `image with reference ${text} was found but its platform (${formatPlatform(own)}) does not match the ` +
      `specified platform (${formatPlatform(wanted)})`,
  );
}

/** All that is here of a name: its platforms, or the one image that it leads to. */
export function allPlatformsOf(stores: { state: State; content: ContentStore }, text: string): ChosenImage[] {
  const variants = namedVariants(stores.state, text);
  if (variants === undefined || variants.images.length === 0) return [imageFor(stores, text, undefined)];
  return variants.images.flatMap(({ manifest, platform, imageId }) => {
    const image = imageById(stores.state, imageId);
    return image === undefined ? [] : [{ record: image, platform, manifest, index: variants.index }];
  });
}

/** Docker's warning where an image of another platform was taken without having been asked for. */
export function platformWarning(platform: Platform): string | undefined {
  // The usual case, for which the CPU need not be asked what it can.
  if (servesPlatform(platform, hostPlatform())) return undefined;
  const host = detectHostPlatform();
  return servesPlatform(platform, host)
    ? undefined
    : `The requested image's platform (${formatPlatform(platform)}) does not match the detected host platform ` +
        `(${formatPlatform(host)}) and no specific platform was requested`;
}

/** What an image's config says it is for. */
export function platformOfConfig(config: ImageConfig): Platform {
  const { os, architecture, variant, "os.version": osVersion } = config;
  return {
    os: os || "linux",
    architecture,
    ...(osVersion === undefined ? {} : { "os.version": osVersion }),
    ...(variant === undefined ? {} : { variant }),
  };
}

/** The index that a user's word leads to: only names do, not ids. @throws InvalidParameter */
export function namedVariants(state: State, text: string): Variants | undefined {
  const specifier = parseImageSpecifier(text);
  if (specifier.kind === "id") return undefined;
  const { reference } = specifier;
  return variantsOf(
    state,
    canonicalForm(
      reference.digest === undefined ? withDefaultTag(reference) : { ...reference, tag: undefined },
    ),
  );
}

function chooseVariant(
  images: readonly IndexedImage[],
  own: ImageRecord,
  wanted: Platform | undefined,
): IndexedImage | undefined {
  if (wanted === undefined) return images.find(({ imageId }) => imageId === own.id);
  const at = matchPlatform(
    images.map(({ platform }) => platform),
    wanted,
  );
  return at === undefined ? undefined : images[at];
}
