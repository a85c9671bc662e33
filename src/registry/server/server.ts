/** The registry's door: HTTP requests to endpoints, failures to answers, a record of each for the log. */

import { Conflict, messageOf } from "../../core/errors.ts";
import { resolve } from "../../core/paths.ts";
import { mkdirSync } from "../../linux/files.ts";
import { closeLockFile, openLockFile, tryLock } from "../../linux/flock.ts";
import { readBlob, removeBlob } from "./api/blobs.ts";
import { listCatalog, listTags, search } from "./api/lists.ts";
import { listReferrers, pushManifest, readManifest, removeManifest } from "./api/manifests.ts";
import { appendToUpload, beginUpload, cancelUpload, finishUpload, uploadStatus } from "./api/uploads.ts";
import { type Action, type Authenticator, type Grant, type Need, openToAll } from "./auth/access.ts";
import type { KeyPair, KeyPairFiles } from "./certificates.ts";
import { startCollector } from "./collector.ts";
import { failure, RegistryFailure } from "./failures.ts";
import { type Listener, listen } from "./listener.ts";
import { printable, type RequestRecord } from "./log.ts";
import { page } from "./pages.ts";
import { openPullThrough, type Upstream } from "./proxy.ts";
import type { Call, Registry } from "./registry.ts";
import { type Route, routeOf } from "./routes.ts";
import { type SlowConnectionWatch, watchSlowConnections } from "./slow-connections.ts";
import { openStorage } from "./storage/open.ts";
import type { Pace } from "./storage/receive.ts";

export interface RegistryServerOptions {
  /** Directory of everything that the registry keeps; made when it is not there. */
  root: string;
  /** Port 0 takes a free one. */
  listen: { hostname: string; port: number };
  /** PEM texts, or files with them, which are read again when they change. */
  tls?: KeyPair | KeyPairFiles;
  /** Milliseconds between two looks at the files of `tls`; 5,000 by default. */
  tlsCheckEvery?: number;
  /** Everybody may do everything by default. */
  authenticator?: Authenticator;
  /** Pushes and deletes are refused. */
  readOnly?: boolean;
  /** False: deletes are refused. */
  deletes?: boolean;
  /** Bytes: of the whole registry, of one repository. */
  quota?: number;
  repositoryQuota?: number;
  /** Serve as a cache of this registry; pushes are refused then. */
  upstream?: Upstream;
  /** Bytes that such a cache keeps; what was asked for longest ago makes room for what comes. */
  cacheSize?: number;
  /** Take indexes that list manifests which are not here. */
  sparseIndexes?: boolean;
  /** Milliseconds that content to which nothing refers is kept; one hour by default. */
  lease?: number;
  /** Milliseconds without progress after which an upload is given up; a week by default. */
  uploadLife?: number;
  /** Milliseconds between two automatic collections; one hour by default, 0 for never. */
  collectEvery?: number;
  /** Collections remove manifests without a tag too. */
  removeUntagged?: boolean;
  /** A cache forgets what nobody asked for in so many milliseconds; 0 (the default) for never. */
  keepCached?: number;
  /** Milliseconds that a connection may be held without a request, however its headers trickle; a minute by default. */
  longestHeaders?: number;
  /** The least that a body must bring: so many bytes in so many milliseconds; 60 KiB a minute by default. */
  pace?: Pace;
  /** Called once for each request. */
  log?: (record: RequestRecord) => void;
  /** Called when work without a request (a collection) fails. */
  warn?: (message: string) => void;
}

export interface RegistryServer {
  /** Where it listens: `http://127.0.0.1:5000`. */
  readonly address: string;
  readonly port: number;
  /**
   * Takes no new connections, lets requests in flight end for at most `patience` milliseconds (10,000 by default),
   * then closes everything; at once when `isHurried` says so. Uploads can be continued with the next server.
   */
  close(patience?: number, isHurried?: () => boolean): Promise<void>;
}

const defaultLease = 60 * 60_000;
const defaultUploadLife = 7 * 24 * 60 * 60_000;
const defaultCollection = 60 * 60_000;
/** Seconds that a connection may be silent, unless an endpoint allows more. */
const longestSilence = 30;
const defaultHeaders = 60_000;
const defaultTlsCheck = 5_000;

/** @throws Conflict when another server has this root; LinuxError, or Bun's error when the address is taken. */
export async function openRegistryServer(options: RegistryServerOptions): Promise<RegistryServer> {
  const root = resolve(options.root);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const lockPath = `${root}/lock`;
  const lock = openLockFile(lockPath);
  if (!tryLock(lock, "exclusive", lockPath)) {
    closeLockFile(lock);
    throw new Conflict(`another registry serves ${root}`);
  }
  try {
    return serve(options, root, () => closeLockFile(lock));
  } catch (error) {
    closeLockFile(lock);
    throw error;
  }
}

function serve(options: RegistryServerOptions, root: string, unlock: () => void): RegistryServer {
  const storage = openStorage(root, {
    limits: { total: options.quota, repository: options.repositoryQuota },
    takesSparseIndexes: options.sparseIndexes ?? false,
    lease: options.lease ?? defaultLease,
    ...(options.pace === undefined ? {} : { pace: options.pace }),
  });
  const upstream =
    options.upstream === undefined
      ? undefined
      : openPullThrough(options.upstream, storage, {
          size: options.cacheSize,
          warn: options.warn ?? (() => {}),
        });
  const registry: Registry = { ...storage, upstream };
  const answer = endpoint(registry, options, (address) => connections.begin(address));
  const collector = startCollector(storage, {
    every: options.collectEvery ?? defaultCollection,
    uploadLife: options.uploadLife ?? defaultUploadLife,
    removeUntagged: options.removeUntagged ?? false,
    keepCached: upstream === undefined ? 0 : (options.keepCached ?? 0),
    warn: options.warn ?? (() => {}),
  });
  let active = 0;
  let listener: Listener;
  try {
    listener = listen({
      ...options.listen,
      tls: options.tls,
      checkEvery: options.tlsCheckEvery ?? defaultTlsCheck,
      idleTimeout: longestSilence,
      warn: options.warn ?? (() => {}),
      async fetch(request, bun) {
        active += 1;
        try {
          return await answer(request, bun);
        } finally {
          active -= 1;
        }
      },
    });
  } catch (error) {
    collector.stop();
    storage.close();
    throw error;
  }
  const connections = watchSlowConnections(listener.port, options.longestHeaders ?? defaultHeaders);
  let closing: Promise<void> | undefined;
  const close = async (patience = 10_000, isHurried = () => false): Promise<void> => {
    collector.stop();
    connections.stop();
    listener.stop(false).catch(() => {});
    const deadline = Date.now() + patience;
    const isBusy = () => active > 0 || listener.pendingRequests > 0;
    while (isBusy() && Date.now() < deadline && !isHurried()) await Bun.sleep(10);
    await listener.stop(true);
    await upstream?.close();
    while (active > 0) await Bun.sleep(5);
    storage.close();
    unlock();
  };
  return {
    address: listener.url.origin,
    port: listener.port,
    close: (patience, isHurried) => {
      closing ??= close(patience, isHurried);
      return closing;
    },
  };
}

type Answer = (request: Request, bun: Bun.Server<undefined>) => Promise<Response>;

/** The way of a request: route, permission, endpoint; and the record of it. */
function endpoint(
  registry: Registry,
  options: RegistryServerOptions,
  hold: SlowConnectionWatch["begin"],
): Answer {
  const authenticator = options.authenticator ?? openToAll;
  return async (request, bun) => {
    const begin = performance.now();
    const address = bun.requestIP(request);
    const held = hold(address);
    const url = new URL(request.url);
    let grant: Grant | undefined;
    let call: Call | undefined;
    let problem: string | undefined;
    let response: Response;
    try {
      const route = routeOf(url.pathname);
      if (route === undefined) throw notFound();
      grant = await authorize(authenticator, request, route);
      refuseWrites(options, request.method, route);
      call = {
        request,
        query: url.searchParams,
        grant,
        transferred: 0,
        holdUntil: (done) => {
          const { end } = hold(address);
          done.then(end, end);
        },
        allowSilence: (seconds) => bun.timeout(request, seconds),
      };
      response = await dispatch(registry, call, route);
    } catch (error) {
      if (!(error instanceof RegistryFailure)) problem = messageOf(error);
      else if (error.status >= 500) problem = `${error.message}: ${messageOf(error.cause ?? "")}`;
      response = refusal(error);
      // What is left of a body that was refused would be read as the next request.
      if (request.body !== null && response.status !== 401) response.headers.set("Connection", "close");
    }
    held.end();
    response.headers.set("Docker-Distribution-API-Version", "registry/2.0");
    options.log?.({
      time: new Date().toISOString(),
      remote: address?.address ?? "-",
      method: request.method,
      path: printable(url.pathname + url.search),
      status: response.status,
      bytes: call?.transferred ?? 0,
      duration: performance.now() - begin,
      ...(grant?.user === undefined ? {} : { user: printable(grant.user) }),
      ...agentOf(request),
      ...(problem === undefined ? {} : { error: problem }),
    });
    return response;
  };
}

async function dispatch(registry: Registry, call: Call, route: Route): Promise<Response> {
  const method = call.request.method;
  const isRead = method === "GET" || method === "HEAD";
  switch (route.kind) {
    case "base":
      if (isRead) return Response.json({});
      break;
    case "ping":
      if (isRead) return Response.json(true, { headers: { "X-Docker-Registry-Standalone": "true" } });
      break;
    case "search":
      if (isRead) return await search(registry, call);
      break;
    case "catalog":
      if (isRead) return await listCatalog(registry, call);
      break;
    case "page":
      if (isRead) return page(registry, call, route.repository, route.tag);
      break;
    case "tags":
      if (isRead) return await listTags(registry, call, route.repository);
      break;
    case "referrers":
      if (isRead) return await listReferrers(registry, call, route.repository, route.digest);
      break;
    case "manifest":
      if (isRead) return await readManifest(registry, call, route.repository, route.reference);
      if (method === "PUT") return await pushManifest(registry, call, route.repository, route.reference);
      if (method === "DELETE") return await removeManifest(registry, route.repository, route.reference);
      break;
    case "blob":
      if (isRead) return await readBlob(registry, call, route.repository, route.digest);
      if (method === "DELETE") return await removeBlob(registry, route.repository, route.digest);
      break;
    case "uploads":
      if (method === "POST") return await beginUpload(registry, call, route.repository);
      break;
    case "upload":
      if (isRead) return await uploadStatus(registry, route.repository, route.id);
      if (method === "PATCH") return await appendToUpload(registry, call, route.repository, route.id);
      if (method === "PUT") return await finishUpload(registry, call, route.repository, route.id);
      if (method === "DELETE") return await cancelUpload(registry, route.repository, route.id);
      break;
  }
  throw failure("UNSUPPORTED", "the operation is unsupported");
}

function authorize(authenticator: Authenticator, request: Request, route: Route): Promise<Grant> {
  return authenticator.authorize(
    request.headers.get("authorization") ?? undefined,
    needOf(request.method, route),
  );
}

function needOf(method: string, route: Route): Need {
  if (!("repository" in route) || route.repository === undefined) {
    return route.kind === "catalog" || route.kind === "search" || route.kind === "page"
      ? { kind: "catalog" }
      : { kind: "base" };
  }
  return { kind: "repository", name: route.repository, actions: actionsOf(method, route) };
}

function actionsOf(method: string, route: Route): Action[] {
  if (route.kind === "uploads" || route.kind === "upload") return ["pull", "push"];
  if (method === "DELETE") return ["delete"];
  return method === "GET" || method === "HEAD" ? ["pull"] : ["pull", "push"];
}

/** @throws RegistryFailure UNSUPPORTED */
function refuseWrites(options: RegistryServerOptions, method: string, route: Route): void {
  if (method === "GET" || method === "HEAD") return;
  if (options.upstream !== undefined) throw failure("UNSUPPORTED", "this registry is a cache: push upstream");
  if (options.readOnly === true) throw failure("UNSUPPORTED", "this registry is read-only");
  if (method === "DELETE" && options.deletes === false && route.kind !== "upload") {
    throw failure("UNSUPPORTED", "this registry does not delete");
  }
}

function notFound(): RegistryFailure {
  return new RegistryFailure("UNSUPPORTED", "there is nothing at this address", { status: 404 });
}

function refusal(error: unknown): Response {
  if (error instanceof RegistryFailure) return error.toResponse();
  return failure("UNKNOWN", "the registry failed; its log says why").toResponse();
}

function agentOf(request: Request): { agent?: string } {
  const agent = request.headers.get("user-agent");
  return agent === null ? {} : { agent: printable(agent) };
}
