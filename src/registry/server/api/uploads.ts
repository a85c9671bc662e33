/** Pushing blobs: in one request, in a POST and a PUT, in chunks, or by mounting another repository's. */
import { failure } from "../failures.ts";
import { isRepositoryName, parseContentDigest, type RepositoryName } from "../names.ts";
import type { Call, Registry } from "../registry.ts";
import { type ByteFeed, feedOfStream } from "../storage/receive.ts";
import { type ChunkPlace, type Upload, uploadHeaders } from "../storage/uploads.ts";

/** `POST /v2/<name>/blobs/uploads/` */
export async function beginUpload(registry: Registry, call: Call, name: RepositoryName): Promise<Response> {
  const mount = call.query.get("mount");
  if (mount !== null) {
    const mounted = await mountBlob(registry, call, name, mount);
    if (mounted !== undefined) return mounted;
  }
  registry.store.checkQuota(name, { total: 0, repository: 0 });
  const digest = call.query.get("digest");
  if (digest !== null && mount === null) {
    const wanted = parseContentDigest(digest);
    const upload = registry.uploads.begin(name);
    try {
      return await receiveAndFinish(registry, call, upload, wanted);
    } catch (error) {
      // The client was never told the upload's address: nobody can go on with it.
      if (!upload.isOver) registry.uploads.cancel(upload);
      throw error;
    }
  }
  const upload = registry.uploads.begin(name);
  return new Response(null, { status: 202, headers: { ...uploadHeaders(upload), "Content-Length": "0" } });
}

/** Undefined when the blob cannot be mounted: the client uploads it then. */
async function mountBlob(
  registry: Registry,
  call: Call,
  name: RepositoryName,
  text: string,
): Promise<Response | undefined> {
  const digest = parseContentDigest(text);
  const { store, records } = registry;
  const from = call.query.get("from");
  if (from !== null && !isRepositoryName(from)) return undefined;
  const sources = store.repositoriesWith(digest).filter((source) => from === null || source === from);
  if (!sources.some((source) => call.grant.allows(source, "pull"))) return undefined;
  const size = store.blobSize(name, digest) ?? 0;
  if (size === 0) {
    const source = sources[0];
    const more = source === undefined ? 0 : (store.blobSize(source, digest) ?? 0);
    store.checkQuota(name, { total: 0, repository: more });
  }
  if (!store.linkIfHeld(name, digest)) return undefined;
  await records.durable();
  return created(name, digest);
}

/** `PATCH /v2/<name>/blobs/uploads/<id>` */
export async function appendToUpload(
  registry: Registry,
  call: Call,
  name: RepositoryName,
  id: string,
): Promise<Response> {
  const upload = registry.uploads.find(name, id);
  const place = placeOf(call.request);
  return await registry.uploads.exclusively(upload, async () => {
    await receiveBody(registry, call, upload, place);
    return new Response(null, { status: 202, headers: { ...uploadHeaders(upload), "Content-Length": "0" } });
  });
}

/** `PUT /v2/<name>/blobs/uploads/<id>?digest=…` */
export async function finishUpload(
  registry: Registry,
  call: Call,
  name: RepositoryName,
  id: string,
): Promise<Response> {
  const upload = registry.uploads.find(name, id);
  const digest = call.query.get("digest");
  if (digest === null) throw failure("DIGEST_INVALID", "the digest of the upload is missing");
  const wanted = parseContentDigest(digest);
  return await registry.uploads.exclusively(upload, () => receiveAndFinish(registry, call, upload, wanted));
}

/** `GET /v2/<name>/blobs/uploads/<id>` */
export async function uploadStatus(registry: Registry, name: RepositoryName, id: string): Promise<Response> {
  const upload = registry.uploads.find(name, id);
  return new Response(null, { status: 204, headers: uploadHeaders(upload) });
}

/** `DELETE /v2/<name>/blobs/uploads/<id>` */
export async function cancelUpload(registry: Registry, name: RepositoryName, id: string): Promise<Response> {
  const upload = registry.uploads.find(name, id);
  return await registry.uploads.exclusively(upload, async () => {
    registry.uploads.cancel(upload);
    return new Response(null, { status: 204 });
  });
}

async function receiveAndFinish(
  registry: Registry,
  call: Call,
  upload: Upload,
  digest: ReturnType<typeof parseContentDigest>,
): Promise<Response> {
  await receiveBody(registry, call, upload, placeOf(call.request));
  await registry.uploads.finish(upload, digest);
  return created(upload.repository, digest);
}

async function receiveBody(
  registry: Registry,
  call: Call,
  upload: Upload,
  place: ChunkPlace | undefined,
): Promise<void> {
  const { body } = call.request;
  if (body === null && place === undefined) return;
  call.allowSilence(0);
  const begin = upload.offset;
  try {
    await registry.uploads.append(upload, body === null ? nothing : feedOfStream(body), place);
  } finally {
    call.transferred = upload.offset - begin;
  }
}

const nothing: ByteFeed = { next: async () => ({ done: true, value: undefined }), cancel: () => {} };

function created(name: RepositoryName, digest: string): Response {
  return new Response(null, {
    status: 201,
    headers: {
      Location: `/v2/${name}/blobs/${digest}`,
      "Docker-Content-Digest": digest,
      "Content-Length": "0",
    },
  });
}

/**
 * `Content-Range: <start>-<end>`, also as `bytes <start>-<end>/…`.
 * @throws RegistryFailure when it is malformed or does not fit the Content-Length
 */
function placeOf(request: Request): ChunkPlace | undefined {
  const header = request.headers.get("content-range");
  if (header === null) return undefined;
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d{1,15}|\*))?$/.exec(header.trim());
  const start = Number(match?.[1]);
  const end = Number(match?.[2]);
  if (match === null || end < start) throw failure("RANGE_INVALID", "malformed Content-Range", { header });
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) !== end - start + 1) {
    throw failure("SIZE_INVALID", "Content-Length does not fit Content-Range");
  }
  return { start, end };
}
