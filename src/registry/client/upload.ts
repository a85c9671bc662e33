/**
 * Blobs on their way up: not at all when the registry has them, mounted from another repository, or sent in one PUT. When
 * that breaks, the registry is asked how much it has and the rest is sent as a chunk. distribution-spec, "Push".
 */
import { InvalidParameter, SystemFailure } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import { chunksOf, isFileRange } from "../../images/layers/byte-source.ts";
import type { ByteSource } from "../../images/layers/tar-entry.ts";
import { RequestFailure, reworded } from "./failures.ts";
import type { RequestBody } from "./http.ts";
import { Attempts, type Patience, withPatience } from "./patience.ts";
import { parseUploadRange } from "./range.ts";
import type { BlobOutcome, UploadOptions } from "./repository.ts";
import { pullScope, pushScope } from "./scopes.ts";
import type { Session, SessionAnswer } from "./session.ts";

export interface UploadParts {
  session: Session;
  /** The repository's. */
  path: string;
  patience: Patience;
}

export interface OutgoingBlob {
  digest: Digest;
  /** Bytes. */
  size: number;
  /** Opened anew for each attempt. */
  source: () => ByteSource;
}

/** More places than this are not asked for a blob that can as well be sent. */
const mostMounts = 3;

/** @throws RequestFailure, Unauthorized, InvalidParameter; what `source` throws. */
export async function upload(
  parts: UploadParts,
  blob: OutgoingBlob,
  options: UploadOptions,
): Promise<BlobOutcome> {
  const { signal } = options;
  const candidates = (options.mountFrom ?? []).filter((from) => from !== parts.path).slice(0, mostMounts);
  for (const from of candidates) {
    const started = await tryMount(parts, blob.digest, from, signal);
    if (started?.kind === "mounted") return { kind: "mounted", from };
    // A registry that does not mount has begun an upload in its place. The last one serves.
    if (started === undefined) continue;
    if (from === candidates.at(-1)) return await send(parts, started.location, blob, options);
    await cancel(parts, started.location, signal);
  }
  return await send(parts, await begin(parts, signal), blob, options);
}

/** Undefined where we may not read from there, or the registry does not know what a mount is. */
async function tryMount(
  parts: UploadParts,
  digest: Digest,
  from: string,
  signal: AbortSignal | undefined,
): Promise<Started | undefined> {
  try {
    return await start(parts, { digest, from }, signal);
  } catch (error) {
    if (error instanceof RequestFailure && !error.isPassing) return undefined;
    throw error;
  }
}

/** An upload that is not wanted any more. A registry that cannot forget it now will in time. */
async function cancel(parts: UploadParts, location: URL, signal: AbortSignal | undefined): Promise<void> {
  try {
    const answer = await parts.session.request({
      method: "DELETE",
      target: location,
      scopes: [pushScope(parts.path)],
      expect: [204, 200, 202],
      signal,
    });
    await answer.discard();
  } catch (error) {
    if (!(error instanceof RequestFailure)) throw error;
  }
}

type Started = { kind: "mounted" } | { kind: "upload"; location: URL };

async function start(
  { session, path, patience }: UploadParts,
  mount: { digest: Digest; from: string } | undefined,
  signal: AbortSignal | undefined,
): Promise<Started> {
  const query =
    mount === undefined ? "" : `?${new URLSearchParams({ mount: mount.digest, from: mount.from })}`;
  const answer = await withPatience(patience, signal, () =>
    session.request({
      method: "POST",
      target: `v2/${path}/blobs/uploads/${query}`,
      scopes: mount === undefined ? [pushScope(path)] : [pushScope(path), pullScope(mount.from)],
      body: { open: () => "", length: 0 },
      expect: mount === undefined ? [202] : [201, 202],
      signal,
    }),
  );
  await answer.discard();
  return answer.status === 201 ? { kind: "mounted" } : { kind: "upload", location: locationOf(answer) };
}

async function begin(parts: UploadParts, signal: AbortSignal | undefined): Promise<URL> {
  const started = await start(parts, undefined, signal);
  if (started.kind === "mounted")
    throw new InvalidParameter("a registry mounted what nobody asked it to mount");
  return started.location;
}

/** Sends the blob to an upload that has begun; after a failure on the way, what is missing of it. */
async function send(
  parts: UploadParts,
  first: URL,
  blob: OutgoingBlob,
  options: UploadOptions,
): Promise<BlobOutcome> {
  const { session, path, patience } = parts;
  const { signal, progress } = options;
  const attempts = new Attempts(patience);
  let location = first;
  let sent = 0;
  for (;;) {
    try {
      progress?.(sent);
      if (sent > 0 && sent < blob.size) {
        const answer = await session.request({
          method: "PATCH",
          target: location,
          scopes: [pushScope(path)],
          headers: {
            "Content-Type": "application/octet-stream",
            "Content-Range": `${sent}-${blob.size - 1}`,
          },
          body: bodyOf(blob, sent, progress),
          expect: [202, 204],
          signal,
        });
        await answer.discard();
        location = locationOf(answer);
        sent = blob.size;
      }
      // Appended as text: a registry may have signed its query as it stands.
      const complete = new URL(location);
      complete.search += `${complete.search === "" ? "?" : "&"}digest=${encodeURIComponent(blob.digest)}`;
      const answer = await session.request({
        method: "PUT",
        target: complete,
        scopes: [pushScope(path)],
        headers: { "Content-Type": "application/octet-stream" },
        body: sent === blob.size ? { open: () => "", length: 0 } : bodyOf(blob, 0, progress),
        expect: [201, 204],
        signal,
      });
      await answer.discard();
      progress?.(blob.size);
      return { kind: "uploaded" };
    } catch (error) {
      if (!(error instanceof RequestFailure)) throw error;
      await attempts.next(resumable(error), signal);
      const state = await statusOf(parts, location, blob.size, signal);
      if (state.sent > sent) attempts.reset();
      ({ location, sent } = state);
    }
  }
}

/** 404 and 416 in the middle of an upload mean that the registry lost or mistook it: it begins anew. */
function resumable(error: RequestFailure): RequestFailure {
  const isLost = error.status === 404 || error.status === 416;
  return isLost ? reworded(error, { isPassing: true }) : error;
}

/** How far an upload has come, by its registry; a new one where it is gone or cannot tell. */
async function statusOf(
  parts: UploadParts,
  location: URL,
  size: number,
  signal: AbortSignal | undefined,
): Promise<{ location: URL; sent: number }> {
  const { session, path } = parts;
  try {
    const answer = await session.request({
      method: "GET",
      target: location,
      scopes: [pushScope(path)],
      expect: [204],
      signal,
    });
    await answer.discard();
    const sent = parseUploadRange(answer.headers.get("range"));
    if (sent !== undefined && sent <= size) {
      const next = answer.headers.get("location");
      return { location: next === null ? location : locationOf(answer), sent };
    }
  } catch (error) {
    if (!(error instanceof RequestFailure)) throw error;
  }
  return { location: await begin(parts, signal), sent: 0 };
}

/** The address for the next step. It may be relative, and may be on another host: then it goes without credentials. */
function locationOf(answer: SessionAnswer): URL {
  const text = answer.headers.get("location");
  const location = text === null ? null : URL.parse(text, answer.url.href);
  if (location === null || (location.protocol !== "https:" && location.protocol !== "http:")) {
    throw new InvalidParameter(`registry ${answer.url.host} gave no valid address for an upload (Location)`);
  }
  if (location.protocol === "http:" && answer.url.protocol === "https:") {
    // A registry behind a proxy that ends TLS often does not know that it is asked over HTTPS.
    if (location.hostname !== answer.url.hostname) {
      throw new InvalidParameter(`registry ${answer.url.host} wants an upload over plain HTTP; refused`);
    }
    location.protocol = "https:";
    location.port = answer.url.port;
  }
  return location;
}

function bodyOf(
  { source, size }: OutgoingBlob,
  from: number,
  progress: ((sent: number) => void) | undefined,
): RequestBody {
  return { open: () => counted(skipped(source(), from), from, size, progress), length: size - from };
}

/** Exactly the promised bytes: a source with others is a fault on our side, and not sent as if it were right. */
async function* counted(
  source: AsyncIterable<Uint8Array>,
  from: number,
  size: number,
  progress: ((sent: number) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  let sent = from;
  for await (const chunk of source) {
    sent += chunk.byteLength;
    if (sent > size) break;
    yield chunk;
    progress?.(sent);
  }
  if (sent !== size)
    throw new SystemFailure(`a blob to be sent has not the ${size} bytes that it should have`);
}

async function* skipped(source: ByteSource, offset: number): AsyncGenerator<Uint8Array> {
  if (isFileRange(source)) {
    const { path, offset: start = 0, length } = source;
    yield* chunksOf({
      path,
      offset: start + offset,
      ...(length === undefined ? {} : { length: length - offset }),
    });
    return;
  }
  let left = offset;
  for await (const chunk of source) {
    if (left >= chunk.byteLength) left -= chunk.byteLength;
    else {
      yield chunk.subarray(left);
      left = 0;
    }
  }
}
