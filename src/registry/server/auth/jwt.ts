/** JSON Web Tokens (RFC 7519), RS256 and ES256, with the claims of the distribution project's token specification. */
import { type KeyObject, verify } from "node:crypto";
import { InvalidParameter } from "../../../core/errors.ts";
import { type JsonReader, parseJson } from "../../../images/json.ts";
import { readCertificate, type TokenKeys } from "./keys.ts";

export interface AccessEntry {
  type: string;
  name: string;
  actions: readonly string[];
}

export interface Claims {
  subject: string | undefined;
  access: readonly AccessEntry[];
}

/** The token is malformed, not signed by whom we trust, or not for us or for now. */
export class InvalidToken extends Error {
  override readonly name = "InvalidToken";
}

const longestToken = 16 * 1024;
/** Seconds by which clocks may differ. */
const leeway = 60;
const mostCertificates = 10;
const mostAccess = 1000;

/** @throws InvalidToken */
export function verifyToken(
  token: string,
  keys: TokenKeys,
  expected: { issuer: string; audience: string },
  now = Date.now() / 1000,
): Claims {
  const [head = "", payload = "", signature = "", ...more] = token.split(".");
  if (token.length > longestToken || more.length > 0 || signature === "") throw new InvalidToken("malformed");
  try {
    const header = parseJson(Buffer.from(head, "base64url"), "token header");
    checkSignature(header, keys, `${head}.${payload}`, Buffer.from(signature, "base64url"), now);
    return readClaims(parseJson(Buffer.from(payload, "base64url"), "token claims"), expected, now);
  } catch (error) {
    if (error instanceof InvalidParameter) throw new InvalidToken(error.message, { cause: error });
    throw error;
  }
}

function checkSignature(
  header: JsonReader,
  keys: TokenKeys,
  signed: string,
  signature: Buffer,
  now: number,
): void {
  const algorithm = header.at("alg").string();
  const data = Buffer.from(signed);
  if (!candidates(header, keys, now).some((key) => isSignedBy(key, algorithm, data, signature))) {
    throw new InvalidToken("the signature is not of a key that is trusted");
  }
}

/** The key decides which algorithm is taken, never the token alone. */
function isSignedBy(key: KeyObject, algorithm: string, data: Buffer, signature: Buffer): boolean {
  if (algorithm === "RS256" && key.asymmetricKeyType === "rsa") {
    return verify("sha256", data, key, signature);
  }
  const isP256 = key.asymmetricKeyDetails?.namedCurve === "prime256v1";
  if (algorithm === "ES256" && key.asymmetricKeyType === "ec" && isP256) {
    return verify("sha256", data, { key, dsaEncoding: "ieee-p1363" }, signature);
  }
  return false;
}

/** Keys that may have signed: by certificate chain, by key id, or all. */
function candidates(header: JsonReader, keys: TokenKeys, now: number): readonly KeyObject[] {
  const chain = header.at("x5c").optional((value) => value.array(mostCertificates));
  if (chain !== undefined && chain.length > 0) return [leafOf(chain, keys, now)];
  const id = header.at("kid").optional((value) => value.string());
  if (id === undefined) return keys.all;
  const key = keys.byId.get(id);
  return key === undefined ? [] : [key];
}

/** The first certificate's key, when each is issued by the next and the last by a root. */
function leafOf(chain: readonly JsonReader[], keys: TokenKeys, now: number): KeyObject {
  const certificates = chain.map((item) => readCertificate(Buffer.from(item.string(), "base64")));
  for (const [index, certificate] of certificates.entries()) {
    const isValid = Date.parse(certificate.validFrom) / 1000 <= now + leeway;
    if (!isValid || Date.parse(certificate.validTo) / 1000 < now - leeway) {
      throw new InvalidToken("a certificate of the token is not valid now");
    }
    if (keys.roots.some((root) => root.raw.equals(certificate.raw))) break;
    const next = certificates[index + 1];
    const issuers = next === undefined ? keys.roots : [next];
    const isIssued = issuers.some(
      (issuer) => issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey),
    );
    if (!isIssued) throw new InvalidToken("the token's certificates do not lead to a root");
  }
  const leaf = certificates[0];
  if (leaf === undefined) throw new InvalidToken("the token has no certificate");
  return leaf.publicKey;
}

function readClaims(json: JsonReader, expected: { issuer: string; audience: string }, now: number): Claims {
  if (json.at("iss").string() !== expected.issuer) throw new InvalidToken("issued by another");
  const audience = json.at("aud").raw();
  const audiences: unknown[] = Array.isArray(audience) ? audience : [audience];
  if (!audiences.includes(expected.audience)) throw new InvalidToken("made for another service");
  const expires = numberOf(json.at("exp"));
  if (expires === undefined || now > expires + leeway) throw new InvalidToken("expired");
  const begins = numberOf(json.at("nbf"));
  if (begins !== undefined && now < begins - leeway) throw new InvalidToken("not valid yet");
  const access = json.at("access").optional((value) => value.array(mostAccess)) ?? [];
  return {
    subject: json.at("sub").optional((value) => value.string()) || undefined,
    access: access.map((entry) => ({
      type: entry.at("type").string(),
      name: entry.at("name").string(),
      actions: entry.at("actions").optional((value) => value.strings()) ?? [],
    })),
  };
}

/** Seconds since 1970; some servers write fractions. */
function numberOf(json: JsonReader): number | undefined {
  const value = json.raw();
  if (value === undefined || value === null) return undefined;
  return typeof value === "number" ? value : json.fail("a number");
}
