/** Answers a registry's challenges with one user's credentials; keeps tokens by scope until they expire. */
import { Unauthorized } from "../../core/errors.ts";
import type { AuthConfig } from "../../core/objects.ts";
import { basicHeader } from "./basic.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { Http } from "./http.ts";
import { fetchToken, type Token } from "./tokens.ts";

export class Authorizer {
  readonly #http: Http;
  readonly #registry: URL;
  readonly #auth: AuthConfig | undefined;
  readonly #isInsecure: (host: string) => Promise<boolean>;
  readonly #offline: boolean;
  #challenge: Challenge | undefined;
  /** By scopes. */
  readonly #tokens = new Map<string, Promise<Token>>();
  readonly #lastTokens = new Map<string, string>();
  /** What the token server gave to be kept. */
  refreshToken: string | undefined;

  constructor(parts: {
    http: Http;
    registry: URL;
    auth: AuthConfig | undefined;
    isInsecure: (host: string) => Promise<boolean>;
    offline?: boolean;
  }) {
    this.#http = parts.http;
    this.#registry = parts.registry;
    this.#auth = parts.auth;
    this.#isInsecure = parts.isInsecure;
    this.#offline = parts.offline ?? false;
  }

  /** The Authorization header as far as the registry's wishes are known; undefined before the first challenge. */
  async header(scopes: readonly string[]): Promise<string | undefined> {
    if (this.#auth?.registrytoken) return `Bearer ${this.#auth.registrytoken}`;
    if (this.#challenge === undefined) return undefined;
    if (this.#challenge.scheme === "basic") return basicHeader(this.#auth);
    const token = await this.#token(this.#challenge, scopes);
    return `Bearer ${token.value}`;
  }

  /**
   * Takes note of a 401. `sent` is the header that was refused.
   * @returns whether another attempt may succeed. @throws Unauthorized `no basic auth credentials`
   */
  challenged(header: string | null, scopes: readonly string[], sent: string | undefined): boolean {
    if (this.#auth?.registrytoken) return false;
    const challenges = parseChallenges(header);
    const challenge =
      challenges.find(({ scheme }) => scheme === "bearer") ??
      challenges.find(({ scheme }) => scheme === "basic");
    if (challenge === undefined) return false;
    this.#challenge = challenge;
    if (challenge.scheme === "basic") {
      if (basicHeader(this.#auth) === undefined) throw new Unauthorized("no basic auth credentials");
      return !sent?.startsWith("Basic ");
    }
    const key = keyOf(scopes);
    // Only the token that was refused is thrown away, not one that another transfer is being given just now.
    if (sent === `Bearer ${this.#lastTokens.get(key)}`) this.#tokens.delete(key);
    return true;
  }

  /** Transfers side by side share one request for a token, so none of them may abort it. */
  async #token(challenge: Challenge, scopes: readonly string[]): Promise<Token> {
    const key = keyOf(scopes);
    const known = this.#tokens.get(key);
    if (known !== undefined) {
      const token = await known;
      if (performance.now() < token.goodUntil) return token;
      const newer = this.#tokens.get(key);
      if (newer !== undefined && newer !== known) return await newer;
      this.#tokens.delete(key);
    }
    const request = { challenge, registry: this.#registry, scopes, auth: this.#auth, offline: this.#offline };
    const asked = fetchToken(this.#http, request, this.#isInsecure);
    this.#tokens.set(key, asked);
    try {
      const token = await asked;
      this.#lastTokens.set(key, token.value);
      this.refreshToken = token.refreshToken ?? this.refreshToken;
      return token;
    } catch (error) {
      if (this.#tokens.get(key) === asked) this.#tokens.delete(key);
      throw error;
    }
  }
}

function keyOf(scopes: readonly string[]): string {
  return scopes.toSorted().join(" ");
}
