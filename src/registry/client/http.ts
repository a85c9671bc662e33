/**
 * One request and one answer: the only place that calls `fetch`. No retries, no redirects, no credentials of its own.
 *
 * Tried under Bun 1.4.5 with a 500 MB blob over loopback, 2 cores: fetch 1.2 GB/s at 0.45 s of CPU and 65 MB of memory,
 * node:http 1.0 GB/s at 0.53 s and 77 MB, a socket with a parser of our own 2.3 GB/s at 0.26 s. All three keep back a
 * server whose reader is slow (a reader that stood still for 3 s: 38 MB). fetch sends a file with sendfile(2) (500 MB:
 * 45 ms of CPU, 27 MB) and a generator with a promised length. So fetch: TLS, proxies and keep-alive come with it.
 */

import type { TlsOptions, Trust } from "./certificates.ts";
import { connectionFailure } from "./failures.ts";
import type { Patience } from "./patience.ts";
import { type ProxySettings, proxyFor } from "./proxies.ts";
import { Watchdog } from "./watchdog.ts";

/** A body that can be made again for another attempt. Bytes of its length are promised to the server. */
export interface RequestBody {
  open(): Uint8Array | string | Blob | AsyncIterable<Uint8Array>;
  length: number;
}

export interface HttpRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: URL;
  headers: Record<string, string>;
  body?: RequestBody;
  signal?: AbortSignal | undefined;
}

/** An answer whose body is read under a watchdog: a server that falls silent is a broken connection. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** To be read to its end or cancelled. @throws RequestFailure when the connection breaks. */
  body(): AsyncGenerator<Uint8Array>;
  /** Lets go of the connection. Harmless after the body was read. */
  discard(): Promise<void>;
}

const proxyVariables = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"];

export class Http {
  readonly #proxies: ProxySettings;
  readonly #trust: Trust;
  readonly #userAgent: string;
  readonly #patience: Patience;

  constructor(parts: { proxies: ProxySettings; trust: Trust; userAgent: string; patience: Patience }) {
    this.#proxies = parts.proxies;
    this.#trust = parts.trust;
    this.#userAgent = parts.userAgent;
    this.#patience = parts.patience;
  }

  /** `verify`: the server's certificate has to be good. @throws RequestFailure; the reason of an aborted signal. */
  async send(request: HttpRequest, verify: boolean): Promise<HttpAnswer> {
    const { method, url, body, signal } = request;
    const watchdog = new Watchdog(body === undefined ? this.#patience.silence : this.#patience.uploadSilence);
    const abort = signal === undefined ? watchdog.signal : AbortSignal.any([signal, watchdog.signal]);
    const fail = (error: unknown) => {
      signal?.throwIfAborted();
      throw connectionFailure(method, url, watchdog.signal.aborted ? watchdog.signal.reason : error);
    };
    signal?.throwIfAborted();
    const route = this.#route(url, verify);
    watchdog.arm();
    let response: Response;
    const source = body?.open();
    const sending = source === undefined || !isStream(source) ? source : new Sending(source, watchdog);
    try {
      response = await directFetch(url, {
        method,
        headers: this.#headers(request),
        redirect: "manual",
        signal: abort,
        // Blobs are wanted as they lie in the registry, not unpacked on the way.
        decompress: false,
        timeout: false,
        ...(sending === undefined ? {} : { body: sending instanceof Sending ? sending.stream() : sending }),
        ...route,
      });
    } catch (error) {
      watchdog.close();
      // The source of an upload that failed is a fault on our side: no connection failure, and no reason to retry.
      if (sending instanceof Sending && sending.fault !== undefined) throw sending.fault.error;
      return fail(error);
    }
    watchdog.disarm();
    return {
      status: response.status,
      headers: response.headers,
      body: () => readBody(response, watchdog, fail),
      discard: async () => {
        watchdog.close();
        // The answer has been judged already: how its connection ends changes nothing.
        if (!response.bodyUsed) await response.body?.cancel().catch(() => undefined);
      },
    };
  }

  #headers({ headers, body }: HttpRequest): Record<string, string> {
    const length = body === undefined ? {} : { "Content-Length": String(body.length) };
    return { "User-Agent": this.#userAgent, ...length, ...headers };
  }

  #route(url: URL, verify: boolean): { proxy?: string; tls?: TlsOptions } {
    const proxy = proxyFor(url, this.#proxies);
    return {
      ...(proxy === undefined ? {} : { proxy }),
      ...(url.protocol === "https:" ? { tls: this.#trust.for(url.host, verify) } : {}),
    };
  }
}

/**
 * Bun's fetch reads proxies from the environment by itself, by rules of its own, and has no word for "none". It does so
 * before it returns its promise, so the variables are hidden for the length of that call.
 */
function directFetch(url: URL, init: BunFetchRequestInit & { timeout: false }): Promise<Response> {
  const hidden = proxyVariables.map((name) => [name, process.env[name]] as const);
  try {
    for (const [name, value] of hidden) if (value !== undefined) delete process.env[name];
    return fetch(url, init);
  } finally {
    for (const [name, value] of hidden) if (value !== undefined) process.env[name] = value;
  }
}

async function* readBody(
  response: Response,
  watchdog: Watchdog,
  fail: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  try {
    for (;;) {
      watchdog.arm();
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      // A slow consumer is no silent server.
      watchdog.disarm();
      if (done || value === undefined) return;
      yield value;
    }
  } catch (error) {
    fail(error);
  } finally {
    watchdog.close();
    await reader?.cancel().catch(() => undefined);
  }
}

/** A stream on its way up: each chunk taken is a sign of life, and its own failure is told apart. */
class Sending {
  fault: { error: unknown } | undefined;
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #watchdog: Watchdog;

  constructor(source: AsyncIterable<Uint8Array>, watchdog: Watchdog) {
    this.#source = source;
    this.#watchdog = watchdog;
  }

  async *stream(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of this.#source) {
        this.#watchdog.arm();
        yield chunk;
      }
    } catch (error) {
      this.fault = { error };
      throw error;
    }
  }
}

function isStream(source: object | string): source is AsyncIterable<Uint8Array> {
  return typeof source === "object" && Symbol.asyncIterator in source;
}
