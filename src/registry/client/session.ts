/**
 * Requests to one endpoint of a registry with one user's credentials: authorization, redirects and refusals. Each
 * method makes one attempt; `patience.ts` makes more of them.
 */
import { DavitError, InvalidParameter, Unauthorized } from "../../core/errors.ts";
import type { Authorizer } from "./authorizer.ts";
import type { Endpoint, InsecureCheck } from "./endpoints.ts";
import { describeRequest, RequestFailure, reworded } from "./failures.ts";
import type { Http, HttpAnswer, HttpRequest } from "./http.ts";
import { refusal } from "./refusal.ts";

export interface SessionRequest {
  method: HttpRequest["method"];
  /** Path from the endpoint's root (`v2/…`), or an address that the registry gave. */
  target: string | URL;
  scopes: readonly string[];
  headers?: Record<string, string>;
  body?: HttpRequest["body"];
  signal?: AbortSignal | undefined;
  /** How messages name the request, where Docker asks in another way. */
  toldAs?: HttpRequest["method"];
  /** Statuses that are answers; any other throws. */
  expect: readonly number[];
}

export interface SessionAnswer extends HttpAnswer {
  /** Where it came from in the end. */
  readonly url: URL;
}

/** To a HEAD that was sent without credentials. */
export interface EarlyAnswer {
  readonly url: URL;
  readonly accept: string;
  readonly answer: HttpAnswer;
  readonly since: number;
}

/** How old an early answer may be: a tag may be moved while layers are compressed. Milliseconds. */
const longestEarly = 1000;

const mostRedirects = 10;

export class Session {
  readonly endpoint: Endpoint;
  readonly #http: Http;
  readonly #authorizer: Authorizer;
  readonly #isInsecure: InsecureCheck;
  /** The registry has answered once. */
  #isKnown = false;
  /** What it has answered to a question that is about to be asked. */
  #early: EarlyAnswer | undefined;

  constructor(parts: {
    endpoint: Endpoint;
    http: Http;
    authorizer: Authorizer;
    isInsecure: InsecureCheck;
    early?: EarlyAnswer | undefined;
  }) {
    this.#early = parts.early;
    this.endpoint = parts.endpoint;
    this.#http = parts.http;
    this.#authorizer = parts.authorizer;
    this.#isInsecure = parts.isInsecure;
  }

  /** @throws RequestFailure, Unauthorized, InvalidParameter */
  async request(request: SessionRequest): Promise<SessionAnswer> {
    const url =
      typeof request.target === "string" ? new URL(request.target, this.endpoint.base) : request.target;
    const authorization = await this.#authorization(request, url);
    const answer = await this.#follow(request, url, authorization);
    if (request.expect.includes(answer.status)) return answer;
    const isOurs = isSameOrigin(answer.url, this.endpoint.base);
    const mayRepeat =
      answer.status === 401 && isOurs && (await this.#challenged(request, answer, authorization));
    if (!mayRepeat) throw await refusal(answer, describeRequest(request.method, answer.url));
    await answer.discard();
    // Once more, with what the challenge asks for; a second 401 is final.
    const again = await this.#follow(request, url, await this.#authorization(request, url));
    if (request.expect.includes(again.status)) return again;
    throw await refusal(again, describeRequest(request.method, again.url));
  }

  async #challenged(
    request: SessionRequest,
    answer: SessionAnswer,
    sent: string | undefined,
  ): Promise<boolean> {
    try {
      return this.#authorizer.challenged(answer.headers.get("www-authenticate"), request.scopes, sent);
    } catch (error) {
      await answer.discard();
      throw during(request.toldAs ?? request.method, answer.url, error);
    }
  }

  async #authorization(request: SessionRequest, url: URL): Promise<string | undefined> {
    if (!isSameOrigin(url, this.endpoint.base)) return undefined;
    try {
      return await this.#authorizer.header(request.scopes);
    } catch (error) {
      throw during(request.toldAs ?? request.method, url, error);
    }
  }

  /** Redirects by hand: what is meant for the registry is sent to no other host, nor in the clear. */
  async #follow(
    request: SessionRequest,
    first: URL,
    authorization: string | undefined,
  ): Promise<SessionAnswer> {
    const { headers = {}, body, signal } = request;
    let url = first;
    let method = request.method;
    let isOurs = true;
    for (let redirects = 0; ; redirects += 1) {
      isOurs &&= isSameOrigin(url, this.endpoint.base);
      const verify = isOurs ? this.endpoint.verify : !(await this.#isInsecure(url.host));
      const own = isOurs && authorization !== undefined ? { Authorization: authorization } : {};
      const hasBody = body !== undefined && method === request.method;
      const sent = { method, url, headers: { ...headers, ...own }, signal, ...(hasBody ? { body } : {}) };
      const answer = await this.#send(sent, verify);
      const location = redirectOf(answer);
      if (location === undefined || request.expect.includes(answer.status)) return { ...answer, url };
      await answer.discard();
      const words = describeRequest(method, url);
      if (redirects >= mostRedirects)
        throw new InvalidParameter(`${words}: stopped after ${mostRedirects} redirects`);
      const next = URL.parse(location, url.href);
      if (next === null || (next.protocol !== "https:" && next.protocol !== "http:")) {
        throw new InvalidParameter(`${words}: redirected to an invalid address`);
      }
      if (next.protocol === "http:" && url.protocol === "https:" && !(await this.#isInsecure(next.host))) {
        throw new InvalidParameter(`${words}: redirected from HTTPS to plain HTTP at ${next.host}; refused`);
      }
      if (answer.status === 303 && method !== "HEAD") method = "GET";
      url = next;
    }
  }

  /** A registry that was there a moment ago may be back in a moment; one that never was is a wrong name. */
  async #send(request: HttpRequest, verify: boolean): Promise<HttpAnswer> {
    const early = this.#early;
    if (early !== undefined && isAnswered(request, early)) {
      this.#early = undefined;
      this.#isKnown = true;
      return early.answer;
    }
    try {
      const answer = await this.#http.send(request, verify);
      this.#isKnown = true;
      return answer;
    } catch (error) {
      const isWrongName = error instanceof RequestFailure && error.isAbsent && !this.#isKnown;
      throw isWrongName ? reworded(error, { isPassing: false }) : error;
    }
  }
}

function isAnswered({ method, url, headers, body }: HttpRequest, early: EarlyAnswer): boolean {
  const isSame = method === "HEAD" && body === undefined && url.href === early.url.href;
  const isFresh = performance.now() - early.since < longestEarly;
  return isSame && isFresh && headers.Authorization === undefined && headers.Accept === early.accept;
}

function redirectOf(answer: HttpAnswer): string | undefined {
  const isRedirect = [301, 302, 303, 307, 308].includes(answer.status);
  return isRedirect ? (answer.headers.get("location") ?? undefined) : undefined;
}

export function isSameOrigin(a: URL, b: URL): boolean {
  return a.protocol === b.protocol && a.host === b.host;
}

/** A fault of authorization belongs to the request that needed it: `Get "https://…": no basic auth credentials`. */
function during(method: string, url: URL, error: unknown): unknown {
  if (!(error instanceof DavitError)) return error;
  const message = `${describeRequest(method, url)}: ${error.message}`;
  if (error instanceof RequestFailure) return reworded(error, { message });
  if (error instanceof Unauthorized) return new Unauthorized(message, { cause: error });
  if (error instanceof InvalidParameter) return new InvalidParameter(message, { cause: error });
  return error;
}
