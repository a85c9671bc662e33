/** RemoteEngine against servers that answer in every way that HTTP allows, well and badly. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hijack } from "../../src/api/client/hijack.ts";
import { parseHost } from "../../src/api/client/host.ts";
import { openRemoteEngine } from "../../src/api/client/index.ts";
import { jsonLines } from "../../src/api/client/lines.ts";
import { demultiplex } from "../../src/api/client/multiplex.ts";
import { compareVersions } from "../../src/api/client/transport.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function socketPath(): string {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-api-"));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, "server.sock");
}

/** A server that reads a request's head and body, and then says `parts`, each in a packet of its own. */
function rawServer(
  parts: (string | Uint8Array)[],
  options: { end?: boolean } = {},
): { host: string; received: () => string } {
  const path = socketPath();
  let received = "";
  const server = Bun.listen<undefined>({
    unix: path,
    allowHalfOpen: true,
    socket: {
      async data(socket, chunk) {
        const first = !received.includes("\r\n\r\n");
        received += chunk.toString("latin1");
        if (!first || !received.includes("\r\n\r\n")) return;
        for (const part of parts) {
          socket.write(part);
          socket.flush();
          await Bun.sleep(5);
        }
        if (options.end !== false) socket.end();
      },
    },
  });
  cleanups.push(() => server.stop(true));
  return { host: `unix://${path}`, received: () => received };
}

/** An HTTP server on a unix socket. */
function httpServer(answer: (request: Request) => Response | Promise<Response>): string {
  const path = socketPath();
  const server = Bun.serve({ unix: path, fetch: answer });
  cleanups.push(() => void server.stop(true));
  return `unix://${path}`;
}

async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}

async function textOf(input: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await all(input)).toString("latin1");
}

describe("hosts", () => {
  test.each([
    ["unix:///run/x.sock", { kind: "unix", path: "/run/x.sock" }],
    ["tcp://127.0.0.1:2375", { kind: "tcp", hostname: "127.0.0.1", port: 2375, tls: undefined }],
    ["tcp://example.org", { kind: "tcp", hostname: "example.org", port: 2375 }],
    ["tcp://[::1]:99", { kind: "tcp", hostname: "::1", port: 99 }],
    ["http://example.org:80", { kind: "tcp", port: 80, tls: undefined }],
    ["https://example.org", { kind: "tcp", port: 2376, tls: {} }],
  ])("%s is understood", (text, expected) => {
    expect(parseHost(text)).toMatchObject(expected);
  });

  test.each(["", "x", "unix://", "ftp://x", "://x", "tcp://"])("%j is refused", (text) => {
    expect(() => parseHost(text)).toThrow(`unable to parse docker host \`${text}\``);
  });

  test("nobody there: Docker's words", async () => {
    const path = socketPath();
    const words = (host: string) =>
      `Cannot connect to the Docker daemon at ${host}. Is the docker daemon running?`;
    for (const host of [`unix://${path}`, "tcp://127.0.0.1:1"]) {
      const failure = await openRemoteEngine(host).catch((error: unknown) => error);
      expect(failure).toMatchObject({ kind: "unavailable", message: words(host) });
    }
  });
});

describe("versions", () => {
  test("are compared by their numbers", () => {
    expect(compareVersions("1.9", "1.41")).toBe(-1);
    expect(compareVersions("1.41", "1.41")).toBe(0);
    expect(compareVersions("2.0", "1.51")).toBe(1);
  });

  test.each([
    ["1.41", "/v1.41/version"],
    ["1.99", "/v1.51/version"],
    ["", "/v1.24/version"],
    ["nonsense", "/v1.24/version"],
  ])("a server that says %j is asked as %s", async (offered, expected) => {
    const asked: string[] = [];
    const host = httpServer((request) => {
      asked.push(new URL(request.url).pathname);
      return new Response("{}", { headers: { "Api-Version": offered } });
    });
    const engine = await openRemoteEngine(host);
    await engine.system.version();
    expect(asked).toEqual(["/_ping", expected]);
  });

  test("a version that was given is not negotiated", async () => {
    const asked: string[] = [];
    const host = httpServer((request) => {
      asked.push(new URL(request.url).pathname);
      return new Response("{}");
    });
    await (await openRemoteEngine(host, { apiVersion: "1.30" })).system.version();
    expect(asked).toEqual(["/v1.30/version"]);
  });
});

describe("answers", () => {
  test.each([
    [400, "invalid"],
    [401, "unauthorized"],
    [403, "forbidden"],
    [404, "notFound"],
    [409, "conflict"],
    [418, "invalid"],
    [500, "system"],
    [501, "notImplemented"],
    [503, "unavailable"],
  ])("status %d is %s, with the server's message", async (status, kind) => {
    const host = httpServer(() => Response.json({ message: "said so\n" }, { status }));
    const engine = await openRemoteEngine(host, { apiVersion: "1.41" });
    const failure = await engine.containers.inspect("x").catch((error: unknown) => error);
    expect(failure).toMatchObject({ kind, message: "said so" });
  });

  test("an error that is not JSON is shown as it is", async () => {
    const host = httpServer(() => new Response("<h1>proxy</h1>", { status: 502 }));
    const engine = await openRemoteEngine(host, { apiVersion: "1.41" });
    await expect(engine.containers.inspect("x")).rejects.toThrow("<h1>proxy</h1>");
  });

  test("names are quoted in paths, and an empty one is refused", async () => {
    const asked: string[] = [];
    const host = httpServer((request) => {
      asked.push(new URL(request.url).pathname);
      return new Response("[]");
    });
    const engine = await openRemoteEngine(host, { apiVersion: "1.41" });
    await engine.containers.inspect("a/../b?c");
    await engine.containers.inspect("/name");
    await engine.images.history("registry:5000/a/b@sha256:0");
    expect(asked).toEqual([
      "/v1.41/containers/a%2F..%2Fb%3Fc/json",
      "/v1.41/containers/name/json",
      "/v1.41/images/registry:5000/a/b@sha256:0/history",
    ]);
    expect(() => engine.containers.inspect("")).toThrow("value is empty");
    expect(() => engine.images.history("../containers")).toThrow("invalid reference format");
  });

  test("a connection that breaks in the middle of an answer is an error", async () => {
    const { host } = rawServer(["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1,"]);
    const engine = await openRemoteEngine(host, { apiVersion: "1.41" });
    await expect(engine.networks.list()).rejects.toThrow();
  });

  test("an error among progress messages is thrown", async () => {
    const lines = '{"stream":"one\\n"}\r\n{"errorDetail":{"message":"broken"},"error":"broken"}\r\n';
    const host = httpServer(async (request) => {
      await request.bytes();
      return new Response(lines);
    });
    const engine = await openRemoteEngine(host, { apiVersion: "1.41" });
    const seen: unknown[] = [];
    const loading = (async () => {
      for await (const message of engine.images.load(chunksOf(new Uint8Array(10), 3))) seen.push(message);
    })();
    await expect(loading).rejects.toThrow("broken");
    expect(seen).toEqual([{ stream: "one\n" }]);
  });

  test("a request body is streamed: all of it arrives", async () => {
    let arrived = 0;
    const host = httpServer(async (request) => {
      for await (const chunk of request.body ?? []) arrived += chunk.length;
      return new Response("");
    });
    const engine = await openRemoteEngine(host, { apiVersion: "1.41" });
    await all(engine.images.load(chunksOf(new Uint8Array(5_000_000), 65_000)));
    expect(arrived).toBe(5_000_000);
  });
});

describe("hijacked connections", () => {
  const endpoint = (host: string) => parseHost(host);
  const upgrade =
    "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

  test("what comes in one packet with the head is not lost", async () => {
    const { host, received } = rawServer([`${upgrade}first`, "second"]);
    const raw = await hijack(endpoint(host), "/v1.41/exec/x/start", { Tty: true });
    expect(raw.contentType).toBe("application/vnd.docker.raw-stream");
    expect(await textOf(raw.input)).toBe("firstsecond");
    expect(received()).toContain("Upgrade: tcp\r\n");
    expect(received()).toEndWith('\r\n\r\n{"Tty":true}');
  });

  test("a head that comes byte by byte is read", async () => {
    const { host } = rawServer([...`${upgrade}x`].map((letter) => letter));
    const raw = await hijack(endpoint(host), "/x");
    expect(await textOf(raw.input)).toBe("x");
  });

  test("an old server's 200 is as good", async () => {
    const { host } = rawServer([
      "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nhello",
    ]);
    expect(await textOf((await hijack(endpoint(host), "/x")).input)).toBe("hello");
  });

  test.each([
    ["with a length", ['HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n{"message":', '"gone"}extra']],
    [
      "in chunks",
      [
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
        '5\r\n{"mes\r\nd\r\nsage":"gone"}\r\n',
        "0\r\n\r\n",
      ],
    ],
    ["up to the end", ['HTTP/1.1 404 Not Found\r\n\r\n{"message":"gone"}']],
  ])("a refusal %s is told", async (_, parts) => {
    const { host } = rawServer(parts);
    const failure = await hijack(endpoint(host), "/x").catch((error: unknown) => error);
    expect(failure).toMatchObject({ kind: "notFound", message: "gone" });
  });

  test.each([
    ["nothing", []],
    ["half a head", ["HTTP/1.1 101 UPG"]],
    ["no HTTP", ["SSH-2.0-x\r\n\r\n"]],
    ["an endless head", ["HTTP/1.1 101 U\r\n", "x: y\r\n".repeat(20_000)]],
  ])("%s is an error", async (_, parts) => {
    const { host } = rawServer(parts);
    await expect(hijack(endpoint(host), "/x")).rejects.toThrow();
  });

  test("after the end of our side, what the peer says still arrives", async () => {
    const path = socketPath();
    let heard = "";
    const server = Bun.listen<undefined>({
      unix: path,
      allowHalfOpen: true,
      socket: {
        data(socket, chunk) {
          const text = chunk.toString("latin1");
          if (text.startsWith("POST")) socket.write(upgrade);
          else heard += text;
        },
        end(socket) {
          socket.end(`heard ${heard.length}`);
        },
      },
    });
    cleanups.push(() => server.stop(true));
    const raw = await hijack(endpoint(`unix://${path}`), "/x");
    // Not awaited one by one: they arrive in order all the same.
    await Promise.all(Array.from({ length: 50 }, () => raw.write(new Uint8Array(40_000).fill(65))));
    await raw.closeWrite();
    expect(await textOf(raw.input)).toBe("heard 2000000");
  });

  test("unread output holds the server back, and then all arrives", async () => {
    const path = socketPath();
    const total = 40 << 20;
    let taken = 0;
    const pump = (socket: { write(data: Uint8Array): number; end(): void }): void => {
      while (taken < total) {
        const written = socket.write(new Uint8Array(Math.min(1 << 18, total - taken)));
        if (written <= 0) return;
        taken += written;
      }
      socket.end();
    };
    const server = Bun.listen<undefined>({
      unix: path,
      socket: {
        data(socket) {
          socket.write(upgrade);
          pump(socket);
        },
        drain: (socket) => pump(socket),
      },
    });
    cleanups.push(() => server.stop(true));
    const raw = await hijack(endpoint(`unix://${path}`), "/x");
    await Bun.sleep(200);
    expect(taken).toBeLessThan(total / 4);
    let size = 0;
    for await (const chunk of raw.input) size += chunk.length;
    expect(size).toBe(total);
  });

  test("writing to a peer that is gone fails", async () => {
    const { host } = rawServer([upgrade]);
    const raw = await hijack(endpoint(host), "/x");
    await textOf(raw.input);
    await expect(raw.write(Buffer.from("x"))).rejects.toThrow("closed");
  });
});

describe("frames", () => {
  const frame = (stream: number, text: string): Buffer => {
    const header = Buffer.alloc(8);
    header[0] = stream;
    header.writeUInt32BE(text.length, 4);
    return Buffer.concat([header, Buffer.from(text)]);
  };
  const stream = Buffer.concat([frame(1, "out"), frame(2, "err"), frame(1, ""), frame(1, "more\n")]);

  test.each([1, 2, 3, 7, 8, 9, 11, 1000])("are taken apart in pieces of %d bytes", async (size) => {
    const frames = await all(demultiplex(chunksOf(stream, size)));
    const text = (name: string) =>
      frames
        .filter((item) => item.stream === name)
        .map((item) => Buffer.from(item.data).toString())
        .join("");
    expect([text("stdout"), text("stderr")]).toEqual(["outmore\n", "err"]);
  });

  test("what is not framed, or cut off, is an error", async () => {
    await expect(all(demultiplex(chunksOf(Buffer.from("plain text, no frames"), 5)))).rejects.toThrow(
      "not framed",
    );
    await expect(all(demultiplex(chunksOf(stream.subarray(0, 4), 5)))).rejects.toThrow("inside a frame");
    await expect(all(demultiplex(chunksOf(stream.subarray(0, 10), 5)))).rejects.toThrow("inside a frame");
  });

  test("the server's own error is thrown", async () => {
    await expect(all(demultiplex(chunksOf(frame(3, "it broke\n"), 4)))).rejects.toThrow("it broke");
  });
});

describe("JSON lines", () => {
  test.each([1, 2, 5, 100])("come whole, in pieces of %d bytes", async (size) => {
    const text = '{"a":1}\r\n\n{"b":"é"}\n[3]';
    expect(await all(jsonLines<unknown>(chunksOf(Buffer.from(text), size)))).toEqual([
      { a: 1 },
      { b: "é" },
      [3],
    ]);
  });

  test("an endless line and nonsense are errors", async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield new Uint8Array(1 << 20).fill(32);
    }
    await expect(all(jsonLines(endless()))).rejects.toThrow("too long");
    await expect(all(jsonLines(chunksOf(Buffer.from("{nope\n"), 10)))).rejects.toThrow("not JSON");
  });
});

describe.skipIf(Bun.which("openssl") === null)("TLS", () => {
  test("a server is trusted by its certificate only, and shown ours", async () => {
    const directory = mkdtempSync(join(tmpdir(), "davit-test-api-"));
    cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
    const [keyFile, certFile] = [join(directory, "key.pem"), join(directory, "cert.pem")];
    const made = Bun.spawnSync([
      ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-keyout", keyFile, "-out", certFile, "-days", "2", "-subj", "/CN=localhost"],
      ...["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
    ]);
    expect(made.exitCode).toBe(0);
    const [key, cert] = [await Bun.file(keyFile).text(), await Bun.file(certFile).text()];
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      tls: { key, cert, ca: cert, requestCert: true, rejectUnauthorized: true },
      fetch: () => Response.json({ ApiVersion: "1.41" }, { headers: { "Api-Version": "1.41" } }),
    });
    cleanups.push(() => void server.stop(true));
    const host = `tcp://127.0.0.1:${server.port}`;
    const engine = await openRemoteEngine(host, { tls: { ca: cert, cert, key } });
    expect((await engine.system.version()).ApiVersion).toBe("1.41");
    await expect(openRemoteEngine(host, { tls: { cert, key } })).rejects.toThrow();
    await expect(openRemoteEngine(host, { tls: { ca: cert } })).rejects.toThrow();
    await expect(openRemoteEngine(host)).rejects.toThrow();
  });
});
