/** Containers over HTTP. Engine API reference, "Container". */

import { SystemFailure } from "../../core/errors.ts";
import type * as api from "../../core/objects.ts";
import type {
  AttachedStreams,
  AttachOptions,
  Containers,
  Filters,
  LogsOptions,
  OutputFrame,
  RegisteredWait,
} from "../../engine/engine.ts";
import { asStartFailure } from "./failures.ts";
import type { RawStream } from "./hijack.ts";
import { jsonLines } from "./lines.ts";
import { demultiplex, unframed } from "./multiplex.ts";
import { containerSegment, type Query, type Transport } from "./transport.ts";

export function remoteContainers(transport: Transport): Containers {
  const path = (id: string, verb: string): string => `/containers/${containerSegment(id)}/${verb}`;

  return {
    async list(options = {}) {
      const rows = await transport.json<api.ContainerSummary[]>("GET", "/containers/json", {
        query: {
          all: options.all,
          limit: options.limit || undefined,
          size: options.size,
          filters: encodeFilters(options.filters),
        },
      });
      return rows;
    },

    async create(request, options = {}) {
      const created = await transport.json<{ Id: string; Warnings: string[] | null }>(
        "POST",
        "/containers/create",
        {
          json: request,
          query: { name: options.name || undefined, platform: options.platform || undefined },
        },
      );
      return { Id: created.Id, Warnings: created.Warnings ?? [] };
    },

    inspect: (id, options = {}) => transport.json("GET", path(id, "json"), { query: { size: options.size } }),

    async start(id, options = {}) {
      try {
        await transport.send("POST", path(id, "start"), { query: { detachKeys: options.detachKeys } });
      } catch (error) {
        throw asStartFailure(error);
      }
    },

    stop: (id, options = {}) =>
      transport.send("POST", path(id, "stop"), {
        query: { signal: options.signal, t: options.timeout },
        signal: options.abort,
      }),

    restart: (id, options = {}) =>
      transport.send("POST", path(id, "restart"), { query: { signal: options.signal, t: options.timeout } }),

    kill: (id, signal) => transport.send("POST", path(id, "kill"), { query: { signal } }),
    pause: (id) => transport.send("POST", path(id, "pause")),
    unpause: (id) => transport.send("POST", path(id, "unpause")),
    rename: (id, name) => transport.send("POST", path(id, "rename"), { query: { name } }),

    remove: (id, options = {}) =>
      transport.send("DELETE", `/containers/${containerSegment(id)}`, {
        query: { force: options.force, v: options.volumes, link: options.link },
      }),

    wait: (id, condition, signal) => registerWait(transport, path(id, "wait"), condition, signal),
    attach: (id, options) => attach(transport, id, options, path(id, "attach")),

    resize: (id, size) =>
      transport.send("POST", path(id, "resize"), { query: { h: size.height, w: size.width } }),

    logs: (id, options) => readLogs(transport, id, options, path(id, "logs")),
    top: (id, psArgs) => transport.json("GET", path(id, "top"), { query: { ps_args: psArgs } }),

    stats: (id, options = {}) =>
      jsonLines<api.ContainerStats>(
        transport.stream("GET", path(id, "stats"), {
          query: { stream: options.stream ?? false, "one-shot": options.oneShot || undefined },
          signal: options.signal,
        }),
      ),
  };
}

/** The server sends its head as soon as the wait stands, and the body at the exit. */
async function registerWait(
  transport: Transport,
  path: string,
  condition: string | undefined,
  signal: AbortSignal | undefined,
): Promise<RegisteredWait> {
  const response = await transport.request("POST", path, { query: { condition }, signal });
  const result = readWait(transport, response, signal);
  // Whoever registered may look at the result late, or never; its failure is kept in it until then.
  result.catch(() => undefined);
  return { result };
}

async function readWait(
  transport: Transport,
  response: Response,
  signal: AbortSignal | undefined,
): Promise<api.ContainerWaitResponse> {
  const answers = jsonLines<{ StatusCode: number; Error?: { Message: string } | null }>(
    transport.bodyOf(response, signal),
  );
  for await (const answer of answers) {
    return answer.Error
      ? { StatusCode: answer.StatusCode, Error: answer.Error }
      : { StatusCode: answer.StatusCode };
  }
  throw new SystemFailure("the server ended the wait without an exit code");
}

async function attach(
  transport: Transport,
  id: string,
  options: AttachOptions,
  path: string,
): Promise<AttachedStreams> {
  const framed = await isFramed(transport, id);
  const raw = await transport.hijack(path, {
    query: {
      stdin: options.stdin,
      stdout: options.stdout,
      stderr: options.stderr,
      logs: options.logs,
      stream: options.stream ?? true,
    },
  });
  return attachedStreams(raw, framed);
}

/** Makes the engine's streams of a hijacked connection. Used for execs, too. */
export function attachedStreams(raw: RawStream, framed: boolean): AttachedStreams {
  let closed = false;
  return {
    output: unlessClosed(framed ? demultiplex(raw.input) : unframed(raw.input), () => closed),
    write: (data) => raw.write(data),
    closeInput: () => raw.closeWrite(),
    close: () => {
      closed = true;
      raw.close();
    },
  };
}

/** Closing in the middle of a frame, or of anything else, is the end and no failure. */
async function* unlessClosed(
  frames: AsyncIterable<OutputFrame>,
  isClosed: () => boolean,
): AsyncGenerator<OutputFrame> {
  try {
    yield* frames;
  } catch (error) {
    if (!isClosed()) throw error;
  }
}

/**
 * Whether a container's output comes in frames: it does unless it has a TTY. (Only servers from API 1.42 on say so
 * in the answer's Content-Type.)
 */
async function isFramed(transport: Transport, id: string): Promise<boolean> {
  const { Config } = await transport.json<api.ContainerInspect>(
    "GET",
    `/containers/${containerSegment(id)}/json`,
  );
  return Config.Tty !== true;
}

async function* readLogs(
  transport: Transport,
  id: string,
  options: LogsOptions,
  path: string,
): AsyncGenerator<OutputFrame> {
  const framed = await isFramed(transport, id);
  const query: Query = {
    stdout: options.stdout,
    stderr: options.stderr,
    follow: options.follow,
    timestamps: options.timestamps,
    since: options.since === undefined ? undefined : timestamp(options.since),
    until: options.until === undefined ? undefined : timestamp(options.until),
    tail: options.tail === undefined ? "all" : options.tail,
  };
  const bytes = transport.stream("GET", path, { query, signal: options.signal });
  yield* framed ? demultiplex(bytes) : unframed(bytes);
}

/** Unix seconds with nine decimals, without an exponent. */
export function timestamp(seconds: number): string {
  return seconds.toFixed(9);
}

export function encodeFilters(filters: Filters | undefined): string | undefined {
  if (filters === undefined || Object.keys(filters).length === 0) return undefined;
  return JSON.stringify(filters);
}
