/**
 * Local manifest lists as the docker CLI keeps them: a directory for each list, in it a file for each manifest. Names
 * are references with `_` for `/` and `-` for `:`.
 */

import { hasErrno, InvalidParameter, NotFound } from "../../core/errors.ts";
import { type Digest, randomId } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import { defined, type JsonReader, parseJson } from "../../images/json.ts";
import { digestOf, largestDocument, type Manifest, parseManifest } from "../../images/manifest.ts";
import { canonicalForm, parseReference, type Reference } from "../../images/references.ts";
import { namesIn } from "../../linux/directories.ts";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "../../linux/files.ts";

export interface ListedPlatform {
  architecture: string;
  os: string;
  "os.version"?: string;
  "os.features"?: string[];
  variant?: string;
}

/** One manifest of a list, or of a registry, with what is said of it. */
export interface ListedManifest {
  readonly reference: Reference;
  readonly mediaType: string;
  readonly digest: Digest;
  readonly platform: ListedPlatform | undefined;
  readonly raw: Uint8Array;
  readonly manifest: Manifest;
}

/** Twice a manifest: as it is, and in base64. */
const largestFile = 4 * largestDocument;

/** Adds a manifest to a list, or replaces it there; makes the list. The file is whole or not there. */
export function saveManifest(directory: string, list: Reference, listed: ListedManifest): void {
  const path = join(directory, fileName(list));
  mkdirSync(path, { recursive: true, mode: 0o755 });
  const temporary = join(directory, `.davit-${randomId().slice(0, 16)}`);
  try {
    writeFileSync(temporary, JSON.stringify(manifestObject(listed)), { mode: 0o644 });
    renameSync(temporary, join(path, fileName(listed.reference)));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Undefined when the list has no such manifest. @throws InvalidParameter for a damaged file. */
export function loadManifest(
  directory: string,
  list: Reference,
  manifest: Reference,
): ListedManifest | undefined {
  return readListed(join(directory, fileName(list), fileName(manifest)));
}

/** In the order of their files' names; undefined when there is no such list. */
export function loadList(directory: string, list: Reference): ListedManifest[] | undefined {
  const path = join(directory, fileName(list));
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  return namesIn(path)
    .sort()
    .flatMap((name) => readListed(join(path, name)) ?? []);
}

/** No error when it is not there. */
export function removeList(directory: string, list: Reference): void {
  rmSync(join(directory, fileName(list)), { recursive: true, force: true });
}

/** Docker's words. */
export function noSuchList(list: Reference): NotFound {
  return new NotFound(`No such manifest: ${canonicalForm(list)}`);
}

/** As Docker writes a manifest, and as `inspect -v` shows it; keys in Go's order. */
export function manifestObject({ reference, mediaType, digest, platform, raw }: ListedManifest): unknown {
  const kind = mediaType.includes("vnd.oci.") ? "OCIManifest" : "SchemaV2Manifest";
  return {
    Ref: canonicalForm(reference),
    Descriptor: { mediaType, digest, size: raw.byteLength, ...(platform === undefined ? {} : { platform }) },
    Raw: Buffer.from(raw).toString("base64"),
    [kind]: parseJson(raw, "manifest").raw(),
  };
}

/** @throws InvalidParameter for a manifest that is none. */
export function listedManifest(
  reference: Reference,
  document: { bytes: Uint8Array; mediaType: string },
  platform: ListedPlatform | undefined,
): ListedManifest {
  return {
    reference,
    mediaType: document.mediaType,
    digest: digestOf(document.bytes),
    platform,
    raw: document.bytes,
    manifest: parseManifest(document.bytes),
  };
}

function readListed(path: string): ListedManifest | undefined {
  let bytes: Buffer;
  try {
    if (statSync(path).size > largestFile)
      throw new InvalidParameter(`invalid manifest file ${path}: too large`);
    bytes = readFileSync(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  const json = parseJson(bytes, `manifest file ${path}`);
  const descriptor = json.at("Descriptor");
  const listed = listedManifest(
    parseReference(json.at("Ref").string()),
    { bytes: Buffer.from(json.at("Raw").string(), "base64"), mediaType: descriptor.at("mediaType").string() },
    descriptor.at("platform").optional(parseListedPlatform),
  );
  if (listed.digest !== descriptor.at("digest").string()) {
    throw new InvalidParameter(
      `invalid manifest file ${path}: image manifest digest mismatch ` +
        `(${descriptor.at("digest").string()} != ${listed.digest})`,
    );
  }
  return listed;
}

/** Keys in Go's order: they are written as they stand here. */
export function parseListedPlatform(json: JsonReader): ListedPlatform {
  const text = (key: string) => json.at(key).optional((value) => value.string() || undefined);
  return defined({
    architecture: text("architecture") ?? "",
    os: text("os") ?? "",
    "os.version": text("os.version"),
    "os.features": json.at("os.features").optional((value) => value.strings()),
    variant: text("variant"),
  });
}

function fileName(reference: Reference): string {
  return canonicalForm(reference).replaceAll("/", "_").replaceAll(":", "-");
}
