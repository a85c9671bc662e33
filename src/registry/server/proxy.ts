/**
 * A registry that is a cache of another one. Tags are checked with the upstream at each pull and served from here when
 * it is down; manifests and blobs, which never change, are fetched once.
 */
import { DavitError, messageOf, NotFound, Unauthorized, Unavailable } from "../../core/errors.ts";
import { isDigest } from "../../core/ids.ts";
import type { Repository } from "../client/index.ts";
import { blobHeaders, rangeOf } from "./api/blobs.ts";
import { type BlobFetch, startFetch } from "./blob-fetch.ts";
import { evict } from "./evict.ts";
import { failure, RegistryFailure } from "./failures.ts";
import { parseManifestDocument } from "./manifest-document.ts";
import { type ContentDigest, isContentDigest, isTagName, type RepositoryName } from "./names.ts";
import type { Call } from "./registry.ts";
import type { Storage } from "./storage/open.ts";
import type { StoredManifest } from "./storage/store.ts";

/** The other registry: its repositories by the path that clients ask us for. */
export interface Upstream {
  repository(path: string): Repository;
  close(): void;
}

export interface PullThrough {
  /** By tag or digest; undefined when the upstream has none. @throws RegistryFailure UNAVAILABLE */
  manifest(name: RepositoryName, tagOrDigest: string): Promise<StoredManifest | undefined>;
  /** Answers with a blob that is not here yet, storing it on its way. */
  blob(call: Call, name: RepositoryName, digest: ContentDigest): Promise<Response>;
  /** The upstream's tags after `last`; undefined when it cannot be asked. */
  tags(name: RepositoryName, last: string, count: number): Promise<string[] | undefined>;
  /** Gives up what is being fetched. */
  close(): Promise<void>;
}

/** @param size bytes that the cache may hold; undefined for no limit */
export function openPullThrough(
  upstream: Upstream,
  storage: Storage,
  { size, warn }: { size: number | undefined; warn: (message: string) => void },
): PullThrough {
  const { store, records } = storage;
  const fetches = new Map<string, BlobFetch>();
  const closing = new AbortController();
  const { signal } = closing;
  let evicting: Promise<void> | undefined;

  /** After something came: what was asked for longest ago makes room. */
  const makeRoom = () => {
    if (size === undefined || evicting !== undefined || store.totalBytes() <= size) return;
    evicting = evict(storage, size, signal)
      .then(
        () => {},
        (error: unknown) => warn(`making room in the cache failed: ${messageOf(error)}`),
      )
      .finally(() => {
        evicting = undefined;
      });
  };
  // The size may be less than it was.
  makeRoom();

  const fetchManifest = async (name: RepositoryName, word: string, tag: string | undefined) => {
    const remote = await upstream.repository(name).manifest(word, signal);
    if (!isContentDigest(remote.digest))
      throw failure("MANIFEST_INVALID", "the upstream's digest is unknown");
    const document = parseManifestDocument(remote.bytes, remote.mediaType, remote.digest);
    store.putManifest(name, document, { checked: false, ...(tag === undefined ? {} : { tag }) });
    await records.durable();
    return store.manifest(name, remote.digest);
  };

  const byTag = async (name: RepositoryName, tag: string): Promise<StoredManifest | undefined> => {
    const { digest } = await upstream.repository(name).resolve(tag, signal);
    if (!isContentDigest(digest)) throw failure("MANIFEST_INVALID", "the upstream's digest is unknown");
    const known = store.manifest(name, digest);
    if (known === undefined) return await fetchManifest(name, digest, tag);
    if (store.tagDigest(name, tag) !== digest) store.tag(name, tag, digest);
    return known;
  };

  /** Runs `ask`; what is here serves when the upstream cannot be asked. */
  const orCached = async (
    ask: () => Promise<StoredManifest | undefined>,
    cached: () => StoredManifest | undefined,
  ): Promise<StoredManifest | undefined> => {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof NotFound) return undefined;
      if (error instanceof RegistryFailure || !(error instanceof DavitError)) throw error;
      const known = error instanceof Unauthorized ? undefined : cached();
      if (known === undefined) throw unavailable(error);
      return known;
    }
  };

  return {
    async manifest(name, word) {
      if (isContentDigest(word)) {
        return (
          store.manifest(name, word) ??
          (await orCached(
            () => fetchManifest(name, word, undefined),
            () => undefined,
          ))
        );
      }
      return await orCached(
        () => byTag(name, word),
        () => store.manifest(name, word),
      );
    },

    async blob(call, name, digest) {
      if (!isDigest(digest)) throw failure("BLOB_UNKNOWN", "blob unknown to registry", { digest });
      const key = `${name}@${digest}`;
      let fetch = fetches.get(key);
      if (fetch === undefined) {
        const repository = upstream.repository(name);
        const size = await sizeOf(repository, digest, signal);
        if (call.request.method === "HEAD") {
          return new Response(null, {
            headers: { ...blobHeaders(digest), "Content-Length": String(size) },
          });
        }
        // Another client may have begun meanwhile, or ended.
        fetch = fetches.get(key);
        if (fetch === undefined) {
          fetch = startFetch(storage, {
            name,
            digest,
            size,
            bytes: (signal) => read(repository, digest, size, signal),
          });
          const started = fetch;
          fetches.set(key, started);
          const forget = () => {
            fetches.delete(key);
            makeRoom();
          };
          started.done.then(forget, forget);
        }
      }
      return answer(call, fetch, digest);
    },

    async tags(name, last, count) {
      try {
        const tags: string[] = [];
        for await (const tag of upstream.repository(name).tags(signal)) {
          if (isTagName(tag) && tag > last) tags.push(tag);
        }
        return tags.sort().slice(0, count);
      } catch (error) {
        if (error instanceof NotFound || !(error instanceof DavitError)) throw notFoundOr(error);
        return undefined;
      }
    },

    async close() {
      closing.abort(new Unavailable("the registry stops"));
      for (const fetch of fetches.values()) fetch.abort();
      await Promise.allSettled([...fetches.values()].map(({ done }) => done));
      await evicting;
      upstream.close();
    },
  };
}

function answer(call: Call, fetch: BlobFetch, digest: ContentDigest): Response {
  const headers = blobHeaders(digest);
  if (call.request.method === "HEAD") {
    return new Response(null, { headers: { ...headers, "Content-Length": String(fetch.size) } });
  }
  call.allowSilence(0);
  call.holdUntil(fetch.done);
  const range = rangeOf(call.request.headers.get("range"), fetch.size) ?? { start: 0, end: fetch.size - 1 };
  const isWhole = range.start === 0 && range.end === fetch.size - 1;
  return new Response(fetch.stream(range.start, range.end + 1), {
    status: isWhole ? 200 : 206,
    headers: {
      ...headers,
      "Content-Length": String(range.end - range.start + 1),
      ...(isWhole ? {} : { "Content-Range": `bytes ${range.start}-${range.end}/${fetch.size}` }),
    },
  });
}

async function sizeOf(repository: Repository, digest: ContentDigest, signal: AbortSignal): Promise<number> {
  if (!isDigest(digest)) throw failure("BLOB_UNKNOWN", "blob unknown to registry", { digest });
  try {
    const size = await repository.hasBlob(digest, signal);
    if (size !== undefined) return size;
  } catch (error) {
    if (!(error instanceof NotFound)) throw unavailable(error);
  }
  throw failure("BLOB_UNKNOWN", "blob unknown to registry", { digest });
}

function read(repository: Repository, digest: ContentDigest, size: number, signal: AbortSignal) {
  if (!isDigest(digest)) throw failure("BLOB_UNKNOWN", "blob unknown to registry", { digest });
  return repository.blob({ mediaType: "application/octet-stream", digest, size }, { signal });
}

function unavailable(error: unknown): RegistryFailure {
  return error instanceof DavitError
    ? new RegistryFailure("UNAVAILABLE", `the upstream registry: ${messageOf(error)}`, { cause: error })
    : failure("UNKNOWN", messageOf(error));
}

function notFoundOr(error: unknown): unknown {
  return error instanceof NotFound ? failure("NAME_UNKNOWN", "repository name not known to registry") : error;
}
