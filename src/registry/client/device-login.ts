/**
 * Logging in to Docker Hub with a browser: OAuth's device flow (RFC 8628) with Hub's tenant, and the exchange of what
 * comes of it for a personal access token, which registries take as a password. As docker does it, under docker's name
 * for itself, for Hub gives names to no others.
 */
import { InvalidParameter, Unauthorized, Unavailable } from "../../core/errors.ts";
import { type JsonReader, parseJson } from "../../images/json.ts";
import { Trust } from "./certificates.ts";
import { readWhole } from "./documents.ts";
import { Http, type HttpAnswer, type HttpRequest } from "./http.ts";
import type { RegistryConfig } from "./index.ts";
import { usualPatience } from "./patience.ts";

export interface DeviceLoginOptions {
  userAgent: string;
  /** Where codes and tokens come from; Docker Hub's by default. */
  tenant?: string;
  /** Whom the tokens are for, and who makes access tokens of them; Docker Hub by default. */
  hub?: string;
}

export const hubTenant = "https://login.docker.com";
const hubAddress = "https://hub.docker.com";
/** Of Docker's command line. */
const clientId = "L4v0dmlNBpYUjGGab0C2JtgTgXr1Qz4d";
const scopes = "openid offline_access";
const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code";
/** RFC 8628, 3.2 and 3.5. Seconds. */
const usualInterval = 5;
const slowDown = 5;
const shortestInterval = 1;
const longestWait = 3600;
const largestAnswer = 1 << 20;
/** How docker joins a refresh token with whose it is. */
const separator = "..";

/** What a person has to do: enter the code at the address. */
export interface DeviceCode {
  readonly userCode: string;
  /** With the code in it. */
  readonly address: string;
  readonly deviceCode: string;
  /** Seconds between two questions, and until the code is worth nothing. */
  readonly interval: number;
  readonly lifetime: number;
}

export interface DeviceTokens {
  /** Docker ID. */
  readonly username: string;
  readonly accessToken: string;
  /** As docker keeps it: it says whose it is. */
  readonly refreshToken: string;
}

export class DeviceLogin {
  readonly #http: Http;
  readonly #tenant: URL;
  readonly #hub: URL;

  constructor(config: RegistryConfig, options: DeviceLoginOptions) {
    this.#http = new Http({
      proxies: config.proxies,
      trust: new Trust(config),
      userAgent: options.userAgent,
      patience: usualPatience,
    });
    this.#tenant = new URL(options.tenant ?? hubTenant);
    this.#hub = new URL(options.hub ?? hubAddress);
  }

  /** @throws Unavailable when there is no way to begin */
  async begin(signal?: AbortSignal): Promise<DeviceCode> {
    const form = { client_id: clientId, audience: this.#hub.origin, scope: scopes };
    const { status, json } = await this.#post("oauth/device/code", form, signal);
    if (status !== 200) throw new Unavailable(textOf(json, "error_description") || "no device code");
    const userCode = json.at("user_code").string();
    const address = json.at("verification_uri_complete").string();
    const protocol = URL.parse(address)?.protocol ?? "";
    // The code is shown on a terminal, the address given to a browser.
    if (!/^[\w-]{1,64}$/.test(userCode) || !["https:", "http:"].includes(protocol)) {
      throw new InvalidParameter("the code that came is none");
    }
    return {
      userCode,
      address,
      deviceCode: json.at("device_code").string(),
      interval: Math.max(shortestInterval, numberOf(json, "interval") ?? usualInterval),
      lifetime: Math.min(longestWait, numberOf(json, "expires_in") ?? longestWait),
    };
  }

  /**
   * Asks until the person has agreed, or refused.
   * @throws Unauthorized in the tenant's words; Unavailable when nobody came.
   */
  async wait(code: DeviceCode, signal?: AbortSignal): Promise<DeviceTokens> {
    const end = Date.now() + code.lifetime * 1000;
    let { interval } = code;
    const form = { client_id: clientId, grant_type: deviceGrant, device_code: code.deviceCode };
    while (Date.now() < end) {
      await Bun.sleep(interval * 1000);
      signal?.throwIfAborted();
      const { json } = await this.#post("oauth/token", form, signal);
      switch (textOf(json, "error")) {
        case "":
          return tokensOf(json);
        case "authorization_pending":
          break;
        case "slow_down":
          interval += slowDown;
          break;
        default:
          throw new Unauthorized(
            `failed waiting for authentication: ${textOf(json, "error_description") || textOf(json, "error")}`,
          );
      }
    }
    throw new Unavailable("failed waiting for authentication: timed out waiting for device token");
  }

  /** A personal access token of Docker Hub, made for this login. @throws Unauthorized */
  async accessToken({ accessToken }: DeviceTokens, signal?: AbortSignal): Promise<string> {
    const answer = await this.#http.send(
      {
        method: "POST",
        url: new URL("v2/access-tokens/desktop-generate", this.#hub),
        headers: { Authorization: `Bearer ${accessToken}`, "Content-Type": "application/json" },
        body: { open: () => "", length: 0 },
        signal,
      },
      true,
    );
    if (answer.status !== 201) {
      await answer.discard();
      throw new Unauthorized(`unexpected response from Hub: ${answer.status}`);
    }
    return (await jsonOf(answer)).at("data").at("token").string();
  }

  /** Makes a refresh token worthless. One that docker did not make is left alone. @throws Unavailable */
  async revoke(refreshToken: string, signal?: AbortSignal): Promise<void> {
    const [token = "", ...rest] = refreshToken.split(separator);
    if (rest.length !== 1) return;
    const { status } = await this.#post("oauth/revoke", { client_id: clientId, token }, signal);
    if (status !== 200) throw new Unavailable("failed to revoke token");
  }

  async #post(
    path: string,
    form: Record<string, string>,
    signal: AbortSignal | undefined,
  ): Promise<{ status: number; json: JsonReader }> {
    const text = new URLSearchParams(form).toString();
    const request: HttpRequest = {
      method: "POST",
      url: new URL(path, this.#tenant),
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: { open: () => text, length: Buffer.byteLength(text) },
      signal,
    };
    const answer = await this.#http.send(request, true);
    return { status: answer.status, json: await jsonOf(answer) };
  }
}

/** An empty body is an empty object: `revoke` answers so. */
async function jsonOf(answer: HttpAnswer): Promise<JsonReader> {
  const bytes = await readWhole(answer, largestAnswer, "the answer to the login");
  return parseJson(bytes.byteLength === 0 ? Buffer.from("{}") : bytes, "the answer to the login");
}

function textOf(json: JsonReader, key: string): string {
  return (json.at(key).optional((value) => value.string()) ?? "").replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    " ",
  );
}

function numberOf(json: JsonReader, key: string): number | undefined {
  return json.at(key).optional((value) => value.integer());
}

function tokensOf(json: JsonReader): DeviceTokens {
  const accessToken = json.at("access_token").string();
  return {
    username: usernameOf(accessToken),
    accessToken,
    refreshToken: `${textOf(json, "refresh_token")}${separator}${clientId}`,
  };
}

/** The token came from the tenant over TLS just now: what it says is not for us to verify. RFC 7519. */
function usernameOf(accessToken: string): string {
  const [, payload = ""] = accessToken.split(".");
  const claims = parseJson(Buffer.from(payload, "base64url"), "token claims");
  return claims.at(hubAddress).at("username").string();
}
