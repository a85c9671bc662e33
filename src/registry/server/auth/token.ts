/**
 * Bearer tokens as the distribution project's token authentication has them: a token server gives the client a JWT
 * that names what it may do; here it is verified, and clients without one are told where to get it.
 */
import type { RegistryFailure } from "../failures.ts";
import type { RepositoryName } from "../names.ts";
import { type Action, type Authenticator, type Grant, type Need, unauthorized } from "./access.ts";
import { type AccessEntry, type Claims, InvalidToken, verifyToken } from "./jwt.ts";
import { type KeyMaterial, readKeys } from "./keys.ts";

export interface TokenOptions extends KeyMaterial {
  /** Where clients get tokens. */
  realm: string;
  /** What this registry is called there: tokens must be for it (`aud`). */
  service: string;
  /** Who makes tokens (`iss`). */
  issuer: string;
}

/** @throws InvalidParameter when no key can be read */
export function openTokenAuthentication(options: TokenOptions): Authenticator {
  const keys = readKeys(options);
  return {
    async authorize(authorization, need): Promise<Grant> {
      const token = /^bearer +(\S+)\s*$/i.exec(authorization ?? "")?.[1];
      if (token === undefined) throw challenge(options, need);
      const claims = claimsOf(token, options, keys, need);
      if (!isEnough(claims, need)) throw challenge(options, need, "insufficient_scope");
      return grantOf(claims);
    },
  };
}

function claimsOf(
  token: string,
  options: TokenOptions,
  keys: ReturnType<typeof readKeys>,
  need: Need,
): Claims {
  try {
    return verifyToken(token, keys, { issuer: options.issuer, audience: options.service });
  } catch (error) {
    if (error instanceof InvalidToken) throw challenge(options, need, "invalid_token");
    throw error;
  }
}

function grantOf(claims: Claims): Grant {
  return {
    user: claims.subject,
    allows: (name: RepositoryName, action: Action) => allows(claims.access, "repository", name, action),
  };
}

function isEnough(claims: Claims, need: Need): boolean {
  switch (need.kind) {
    case "base":
      return true;
    case "catalog":
      return allows(claims.access, "registry", "catalog", "*");
    case "repository":
      return need.actions.every((action) => allows(claims.access, "repository", need.name, action));
  }
}

function allows(access: readonly AccessEntry[], type: string, name: string, action: string): boolean {
  return access.some(
    (entry) =>
      entry.type === type &&
      entry.name === name &&
      (entry.actions.includes(action) || entry.actions.includes("*")),
  );
}

function challenge(options: TokenOptions, need: Need, error?: string): RegistryFailure {
  const scope = scopeOf(need);
  const parts = [
    `realm=${quoted(options.realm)}`,
    `service=${quoted(options.service)}`,
    ...(scope === undefined ? [] : [`scope=${quoted(scope)}`]),
    ...(error === undefined ? [] : [`error=${quoted(error)}`]),
  ];
  return unauthorized(`Bearer ${parts.join(",")}`, need);
}

function scopeOf(need: Need): string | undefined {
  if (need.kind === "base") return undefined;
  if (need.kind === "catalog") return "registry:catalog:*";
  return `repository:${need.name}:${need.actions.join(",")}`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\\x00-\x1f\x7f]/g, "")}"`;
}
