/** Registries that misbehave as a test says, and a client that does not wait long. Real servers on loopback. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "../../src/core/ids.ts";
import type { ByteSource } from "../../src/images/layers/tar-entry.ts";
import { digestOf, mediaTypes } from "../../src/images/manifest.ts";
import {
  openRegistries,
  type Patience,
  type Registries,
  type RegistryConfig,
} from "../../src/registry/client/index.ts";

/** Milliseconds. */
export const impatient: Partial<Patience> = {
  attempts: 4,
  firstDelay: 5,
  longestDelay: 3_000,
  silence: 5_000,
  uploadSilence: 5_000,
};

export function registriesFor(
  config: Partial<RegistryConfig> = {},
  patience: Partial<Patience> = {},
): Registries {
  const usual = { mirrors: [], insecure: [], certificateDirectories: [], proxies: {} };
  return openRegistries(
    { ...usual, ...config },
    { userAgent: "davit/test", patience: { ...impatient, ...patience } },
  );
}

/** What a server was asked. */
export interface Asked {
  method: string;
  /** Path and query. */
  target: string;
  headers: Headers;
  body: string;
}

export interface TestServer extends AsyncDisposable {
  /** `127.0.0.1:…`, which is also a registry's name. */
  readonly host: string;
  readonly origin: string;
  readonly asked: Asked[];
  /** `GET /v2/` and the like, without what the client asks to find the registry. */
  lines(): string[];
}

export type Handler = (asked: Asked, request: Request) => Response | Promise<Response>;

export interface ServeOptions {
  tls?: { cert: string; key: string; ca?: string };
  /** `handler` answers `GET /v2/` too, which the client asks first of every insecure registry. */
  root?: boolean;
}

/** An HTTP server that answers what `handler` says and remembers what it was asked. */
export function serve(handler: Handler, { tls, root = false }: ServeOptions = {}): TestServer {
  const asked: Asked[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 60,
    ...(tls === undefined ? {} : { tls: { ...tls, ...(tls.ca === undefined ? {} : { requestCert: true }) } }),
    fetch: async (request) => {
      const url = new URL(request.url);
      const target = url.pathname + url.search;
      const body = Buffer.from(await request.arrayBuffer()).toString("latin1");
      const entry = { method: request.method, target, headers: new Headers(request.headers), body };
      asked.push(entry);
      if (target === "/v2/" && !root) return new Response("{}");
      return await handler(entry, request);
    },
  });
  const host = `127.0.0.1:${server.port}`;
  return {
    host,
    origin: `${tls === undefined ? "http" : "https"}://${host}`,
    asked,
    lines: () =>
      asked.filter(({ target }) => target !== "/v2/").map(({ method, target }) => `${method} ${target}`),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** A server that writes what it likes. `answer` gets the head of each request; the second argument counts from 0. */
export async function serveRaw(
  answer: (socket: Socket, head: string, count: number) => void,
): Promise<AsyncDisposable & { host: string; heads: string[] }> {
  const heads: string[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    let text = "";
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (data) => {
      text += data.toString("latin1");
      // A TLS hello: this server speaks plain HTTP only.
      if (text.startsWith("\u0016")) return socket.destroy();
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) return undefined;
      const head = text.slice(0, end);
      text = text.slice(end + 4);
      if (/^GET \/v2\/ /.test(head)) return socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
      heads.push(head);
      return answer(socket, head, heads.length - 1);
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    host: `127.0.0.1:${address.port}`,
    heads,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}

/** A port on which nobody listens. */
export async function deadHost(): Promise<string> {
  await using server = await serveRaw(() => undefined);
  return server.host;
}

export interface Scratch extends Disposable {
  readonly path: string;
}

export function scratch(): Scratch {
  const path = mkdtempSync(join(tmpdir(), "davit-test-registry-client-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Bytes that look random and are the same each time. */
export function sampleBytes(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = seed;
  for (let at = 0; at < size; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export function blobOf(bytes: Uint8Array) {
  return { mediaType: mediaTypes.layerGzip, digest: digestOf(bytes), size: bytes.byteLength };
}

export function sourceOf(bytes: Uint8Array): () => ByteSource {
  return () => new Blob([new Uint8Array(bytes)]).stream();
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(source));
}

export function json(
  value: unknown,
  init: { status?: number; headers?: Record<string, string>; type?: string } = {},
): Response {
  return new Response(JSON.stringify(value), {
    ...init,
    headers: {
      "Content-Type": init.type ?? "application/json",
      ...Object.fromEntries(new Headers(init.headers)),
    },
  });
}

export function refuse(
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): Response {
  return json({ errors: [{ code, message }] }, { status, headers });
}

/** The failure of what has to fail. */
export async function failureOf(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Error) return error;
    throw new Error(`not an Error: ${String(error)}`);
  }
  throw new Error("it did not fail");
}

/** All that a failure says, with its causes: no secret may stand in it. */
export function everythingOf(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) parts.push(at.message, Bun.inspect(at));
  return parts.join("\n");
}

export interface Certificates {
  /** PEM. */
  authority: string;
  cert: string;
  key: string;
  clientCert: string;
  clientKey: string;
}

/** Why there can be no certificates here. */
export function missingForCertificates(): string | undefined {
  return Bun.which("openssl") === null ? "not installed: openssl" : undefined;
}

/** An authority of our own, a server at 127.0.0.1 and a client that it vouches for. */
export async function makeCertificates(directory: string): Promise<Certificates> {
  const at = (name: string) => join(directory, name);
  const openssl = async (...words: string[]) => {
    const run = Bun.spawn(["openssl", ...words], { stdout: "ignore", stderr: "pipe", cwd: directory });
    if ((await run.exited) !== 0) throw new Error(await run.stderr.text());
  };
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    "ca.key",
    "-out",
    "ca.crt",
    "-subj",
    "/CN=test authority",
    "-days",
    "2",
  );
  for (const name of ["server", "client"]) {
    await Bun.write(at(`${name}.ext`), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    await openssl("req", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    const signing = [
      "-CA",
      "ca.crt",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-days",
      "2",
      "-extfile",
      `${name}.ext`,
    ];
    await openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}.crt`, ...signing);
  }
  const read = (name: string) => Bun.file(at(name)).text();
  return {
    authority: await read("ca.crt"),
    cert: await read("server.crt"),
    key: await read("server.key"),
    clientCert: await read("client.crt"),
    clientKey: await read("client.key"),
  };
}

export const noSuchDigest = `sha256:${"0".repeat(64)}` as Digest;

/** True once something listens there. */
export async function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, "127.0.0.1");
  socket.on("connect", () => resolve(true));
  socket.on("error", () => resolve(false));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

/**
 * A way to a server that breaks: a connection is cut once it has carried as many bytes as the next number says. When the
 * numbers are used up, nothing is cut any more.
 */
export async function unreliableWay(
  target: string,
  limits: number[],
  direction: "up" | "down",
): Promise<AsyncDisposable & { host: string; cuts(): number }> {
  const sockets = new Set<Socket>();
  let cuts = 0;
  const server = createServer((near) => {
    const far = connect(Number(target.split(":")[1]), "127.0.0.1");
    let passed = 0;
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    far.pipe(near);
    (direction === "up" ? near : far).on("data", (data) => {
      passed += data.length;
      const [limit] = limits;
      if (limit === undefined || passed < limit) return;
      limits.shift();
      cuts += 1;
      near.destroy();
      far.destroy();
    });
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    host: `127.0.0.1:${address.port}`,
    cuts: () => cuts,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}
