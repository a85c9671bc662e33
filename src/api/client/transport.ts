/**
 * HTTP to one Engine API: versioned paths, JSON bodies, typed failures. Ordinary requests go through `fetch`
 * (which keeps back pressure both ways); streams that change protocol go through `hijack.ts`.
 */
import { InvalidParameter, NotImplemented } from "../../core/errors.ts";
import { connectionFailure, errorOfStatus, messageOfBody } from "./failures.ts";
import { hijack, type RawStream } from "./hijack.ts";
import { bunTls, type Endpoint } from "./host.ts";

export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

export interface RequestOptions {
  query?: Query;
  /** On top of those that every request has. */
  headers?: Record<string, string>;
  /** Sent as JSON. */
  json?: object;
  /** Sent as it comes, in chunks. */
  body?: AsyncIterable<Uint8Array>;
  signal?: AbortSignal | undefined;
  /** No version prefix: `/_ping`. */
  unversioned?: boolean;
}

/** Longest error body or plain JSON body that is read. An inspect is a few kilobytes, a long list some megabytes. */
const bodyLimit = 64 << 20;
const errorLimit = 1 << 20;

export class Transport {
  readonly endpoint: Endpoint;
  /** Negotiated: `1.41`. */
  version: string;
  readonly #open = new Set<AbortController>();

  constructor(endpoint: Endpoint, version: string) {
    this.endpoint = endpoint;
    this.version = version;
  }

  /** True when the API in use is at least `version`. */
  atLeast(version: string): boolean {
    return compareVersions(this.version, version) >= 0;
  }

  /**
   * For what older servers would ignore without a word. @param what the flag that needs it: `--platform`
   * @throws NotImplemented in the docker CLI's words when the API in use is older than `version`.
   */
  require(version: string, what: string): void {
    if (this.atLeast(version)) return;
    throw new NotImplemented(
      `"${what}" requires API version ${version}, but the Docker daemon API version is ${this.version}`,
    );
  }

  /** Sends and returns the response once its head is here. @throws DavitError for any status above 299. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const controller = new AbortController();
    const onAbort = (): void => controller.abort(options.signal?.reason);
    if (options.signal?.aborted) onAbort();
    options.signal?.addEventListener("abort", onAbort, { once: true });
    this.#open.add(controller);
    let response: Response;
    try {
      response = await fetch(this.#url(path, options), {
        method,
        headers: {
          "Accept-Encoding": "identity",
          "User-Agent": "davit",
          ...(options.json === undefined ? {} : { "Content-Type": "application/json" }),
          ...(options.body === undefined ? {} : { "Content-Type": "application/x-tar" }),
          ...options.headers,
        },
        signal: controller.signal,
        redirect: "manual",
        // A wait, a log that is followed or an event stream may be silent for days.
        timeout: false,
        ...this.#connection(),
        ...(options.json === undefined ? {} : { body: JSON.stringify(options.json) }),
        ...(options.body === undefined ? {} : { body: toReadableStream(options.body) }),
      });
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      throw connectionFailure(this.endpoint, error);
    } finally {
      this.#open.delete(controller);
    }
    if (response.ok) return response;
    if (response.status < 400 && response.status !== 304) {
      throw errorOfStatus(500, `unexpected answer from ${this.endpoint.host}: status ${response.status}`);
    }
    const text = response.status === 304 ? "" : await readText(response, errorLimit);
    throw errorOfStatus(response.status, messageOfBody(response.status, text));
  }

  /** Sends and reads a JSON answer. */
  async json<Result>(method: string, path: string, options: RequestOptions = {}): Promise<Result> {
    const response = await this.request(method, path, options);
    const text = await this.#guard(readText(response, bodyLimit));
    return JSON.parse(text);
  }

  /** Sends and reads the answer to its end. */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<void> {
    const response = await this.request(method, path, options);
    await this.#guard(readText(response, bodyLimit));
  }

  /** Sends and gives the answer's body as it comes. The caller iterates it to its end, or leaves the loop. */
  async *stream(method: string, path: string, options: RequestOptions = {}): AsyncGenerator<Uint8Array> {
    const response = await this.request(method, path, options);
    yield* this.bodyOf(response, options.signal);
  }

  /** The body of a response, with failures in davit's terms. */
  async *bodyOf(response: Response, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    if (response.body === null) return;
    const reader = response.body.getReader();
    const onAbort = (): void => {
      // The read below settles as done; nothing more is wanted of this connection.
      void reader.cancel().catch(() => undefined);
    };
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for (;;) {
        const { done, value } = await this.#guard(reader.read());
        if (signal?.aborted) throw signal.reason;
        if (done) return;
        yield value;
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      await reader.cancel().catch(() => undefined);
    }
  }

  /** Sends and takes over the connection (`Upgrade: tcp`). */
  async hijack(path: string, options: { query?: Query; json?: object } = {}): Promise<RawStream> {
    const url = this.#url(path, options);
    try {
      return await hijack(this.endpoint, url.pathname + url.search, options.json);
    } catch (error) {
      throw connectionFailure(this.endpoint, error);
    }
  }

  /** Ends requests that wait for their head. */
  close(): void {
    for (const controller of this.#open) controller.abort();
  }

  async #guard<Result>(work: Promise<Result>): Promise<Result> {
    try {
      return await work;
    } catch (error) {
      throw connectionFailure(this.endpoint, error);
    }
  }

  #url(path: string, options: RequestOptions): URL {
    const authority = this.endpoint.kind === "unix" ? "docker" : authorityOf(this.endpoint);
    const scheme = this.endpoint.kind === "tcp" && this.endpoint.tls !== undefined ? "https" : "http";
    const prefix = options.unversioned === true ? "" : `/v${this.version}`;
    const url = new URL(`${scheme}://${authority}${prefix}${path}`);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value === undefined) continue;
      if (typeof value === "object") for (const item of value) url.searchParams.append(name, item);
      else url.searchParams.set(name, typeof value === "boolean" ? (value ? "1" : "0") : String(value));
    }
    return url;
  }

  #connection(): { unix?: string; tls?: ReturnType<typeof bunTls> } {
    if (this.endpoint.kind === "unix") return { unix: this.endpoint.path };
    return this.endpoint.tls === undefined ? {} : { tls: bunTls(this.endpoint.tls) };
  }
}

function authorityOf(endpoint: { hostname: string; port: number }): string {
  const name = endpoint.hostname.includes(":") ? `[${endpoint.hostname}]` : endpoint.hostname;
  return `${name}:${endpoint.port}`;
}

/** -1, 0 or 1, comparing `1.9` and `1.41` by their numbers. */
export function compareVersions(left: string, right: string): number {
  const [leftMajor = 0, leftMinor = 0] = left.split(".").map(Number);
  const [rightMajor = 0, rightMinor = 0] = right.split(".").map(Number);
  return Math.sign(leftMajor - rightMajor || leftMinor - rightMinor);
}

/**
 * `id` as one segment of a path. @throws InvalidParameter when it is empty, as that would name another route.
 */
export function segment(id: string, what: string): string {
  if (id.trim() === "") throw new InvalidParameter(`invalid ${what} name or ID: value is empty`);
  return encodeURIComponent(id);
}

/** A container's id or name in a path. Names may be given as the API shows them, with a leading slash. */
export function containerSegment(id: string): string {
  return segment(id.replace(/^\//, ""), "container");
}

/** An image reference in a path: slashes, colons and `@` stand as they are. */
export function imageSegment(reference: string): string {
  const encoded = segment(reference, "image")
    .replaceAll("%2F", "/")
    .replaceAll("%3A", ":")
    .replaceAll("%40", "@");
  // `..` and `.` would be folded away by URL parsing.
  if (encoded.split("/").some((part) => part === "." || part === ".." || part === "")) {
    throw new InvalidParameter("invalid reference format");
  }
  return encoded;
}

/** The whole body as text, unless it is longer than `limit` bytes. */
async function readText(response: Response, limit: number): Promise<string> {
  if (response.body === null) return "";
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > limit) throw new Error(`answer is longer than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function toReadableStream(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}
