/** All registries that a command talks to: where each is, and what is known of it so far. */
import type { AuthConfig } from "../../core/objects.ts";
import { defaultDomain } from "../../images/references.ts";
import { Authorizer } from "./authorizer.ts";
import { Trust } from "./certificates.ts";
import { type Endpoint, endpointsOf, type InsecureCheck, insecureCheck, mirrorsOf } from "./endpoints.ts";
import { connectionFailure, isUnreachable, type RequestFailure } from "./failures.ts";
import { Http } from "./http.ts";
import type { FirstQuestion, RegistriesOptions, RegistryConfig } from "./index.ts";
import { acceptedManifests } from "./manifest-type.ts";
import { type Patience, usualPatience } from "./patience.ts";
import { type EarlyAnswer, Session } from "./session.ts";
import { Site } from "./site.ts";
import { typed } from "./translate.ts";

/** What was learned of a registry is learned anew after this long: a server may talk to it for weeks. Milliseconds. */
const longestMemory = 10 * 60_000;

/** How long a TLS handshake with an insecure registry may take before plain HTTP is tried. Milliseconds. */
const longestProbe = 10_000;

export class Directory {
  readonly patience: Patience;
  readonly #config: RegistryConfig;
  readonly #http: Http;
  readonly #isInsecure: InsecureCheck;
  readonly #endpoints = new Memory<Promise<Endpoint>>();
  readonly #sites = new Memory<Site>();
  #first: (FirstQuestion & { domain: string }) | undefined;
  #early: EarlyAnswer | undefined;

  constructor(config: RegistryConfig, { userAgent, patience }: RegistriesOptions) {
    this.#config = config;
    this.patience = { ...usualPatience, ...patience };
    this.#isInsecure = insecureCheck(config.insecure);
    const trust = new Trust(config);
    this.#http = new Http({ proxies: config.proxies, trust, userAgent, patience: this.patience });
  }

  /** One for each registry and user, so that tokens are shared between transfers. */
  site(domain: string, auth: AuthConfig | undefined): Site {
    const key = JSON.stringify([domain, auth ?? null]);
    const known = this.#sites.get(key);
    if (known !== undefined) return known;
    const main = remembered(async () => this.#session(await this.#endpoint(domain), auth).session);
    const mirrors = remembered(async () => {
      const endpoints = await mirrorsOf(domain, this.#config.mirrors, this.#isInsecure);
      // Credentials for Docker Hub are Docker Hub's alone: a mirror is somebody else.
      return endpoints.map((endpoint) => this.#session(endpoint, undefined).session);
    });
    const site = new Site({ domain, patience: this.patience, main, mirrors });
    this.#sites.set(key, site);
    return site;
  }

  /** A fresh one that asks for a token to keep: nothing that was learned before decides. */
  async loginSession(
    domain: string,
    auth: AuthConfig,
  ): Promise<{ session: Session; authorizer: Authorizer }> {
    return this.#session(await this.#endpoint(domain), auth, true);
  }

  /** Docker Hub is searched at its index, any other registry at its own address. */
  async searchSession(domain: string, auth: AuthConfig | undefined): Promise<Session> {
    const endpoint = await this.#endpoint(domain === defaultDomain ? "index.docker.io" : domain);
    return this.#session(endpoint, auth).session;
  }

  /** Fails silently: who asks the registry for something then is told, or looks for it once more. */
  seek(domain: string, first?: FirstQuestion): void {
    this.#first = first === undefined ? undefined : { domain, ...first };
    this.#endpoint(domain).catch(() => undefined);
  }

  forget(): void {
    this.#sites.clear();
    this.#endpoints.clear();
  }

  #session(
    endpoint: Endpoint,
    auth: AuthConfig | undefined,
    offline = false,
  ): { session: Session; authorizer: Authorizer } {
    const http = this.#http;
    const isInsecure = this.#isInsecure;
    const authorizer = new Authorizer({ http, registry: endpoint.base, auth, isInsecure, offline });
    const early = this.#early;
    this.#early = undefined;
    return { session: new Session({ endpoint, http, authorizer, isInsecure, early }), authorizer };
  }

  /** Found once a command; a failure is not remembered. */
  #endpoint(domain: string): Promise<Endpoint> {
    const known = this.#endpoints.get(domain);
    if (known !== undefined) return known;
    const finding = this.#find(domain);
    this.#endpoints.set(domain, finding);
    finding.catch(() => this.#endpoints.delete(domain));
    return finding;
  }

  /** Where there is a choice, `/v2/` is asked, as Docker does, and whatever answers is the registry. */
  async #find(domain: string): Promise<Endpoint> {
    const endpoints = await endpointsOf(domain, this.#isInsecure);
    const [only] = endpoints;
    if (endpoints.length === 1 && only !== undefined) return only;
    let failure: RequestFailure | undefined;
    for (const endpoint of endpoints) {
      const url = new URL("v2/", endpoint.base);
      const limit = endpoint === endpoints.at(-1) ? undefined : AbortSignal.timeout(longestProbe);
      try {
        if (await this.#askFirst(domain, endpoint, limit)) return endpoint;
        const answer = await this.#http.send(
          { method: "GET", url, headers: {}, signal: limit },
          endpoint.verify,
        );
        await answer.discard();
        if (endpoint.isGuess !== true || answer.status !== 400) return endpoint;
      } catch (error) {
        failure = limit?.aborted ? connectionFailure("GET", url, error) : asUnreachable(error);
      }
    }
    throw failure === undefined ? new Error(`no address for ${domain}`) : typed(failure);
  }

  /** True when there is a registry, which has answered what will be asked first. */
  async #askFirst(domain: string, endpoint: Endpoint, signal: AbortSignal | undefined): Promise<boolean> {
    const first = this.#first;
    if (first?.domain !== domain) return false;
    this.#first = undefined;
    const url = new URL(`v2/${first.path}/manifests/${first.tag}`, endpoint.base);
    const request = { method: "HEAD", url, headers: { Accept: acceptedManifests }, signal } as const;
    const answer = await this.#http.send(request, endpoint.verify);
    await answer.discard();
    // Said by a server that expects TLS, but perhaps by a registry too: `/v2/` tells.
    if (answer.status === 400) return false;
    this.#early = { url, accept: acceptedManifests, answer, since: performance.now() };
    return true;
  }
}

function asUnreachable(error: unknown): RequestFailure {
  if (isUnreachable(error)) return error;
  throw error;
}

/** Values by key that are forgotten when they are old. */
class Memory<Value> {
  readonly #entries = new Map<string, { value: Value; since: number }>();

  get(key: string): Value | undefined {
    const oldest = performance.now() - longestMemory;
    for (const [other, { since }] of this.#entries) if (since < oldest) this.#entries.delete(other);
    return this.#entries.get(key)?.value;
  }

  set(key: string, value: Value): void {
    this.#entries.set(key, { value, since: performance.now() });
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }
}

/** Runs once; again after a failure. */
function remembered<Result>(work: () => Promise<Result>): () => Promise<Result> {
  let running: Promise<Result> | undefined;
  return () => {
    running ??= work().catch((error: unknown) => {
      running = undefined;
      throw error;
    });
    return running;
  };
}
