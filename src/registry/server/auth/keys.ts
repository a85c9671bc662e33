/** The public keys by which tokens are verified: from certificates (PEM) and from JSON Web Key Sets (RFC 7517). */
import { createHash, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { InvalidParameter, messageOf } from "../../../core/errors.ts";
import { type JsonReader, parseJson } from "../../../images/json.ts";

export interface KeyMaterial {
  /** PEM: certificates whose keys sign tokens, or whose holders sign the certificates of those (`x5c`). */
  rootCertificates?: string;
  /** JSON text. */
  keySet?: string;
}

export interface TokenKeys {
  /** By key id; a key may have several. */
  readonly byId: ReadonlyMap<string, KeyObject>;
  readonly all: readonly KeyObject[];
  readonly roots: readonly X509Certificate[];
}

const mostKeys = 100;
const certificate = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** @throws InvalidParameter when there is no key, or one cannot be read */
export function readKeys({ rootCertificates, keySet }: KeyMaterial): TokenKeys {
  const roots = [...(rootCertificates ?? "").matchAll(certificate)].map(([pem]) => readCertificate(pem));
  const byId = new Map<string, KeyObject>();
  const all: KeyObject[] = [];
  for (const { publicKey } of roots) {
    all.push(publicKey);
    byId.set(fingerprintOf(publicKey), publicKey);
    byId.set(thumbprintOf(publicKey), publicKey);
  }
  for (const entry of keySet === undefined ? [] : parseJson(keySet, "key set").at("keys").array(mostKeys)) {
    const key = readKey(entry);
    all.push(key);
    const id = entry.at("kid").optional((value) => value.string()) ?? thumbprintOf(key);
    byId.set(id, key);
  }
  if (all.length === 0) throw new InvalidParameter("token authentication needs certificates or a key set");
  return { byId, all, roots };
}

export function readCertificate(text: string | Buffer): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (error) {
    throw new InvalidParameter(`a certificate cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** Public members only. */
function readKey(entry: JsonReader): KeyObject {
  const text = (name: string) => entry.at(name).optional((value) => value.string());
  const jwk: Record<string, string> = {};
  for (const name of ["kty", "n", "e", "crv", "x", "y"] as const) {
    const value = text(name);
    if (value !== undefined) jwk[name] = value;
  }
  try {
    return createPublicKey({ key: jwk, format: "jwk" });
  } catch (error) {
    throw new InvalidParameter(`a key of the key set cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** libtrust's key id, which docker-registry 2 uses: `ABCD:EFGH:…`, 30 bytes of the key's sha256 in base32. */
function fingerprintOf(key: KeyObject): string {
  const der = key.export({ type: "spki", format: "der" });
  const bytes = createHash("sha256").update(der).digest().subarray(0, 30);
  const groups = base32(bytes).match(/.{4}/g) ?? [];
  return groups.join(":");
}

/** RFC 7638, which docker-registry 3 uses. */
function thumbprintOf(key: KeyObject): string {
  const jwk = key.export({ format: "jwk" });
  const members = jwk.kty === "RSA" ? ["e", "kty", "n"] : ["crv", "kty", "x", "y"];
  const canonical = JSON.stringify(Object.fromEntries(members.map((name) => [name, Reflect.get(jwk, name)])));
  return createHash("sha256").update(canonical).digest("base64url");
}

function base32(bytes: Uint8Array): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  let bits = 0;
  let value = 0;
  let text = "";
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet[(value >> bits) & 31] ?? "";
    }
    value &= (1 << bits) - 1;
  }
  return text;
}
