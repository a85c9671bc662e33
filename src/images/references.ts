/**
 * Names of images, in the grammar of the distribution project's `reference` package, with its words for errors.
 *
 *     busybox            familiar form: what people write and read
 *     docker.io/library/busybox:latest            canonical form: what the records hold
 *     docker.io/library/busybox@sha256:…          digest reference
 */
import { InvalidParameter, messageOf } from "../core/errors.ts";
import { type Digest, isDigest } from "../core/ids.ts";

export const defaultDomain = "docker.io";
const legacyDefaultDomain = "index.docker.io";
const officialPrefix = "library/";
const defaultTag = "latest";
const longestName = 255;

export interface Reference {
  /** Registry host, with its port if it has one: `docker.io`, `localhost:5000`. */
  readonly domain: string;
  /** Repository in the registry: `library/busybox`. */
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

const alphanumeric = "[a-z0-9]+";
const pathComponent = `${alphanumeric}(?:(?:[._]|__|-+)${alphanumeric})*`;
const domainComponent = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const host = `(?:${domainComponent}(?:\\.${domainComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const remoteName = `${pathComponent}(?:/${pathComponent})*`;
const tagText = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const digestText = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";

const referencePattern = new RegExp(
  `^(?:(${host})/)?(${remoteName})(?::(${tagText}))?(?:@(${digestText}))?$`,
);
const identifierPattern = /^[a-f0-9]{64}$/;
const idPrefixPattern = /^(?:sha256:)?([a-f0-9]{1,64})$/;

/**
 * Parses what a user writes into a full name; `busybox` gets its domain and `library/`, but no tag.
 * @throws InvalidParameter with the distribution project's words.
 */
export function parseReference(text: string): Reference {
  if (identifierPattern.test(text)) {
    throw new InvalidParameter(
      `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`,
    );
  }
  const { domain, remainder } = splitDomain(text);
  const end = remainder.search(/[:@]/);
  const remote = end < 0 ? remainder : remainder.slice(0, end);
  if (remote.toLowerCase() !== remote) {
    throw new InvalidParameter(
      `invalid reference format: repository name (${clip(remote)}) must be lowercase`,
    );
  }
  const match = referencePattern.exec(`${domain}/${remainder}`);
  const [, , path, tag, digest] = match ?? [];
  if (match === null || match[1] !== domain || path === undefined) {
    throw new InvalidParameter("invalid reference format");
  }
  if (domain.length + 1 + path.length > longestName) {
    throw new InvalidParameter(`repository name must not be more than ${longestName} characters`);
  }
  return { domain, path, tag, digest: digest === undefined ? undefined : checkDigest(digest) };
}

/** The same name with `:latest` when it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined
    ? { ...reference, tag: defaultTag }
    : reference;
}

/** `docker.io/library/busybox`. */
export function repositoryOf(reference: Reference): string {
  return `${reference.domain}/${reference.path}`;
}

/** Full form: `docker.io/library/busybox:latest`. */
export function canonicalForm(reference: Reference): string {
  return repositoryOf(reference) + suffixOf(reference);
}

/** Short form, as Docker shows it: `busybox:latest`. */
export function familiarForm(reference: Reference): string {
  return familiarName(reference) + suffixOf(reference);
}

/** Short form of the repository alone: `busybox`. */
export function familiarName(reference: Reference): string {
  if (reference.domain !== defaultDomain) return repositoryOf(reference);
  const name = reference.path.startsWith(officialPrefix)
    ? reference.path.slice(officialPrefix.length)
    : reference.path;
  return name.includes("/") ? reference.path : name;
}

/** Short form of a name that the records hold in canonical form. */
export function familiarOfCanonical(canonical: string): string {
  return familiarForm(parseReference(canonical));
}

/** The canonical reference to a manifest of the same repository. */
export function withDigest(reference: Reference, digest: Digest): Reference {
  return { domain: reference.domain, path: reference.path, tag: undefined, digest };
}

/** What a user's word for an image may mean. */
export type ImageSpecifier =
  | { kind: "id"; digest: Digest }
  /** A name; where it also reads as hex, `idPrefix` is what an id would have to start with. */
  | { kind: "name"; reference: Reference; idPrefix: string | undefined };

/**
 * Parses `busybox`, `busybox:1.36`, `busybox@sha256:…`, `sha256:…`, a full id or the beginning of one.
 * @throws InvalidParameter
 */
export function parseImageSpecifier(text: string): ImageSpecifier {
  const full = identifierPattern.test(text) ? `sha256:${text}` : text;
  if (isDigest(full)) return { kind: "id", digest: full };
  return { kind: "name", reference: parseReference(text), idPrefix: idPrefixPattern.exec(text)?.[1] };
}

/** What Docker calls an image that it did not find: `busybox:latest`, `sha256:…`. */
export function describeSpecifier(specifier: ImageSpecifier): string {
  return specifier.kind === "id" ? specifier.digest : familiarForm(withDefaultTag(specifier.reference));
}

/** Parses a name that an archive gives; undefined when it is none. */
export function tryParseReference(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (error instanceof InvalidParameter) return undefined;
    throw new InvalidParameter(messageOf(error), { cause: error });
  }
}

function splitDomain(name: string): { domain: string; remainder: string } {
  const slash = name.indexOf("/");
  if (slash < 0) return { domain: defaultDomain, remainder: officialPrefix + name };
  const first = name.slice(0, slash);
  const rest = name.slice(slash + 1);
  const isHost = first === "localhost" || /[.:]/.test(first) || first.toLowerCase() !== first;
  const domain = first === legacyDefaultDomain || !isHost ? defaultDomain : first;
  const remainder = isHost ? rest : name;
  return domain === defaultDomain && !remainder.includes("/")
    ? { domain, remainder: officialPrefix + remainder }
    : { domain, remainder };
}

function suffixOf(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`;
}

function checkDigest(text: string): Digest {
  if (isDigest(text)) return text;
  if (!text.startsWith("sha256:")) {
    throw new InvalidParameter("invalid reference format: unsupported digest algorithm");
  }
  const fault = text.length === "sha256:".length + 64 ? "format" : "length";
  throw new InvalidParameter(`invalid reference format: invalid checksum digest ${fault}`);
}

function clip(text: string): string {
  return text.length > longestName ? `${text.slice(0, longestName)}…` : text;
}
