/** Branded strings: parsed once at the edge, then carried by type. */
import { InvalidParameter } from "./errors.ts";

declare const brand: unique symbol;
/** A map of names, not a name: so that a DiffId is a Digest too. */
export type Brand<Name extends string> = { readonly [brand]: { readonly [Key in Name]: true } };

/** `sha256:` and 64 lower-case hex digits. OCI image-spec, descriptor.md#digests. */
export type Digest = string & Brand<"Digest">;
/** Digest of a layer's uncompressed tar. OCI image-spec, config.md#layer-diffid. */
export type DiffId = Digest & Brand<"DiffId">;
/** Digest of a stack of layers. OCI image-spec, config.md#layer-chainid. */
export type ChainId = Digest & Brand<"ChainId">;
/** An image's identity: the digest of its config. */
export type ImageId = Digest & Brand<"ImageId">;
/** 64 lower-case hex digits. */
export type ContainerId = string & Brand<"ContainerId">;
export type ExecId = string & Brand<"ExecId">;
export type NetworkId = string & Brand<"NetworkId">;

const digestPattern = /^sha256:[a-f0-9]{64}$/;
const containerIdPattern = /^[a-f0-9]{64}$/;

/** A sha256 digest; davit knows no other algorithm. */
export function isDigest(text: string): text is Digest {
  return digestPattern.test(text);
}

/** @throws InvalidParameter when `text` is not a sha256 digest. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new InvalidParameter(`invalid digest: ${JSON.stringify(text.slice(0, 100))}`);
  return text;
}

/** A fresh 64-hex-digit id, as Docker gives containers, networks and execs. */
export function randomId(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toHex();
}

/** A whole id, not a prefix of one. */
export function isContainerId(text: string): text is ContainerId {
  return containerIdPattern.test(text);
}

/** As `randomId`, for a container. */
export function newContainerId(): ContainerId {
  return randomId() as ContainerId;
}

/** The 12 digits that people see. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}
