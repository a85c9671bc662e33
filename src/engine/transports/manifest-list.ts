/**
 * `manifest create|annotate|inspect|push|rm`, as the docker CLI has them: lists are put together in a directory
 * (docker: `~/.docker/manifests`) and pushed from there.
 */
import { Conflict, InvalidParameter, messageOf, NotFound } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import { parseJson } from "../../images/json.ts";
import { isIndexType, mediaTypes } from "../../images/manifest.ts";
import {
  canonicalForm,
  parseReference,
  type Reference,
  repositoryOf,
  withDefaultTag,
} from "../../images/references.ts";
import type { Registries, Repository } from "../../registry/client/index.ts";
import type { CredentialSource } from "../engine.ts";
import {
  type ListedManifest,
  type ListedPlatform,
  listedManifest,
  loadList,
  loadManifest,
  manifestObject,
  noSuchList,
  parseListedPlatform,
  removeList,
  saveManifest,
} from "./manifest-store.ts";

export interface ManifestListPlaces {
  /** Where lists are kept; made when needed. Docker's own files are read and written. */
  directory: string;
  /** Opened with the hosts of `--insecure` among its insecure ones. */
  registries: Registries;
  credentials: CredentialSource;
  signal?: AbortSignal;
}

/** `--amend`: the list may be there already. @returns Docker's line: `Created manifest list docker.io/library/x:y`. */
export async function createManifestList(
  places: ManifestListPlaces,
  list: string,
  manifests: readonly string[],
  options: { amend?: boolean } = {},
): Promise<string> {
  const target = named(list, `error parsing name for manifest list ${list}: `);
  if (loadList(places.directory, target) !== undefined && !options.amend) {
    throw new Conflict("refusing to amend an existing manifest list with no --amend flag");
  }
  for (const text of manifests) {
    const reference = named(text);
    const known = loadManifest(places.directory, target, reference);
    saveManifest(places.directory, target, known ?? (await remoteManifest(places, reference)));
  }
  return `Created manifest list ${canonicalForm(target)}`;
}

export interface ManifestAnnotations {
  architecture?: string;
  os?: string;
  osFeatures?: readonly string[];
  osVersion?: string;
  variant?: string;
}

/** Changes the platform that a list says one of its manifests is for. @throws in Docker's words. */
export async function annotateManifestList(
  { directory }: Pick<ManifestListPlaces, "directory">,
  list: string,
  manifest: string,
  annotations: ManifestAnnotations,
): Promise<void> {
  const target = named(list, `annotate: error parsing name for manifest list ${list}: `);
  const reference = named(manifest, `annotate: error parsing name for manifest ${manifest}: `);
  const listed = loadManifest(directory, target, reference);
  if (listed === undefined) {
    throw new NotFound(`manifest for image ${manifest} does not exist in ${list}`);
  }
  const platform = annotated(listed.platform, annotations);
  if (!validPlatforms.has(`${platform.os}/${platform.architecture}`)) {
    throw new InvalidParameter(
      "manifest entry for image has unsupported os/arch combination: " +
        `${annotations.os ?? ""}/${annotations.architecture ?? ""}`,
    );
  }
  saveManifest(directory, target, { ...listed, platform });
}

/**
 * `manifest inspect [LIST] MANIFEST`: of a local list, or from the registry.
 * @returns the text to print, as Docker prints it, with its newline at the end.
 */
export async function inspectManifest(
  places: ManifestListPlaces,
  list: string | undefined,
  manifest: string,
  options: { verbose?: boolean } = {},
): Promise<string> {
  const reference = named(manifest);
  const verbose = options.verbose ?? false;
  if (list !== undefined) {
    const listed = loadManifest(places.directory, named(list), reference);
    if (listed === undefined) throw noSuchList(reference);
    return manifestText(listed, verbose);
  }
  const local = loadList(places.directory, reference);
  if (local !== undefined) return listText(reference, local, verbose);
  const found = await remoteList(places, reference);
  return Array.isArray(found) ? listText(reference, found, verbose) : manifestText(found, verbose);
}

/** `--purge`: the local list goes afterwards. `report` gets Docker's `Pushed ref …` lines. @returns the list's digest. */
export async function pushManifestList(
  places: ManifestListPlaces,
  list: string,
  options: { purge?: boolean; report?: (line: string) => void } = {},
): Promise<Digest> {
  const target = named(list);
  const manifests = loadList(places.directory, target);
  if (manifests === undefined) throw noSuchList(target);
  if (manifests.length === 0) throw new NotFound(`${canonicalForm(target)} not found`);
  const { bytes, mediaType } = listDocument(target, manifests, { forPush: true });
  const repository = await open(places, target);
  for (const listed of manifests) {
    if (repositoryOf(listed.reference) === repositoryOf(target)) continue;
    await bringBlobs(await open(places, listed.reference), repository, listed, places.signal);
  }
  for (const listed of manifests) {
    if (repositoryOf(listed.reference) === repositoryOf(target)) continue;
    const digest = await repository.putManifest(listed.digest, {
      bytes: listed.raw,
      mediaType: listed.mediaType,
    });
    options.report?.(`Pushed ref ${repositoryOf(target)}@${listed.digest} with digest: ${digest}`);
  }
  const digest = await repository.putManifest(target.digest ?? target.tag ?? "latest", { bytes, mediaType });
  if (options.purge) removeList(places.directory, target);
  return digest;
}

/** Removes as many as it can. @throws NotFound or InvalidParameter naming those that it could not, one a line. */
export async function removeManifestLists(
  { directory }: Pick<ManifestListPlaces, "directory">,
  lists: readonly string[],
): Promise<void> {
  const faults: string[] = [];
  for (const text of lists) {
    try {
      const list = named(text);
      if (loadList(directory, list) === undefined) throw noSuchList(list);
      removeList(directory, list);
    } catch (error) {
      if (!(error instanceof NotFound || error instanceof InvalidParameter)) throw error;
      faults.push(messageOf(error));
    }
  }
  if (faults.length > 0) throw new NotFound(faults.join("\n"));
}

/** Mounted from the manifest's own repository; where the registry will not, sent. */
async function bringBlobs(
  from: Repository,
  to: Repository,
  { manifest }: ListedManifest,
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  for (const blob of [manifest.config, ...manifest.layers]) {
    await to.putBlob(blob, () => from.blob(blob, options), { ...options, mountFrom: [from.path] });
  }
}

/** @throws InvalidParameter where the name leads to a list. */
async function remoteManifest(places: ManifestListPlaces, reference: Reference): Promise<ListedManifest> {
  const found = await remoteList(places, reference);
  if (Array.isArray(found)) throw new InvalidParameter(`${canonicalForm(reference)} is a manifest list`);
  return found;
}

/** What a name leads to in its registry: a manifest, or those of its list with the platforms that the list says. */
async function remoteList(
  places: ManifestListPlaces,
  reference: Reference,
): Promise<ListedManifest | ListedManifest[]> {
  const repository = await open(places, reference);
  const { signal } = places;
  try {
    const document = await repository.manifest(reference.digest ?? reference.tag ?? "latest", signal);
    if (!isIndexType(document.mediaType)) {
      const listed = listedManifest(reference, document, undefined);
      const config = await repository.document(listed.manifest.config, signal);
      return { ...listed, platform: parseListedPlatform(parseJson(config, "image config")) };
    }
    const members: ListedManifest[] = [];
    for (const entry of parseJson(document.bytes, "manifest list").at("manifests").array(1000)) {
      const member = await repository.manifest(entry.at("digest").string(), signal);
      members.push(
        listedManifest(
          { ...reference, digest: member.digest },
          member,
          entry.at("platform").optional(parseListedPlatform),
        ),
      );
    }
    return members;
  } catch (error) {
    if (!(error instanceof NotFound)) throw error;
    throw new NotFound(`no such manifest: ${canonicalForm(reference)}`, { cause: error });
  }
}

async function open(
  { registries, credentials }: ManifestListPlaces,
  reference: Reference,
): Promise<Repository> {
  return registries.repository(reference, await credentials(reference.domain));
}

function manifestText(listed: ListedManifest, verbose: boolean): string {
  return verbose
    ? `${escapeHtml(JSON.stringify(manifestObject(listed), undefined, "\t"))}\n`
    : `${JSON.stringify(parseJson(listed.raw, "manifest").raw(), undefined, "\t")}\n`;
}

function listText(name: Reference, manifests: readonly ListedManifest[], verbose: boolean): string {
  if (verbose) return `${escapeHtml(JSON.stringify(manifests.map(manifestObject), undefined, "\t"))}\n`;
  return `${Buffer.from(listDocument(name, manifests, { forPush: false }).bytes).toString()}\n`;
}

/** The list's own bytes, the very ones that Docker makes: three blanks, no newline, keys in this order. */
function listDocument(
  target: Reference,
  manifests: readonly ListedManifest[],
  { forPush }: { forPush: boolean },
): { bytes: Uint8Array; mediaType: string } {
  for (const { reference, platform } of manifests) {
    if (forPush && (!platform?.os || !platform.architecture)) {
      throw new InvalidParameter(
        `manifest ${canonicalForm(reference)} must have an OS and Architecture to be pushed to a registry`,
      );
    }
    if (reference.domain !== target.domain) {
      throw new InvalidParameter(
        "cannot use source images from a different registry than the target image: " +
          `${reference.domain} != ${target.domain}`,
      );
    }
  }
  // As Docker: the first manifest says which kind of list it is.
  const mediaType =
    manifests[0]?.mediaType === mediaTypes.manifest ? mediaTypes.index : mediaTypes.dockerIndex;
  const list = {
    schemaVersion: 2,
    mediaType,
    manifests: manifests.map(({ mediaType: type, raw, digest, platform }) => ({
      mediaType: type,
      size: raw.byteLength,
      digest,
      platform: platform ?? { architecture: "", os: "" },
    })),
  };
  return { bytes: Buffer.from(escapeHtml(JSON.stringify(list, undefined, "   "))), mediaType };
}

function annotated(platform: ListedPlatform | undefined, annotations: ManifestAnnotations): ListedPlatform {
  const { architecture, os, osFeatures = [], osVersion, variant } = annotations;
  const features = [...new Set([...(platform?.["os.features"] ?? []), ...osFeatures])];
  const version = osVersion || platform?.["os.version"];
  const own = variant || platform?.variant;
  return {
    architecture: architecture || platform?.architecture || "",
    os: os || platform?.os || "",
    ...(version === undefined ? {} : { "os.version": version }),
    ...(features.length === 0 ? {} : { "os.features": features }),
    ...(own === undefined ? {} : { variant: own }),
  };
}

/** A tag or a digest; `:latest` for a name with neither. */
function named(text: string, before = ""): Reference {
  try {
    return withDefaultTag(parseReference(text));
  } catch (error) {
    if (before === "" || !(error instanceof InvalidParameter)) throw error;
    throw new InvalidParameter(before + error.message, { cause: error });
  }
}

/** As Go's JSON encoder does. */
function escapeHtml(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** What Docker lets a list say. */
const validPlatforms = new Set([
  ...["386", "amd64", "arm", "arm64"].map((architecture) => `darwin/${architecture}`),
  "dragonfly/amd64",
  ...["386", "amd64", "arm"].flatMap((architecture) =>
    ["freebsd", "netbsd", "openbsd"].map((os) => `${os}/${architecture}`),
  ),
  ...["386", "amd64", "arm", "arm64", "ppc64le", "mips64", "mips64le", "riscv64", "s390x"].map(
    (architecture) => `linux/${architecture}`,
  ),
  "plan9/386",
  "plan9/amd64",
  "solaris/amd64",
  "windows/386",
  "windows/amd64",
]);
