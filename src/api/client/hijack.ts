/**
 * Connections that stop being HTTP: `POST …/attach` and `POST /exec/…/start` answer `101` (or `200` from old
 * servers) and the rest of the connection is the process's raw streams, both ways, with half-close.
 * `fetch` cannot do that, so this speaks the few lines of HTTP/1.1 that it takes on a socket of its own.
 */
import type { Socket } from "bun";
import { errorOfStatus, messageOfBody } from "./failures.ts";
import { bunTls, type Endpoint } from "./host.ts";

/** A two-way byte stream. */
export interface RawStream {
  /** The answer's Content-Type, lower case. */
  readonly contentType: string;
  /** What the peer sends; ends when it closes. Can be iterated once. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Resolves when the socket has taken all of it. @throws when the peer is gone. */
  write(data: Uint8Array): Promise<void>;
  /** Says that no more will be written; reading goes on. */
  closeWrite(): Promise<void>;
  close(): void;
}

/** A head longer than this is no Engine API. */
const headLimit = 64 << 10;
const errorBodyLimit = 1 << 20;
/** Unread bytes after which the peer has to wait. */
const highWater = 1 << 20;

/** @param target path and query. @throws DavitError with the server's message when it refuses. */
export async function hijack(endpoint: Endpoint, target: string, json?: object): Promise<RawStream> {
  const connection = await Connection.open(endpoint);
  try {
    const body = Buffer.from(json === undefined ? "" : JSON.stringify(json));
    const head = [
      `POST ${target} HTTP/1.1`,
      `Host: ${endpoint.kind === "unix" ? "docker" : endpoint.hostname}`,
      "User-Agent: davit",
      "Connection: Upgrade",
      "Upgrade: tcp",
      ...(json === undefined ? [] : ["Content-Type: application/json"]),
      `Content-Length: ${body.length}`,
    ];
    await connection.write(Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), body]));
    const answer = await readHead(connection);
    if (answer.status !== 101 && answer.status !== 200) {
      const text = await readErrorBody(connection, answer.headers);
      throw errorOfStatus(answer.status, messageOfBody(answer.status, text));
    }
    return {
      contentType: (answer.headers.get("content-type") ?? "").toLowerCase(),
      input: connection.chunks(),
      write: (data) => connection.write(data),
      closeWrite: () => connection.closeWrite(),
      close: () => connection.close(),
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

interface Head {
  status: number;
  headers: Map<string, string>;
}

async function readHead(connection: Connection): Promise<Head> {
  let received = Buffer.alloc(0);
  for (;;) {
    const end = received.indexOf("\r\n\r\n");
    if (end >= 0) {
      const head = parseHead(received.subarray(0, end).toString("latin1"));
      // What came with the head belongs to the stream (or to the error's body).
      connection.giveBack(received.subarray(end + 4));
      if (head.status !== 100) return head;
      received = Buffer.alloc(0);
      continue;
    }
    if (received.length > headLimit) throw new Error("the answer's head is too long");
    const chunk = await connection.read();
    if (chunk === undefined) throw new Error("the server closed the connection without an answer");
    received = Buffer.concat([received, chunk]);
  }
}

function parseHead(text: string): Head {
  const [statusLine = "", ...lines] = text.split("\r\n");
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine)?.[1];
  if (status === undefined) throw new Error(`not an HTTP answer: ${JSON.stringify(statusLine.slice(0, 80))}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(status), headers };
}

/** An error's body: as long as Content-Length says, or chunked, or up to the end of the connection. */
async function readErrorBody(connection: Connection, headers: Map<string, string>): Promise<string> {
  const chunked = headers.get("transfer-encoding")?.toLowerCase() === "chunked";
  const declared = headers.get("content-length");
  const wanted = declared === undefined ? errorBodyLimit : Math.min(Number(declared), errorBodyLimit);
  let received = Buffer.alloc(0);
  while (received.length < wanted && !(chunked && received.includes("0\r\n\r\n"))) {
    const chunk = await connection.read();
    if (chunk === undefined) break;
    received = Buffer.concat([received, chunk]);
  }
  return (chunked ? dechunk(received) : received.subarray(0, wanted)).toString("utf8");
}

function dechunk(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) break;
    const size = Number.parseInt(bytes.subarray(at, lineEnd).toString("latin1"), 16);
    if (!(size > 0)) break;
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
  return Buffer.concat(parts);
}

/** One socket with pull reading and awaited writing. */
class Connection {
  #socket: Socket<undefined> | undefined;
  readonly #received: Uint8Array[] = [];
  #receivedBytes = 0;
  #paused = false;
  #ended = false;
  #failure: unknown;
  #wakeReader: (() => void) | undefined;
  #wakeWriters: (() => void)[] = [];
  #writing: Promise<void> = Promise.resolve();
  #writeClosed = false;

  static async open(endpoint: Endpoint): Promise<Connection> {
    const connection = new Connection();
    const socket = {
      data: (_: Socket<undefined>, chunk: Buffer): void => connection.#onData(chunk),
      drain: (): void => connection.#wakeAllWriters(),
      end: (): void => connection.#onEnd(undefined),
      close: (): void => connection.#onEnd(undefined),
      error: (_: Socket<undefined>, error: Error): void => connection.#onEnd(error),
    };
    connection.#socket =
      endpoint.kind === "unix"
        ? await Bun.connect<undefined>({ unix: endpoint.path, allowHalfOpen: true, socket })
        : await Bun.connect<undefined>({
            hostname: endpoint.hostname,
            port: endpoint.port,
            allowHalfOpen: true,
            ...(endpoint.tls === undefined ? {} : { tls: bunTls(endpoint.tls) }),
            socket,
          });
    return connection;
  }

  /** The next bytes; undefined at the end. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#received.shift();
      if (chunk !== undefined) {
        this.#receivedBytes -= chunk.length;
        if (this.#paused && this.#receivedBytes < highWater / 2) {
          this.#paused = false;
          this.#socket?.resume();
        }
        return chunk;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  giveBack(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#received.unshift(bytes);
    this.#receivedBytes += bytes.length;
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = await this.read();
        if (chunk === undefined) return;
        yield chunk;
      }
    } finally {
      this.close();
    }
  }

  /** Writes are done one after the other, in the order of the calls; each tells its own failure. */
  write(data: Uint8Array): Promise<void> {
    const turn = this.#writing.then(() => this.#writeAll(data));
    this.#writing = turn.catch(() => undefined);
    return turn;
  }

  async closeWrite(): Promise<void> {
    await this.#writing;
    if (this.#writeClosed || this.#ended) return;
    this.#writeClosed = true;
    this.#socket?.shutdown();
  }

  close(): void {
    this.#onEnd(undefined);
    this.#socket?.terminate();
  }

  async #writeAll(data: Uint8Array): Promise<void> {
    let rest = data;
    while (rest.length > 0) {
      if (this.#ended || this.#writeClosed || this.#socket === undefined) {
        throw new Error("write on a closed connection");
      }
      const taken = this.#socket.write(rest);
      if (taken < 0) throw new Error("write on a closed connection");
      rest = rest.subarray(taken);
      if (rest.length === 0) return;
      await new Promise<void>((resolve) => {
        this.#wakeWriters.push(resolve);
      });
    }
  }

  #onData(chunk: Buffer): void {
    // The runtime reuses its receive buffer.
    this.#received.push(new Uint8Array(chunk));
    this.#receivedBytes += chunk.length;
    if (!this.#paused && this.#receivedBytes >= highWater) {
      this.#paused = true;
      this.#socket?.pause();
    }
    this.#wakeReader?.();
  }

  #onEnd(error: unknown): void {
    this.#ended = true;
    this.#failure ??= error;
    this.#wakeReader?.();
    this.#wakeAllWriters();
  }

  #wakeAllWriters(): void {
    const waiting = this.#wakeWriters;
    this.#wakeWriters = [];
    for (const wake of waiting) wake();
  }
}
