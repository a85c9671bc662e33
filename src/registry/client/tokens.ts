/**
 * Bearer tokens from a registry's token server: GET with basic credentials or none, POST (OAuth2) with a refresh token.
 * distribution-spec's reference implementation: docs "token authentication", "oauth2".
 */
import { InvalidParameter, Unauthorized } from "../../core/errors.ts";
import type { AuthConfig } from "../../core/objects.ts";
import { parseJson } from "../../images/json.ts";
import { basicHeader } from "./basic.ts";
import type { Challenge } from "./challenge.ts";
import { readWhole } from "./documents.ts";
import { describeRequest, shownUrl } from "./failures.ts";
import type { Http, HttpAnswer, HttpRequest } from "./http.ts";
import { refusal } from "./refusal.ts";

export interface Token {
  readonly value: string;
  /** On the clock of `performance.now()`. */
  readonly goodUntil: number;
  /** To be kept in place of the password; only when it was asked for. */
  readonly refreshToken: string | undefined;
}

export interface TokenRequest {
  challenge: Challenge;
  /** The registry that sent the challenge. */
  registry: URL;
  /** `repository:library/busybox:pull` */
  scopes: readonly string[];
  auth: AuthConfig | undefined;
  /** Ask for a refresh token: login. */
  offline?: boolean;
}

const clientId = "davit";
const largestAnswer = 1024 * 1024;
/** Seconds. Token servers that say nothing or less mean this. */
const shortestLife = 60;
/** A token is not used in the last part of its life, as it has a way to go. */
const usedLife = 0.9;
const mostRedirects = 5;

/** @throws RequestFailure, Unauthorized, InvalidParameter (a realm that cannot be trusted, an answer without token). */
export async function fetchToken(
  http: Http,
  request: TokenRequest,
  isInsecure: (host: string) => Promise<boolean>,
): Promise<Token> {
  const realm = await checkRealm(request, isInsecure);
  const answer = await ask(http, tokenExchange(realm, request), request, isInsecure);
  if (answer.status !== 200) throw await refusal(answer, describeRequest("GET", realm));
  return parseToken(await readWhole(answer, largestAnswer, "the token server's answer"), realm);
}

/** A registry that is asked over TLS may not make us ask for its tokens in the clear. */
async function checkRealm(
  { challenge, registry }: TokenRequest,
  isInsecure: (host: string) => Promise<boolean>,
): Promise<URL> {
  const text = challenge.parameters.get("realm") ?? "";
  const realm = URL.parse(text);
  if (realm === null || (realm.protocol !== "https:" && realm.protocol !== "http:")) {
    throw new InvalidParameter(`registry ${registry.host} names no valid token server (realm)`);
  }
  realm.username = "";
  realm.password = "";
  realm.hash = "";
  const isDowngrade = realm.protocol === "http:" && registry.protocol === "https:";
  if (isDowngrade && !(await isInsecure(realm.host))) {
    throw new InvalidParameter(
      `registry ${registry.host} wants tokens to be asked for over plain HTTP (${shownUrl(realm)}); refused`,
    );
  }
  return realm;
}

function tokenExchange(realm: URL, request: TokenRequest): HttpRequest {
  const { challenge, scopes, auth } = request;
  const service = challenge.parameters.get("service");
  if (auth?.identitytoken) {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: auth.identitytoken,
      client_id: clientId,
    });
    if (service !== undefined) form.set("service", service);
    if (scopes.length > 0) form.set("scope", scopes.join(" "));
    const text = form.toString();
    const headers = { "Content-Type": "application/x-www-form-urlencoded", Accept: "application/json" };
    const body = { open: () => text, length: Buffer.byteLength(text) };
    return { method: "POST", url: realm, headers, body };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  const basic = basicHeader(auth);
  if (request.offline) {
    url.searchParams.set("offline_token", "true");
    url.searchParams.set("client_id", clientId);
  }
  if (basic !== undefined && auth?.username) url.searchParams.set("account", auth.username);
  const headers = { Accept: "application/json", ...(basic === undefined ? {} : { Authorization: basic }) };
  return { method: "GET", url, headers };
}

/** Sends it, and follows redirects by hand: with credentials only on the same host. */
async function ask(
  http: Http,
  first: HttpRequest,
  { auth, registry }: TokenRequest,
  isInsecure: (host: string) => Promise<boolean>,
): Promise<HttpAnswer> {
  let request = first;
  for (let redirects = 0; ; redirects += 1) {
    const verify = !(await isInsecure(request.url.host));
    const answer = await http.send(request, verify);
    const location = answer.headers.get("location");
    if (answer.status < 301 || answer.status > 308 || location === null) return answer;
    await answer.discard();
    const words = describeRequest(request.method, request.url);
    if (redirects >= mostRedirects)
      throw new InvalidParameter(`${words}: stopped after ${mostRedirects} redirects`);
    const url = URL.parse(location, request.url.href);
    const hasSecrets = auth !== undefined && (basicHeader(auth) !== undefined || auth.identitytoken);
    if (url === null || url.host !== first.url.host || url.protocol !== first.url.protocol) {
      if (url === null || hasSecrets || request.method === "POST" || url.protocol !== "https:") {
        throw new InvalidParameter(
          `${words}: the token server of ${registry.host} redirects to another host; credentials are not sent there`,
        );
      }
    }
    // What is asked for stands in the query, and most token servers name only a path.
    request = { ...request, url };
  }
}

function parseToken(bytes: Uint8Array, realm: URL): Token {
  const json = parseJson(bytes, `answer of the token server ${realm.host}`);
  const text = (key: string) => json.at(key).optional((value) => value.string()) || undefined;
  const value = text("token") ?? text("access_token");
  if (value === undefined)
    throw new Unauthorized("authorization server did not include a token in the response");
  // It becomes a header.
  if (!/^[\x21-\x7e]+$/.test(value))
    throw new Unauthorized(`the token server ${realm.host} sent a malformed token`);
  const stated = json.at("expires_in").raw();
  const seconds = typeof stated === "number" && Number.isFinite(stated) ? stated : 0;
  return {
    value,
    goodUntil: performance.now() + Math.max(seconds, shortestLife) * 1000 * usedLife,
    refreshToken: text("refresh_token"),
  };
}
