/** Pulling and removing blobs. */
import { failure, RegistryFailure } from "../failures.ts";
import type { ContentDigest, RepositoryName } from "../names.ts";
import type { Call, Registry } from "../registry.ts";

/** Seconds that a client may stop reading in the middle of a blob. */
const longestPause = 240;

/** `GET` and `HEAD /v2/<name>/blobs/<digest>` */
export async function readBlob(
  registry: Registry,
  call: Call,
  name: RepositoryName,
  digest: ContentDigest,
): Promise<Response> {
  const { store, files, upstream } = registry;
  const size = store.blobSize(name, digest);
  if (size === undefined) {
    if (upstream !== undefined) return await upstream.blob(call, name, digest);
    throw failure("BLOB_UNKNOWN", "blob unknown to registry", { digest });
  }
  const headers = blobHeaders(digest);
  if (call.request.headers.get("if-none-match")?.includes(digest)) {
    return new Response(null, { status: 304, headers });
  }
  if (call.request.method === "HEAD") {
    store.renewBlob(name, digest);
    return new Response(null, { headers: { ...headers, "Content-Length": String(size) } });
  }
  call.allowSilence(longestPause);
  const range = rangeOf(call.request.headers.get("range"), size);
  const file = Bun.file(files.path(digest), { type: "application/octet-stream" });
  call.transferred = range === undefined ? size : range.end - range.start + 1;
  if (range === undefined) return new Response(file, { headers });
  return new Response(file.slice(range.start, range.end + 1), {
    status: 206,
    headers: { ...headers, "Content-Range": `bytes ${range.start}-${range.end}/${size}` },
  });
}

/** `DELETE /v2/<name>/blobs/<digest>` */
export async function removeBlob(
  registry: Registry,
  name: RepositoryName,
  digest: ContentDigest,
): Promise<Response> {
  if (!registry.store.removeBlob(name, digest)) {
    throw failure("BLOB_UNKNOWN", "blob unknown to registry", { digest });
  }
  await registry.records.durable();
  return new Response(null, { status: 202, headers: { "Docker-Content-Digest": digest } });
}

export function blobHeaders(digest: ContentDigest): Record<string, string> {
  return {
    "Content-Type": "application/octet-stream",
    "Docker-Content-Digest": digest,
    ETag: `"${digest}"`,
    "Accept-Ranges": "bytes",
    "Cache-Control": "max-age=31536000",
    // Or the server would name the file after its path on disk.
    "Content-Disposition": "attachment",
    "X-Content-Type-Options": "nosniff",
  };
}

/**
 * One range of a Range header; undefined for none, for several, and for what is no range (RFC 9110, 14.2: the whole
 * is sent then). @throws RegistryFailure RANGE_INVALID when it lies behind the end
 */
export function rangeOf(header: string | null, size: number): { start: number; end: number } | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  const start = first === "" ? Math.max(size - Number(last), 0) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (first !== "" && last !== "" && Number(last) < start) return undefined;
  if (start >= size || end < start) {
    throw new RegistryFailure("RANGE_INVALID", `the blob has ${size} bytes`, {
      headers: { "Content-Range": `bytes */${size}` },
    });
  }
  return { start, end };
}
