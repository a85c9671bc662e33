/** A blob's bytes, whatever happens on the way: broken connections are resumed, and no byte more than promised is taken. */
import { InvalidParameter } from "../../core/errors.ts";
import type { Descriptor } from "../../images/manifest.ts";
import { RequestFailure } from "./failures.ts";
import { Attempts, type Patience } from "./patience.ts";
import { parseContentRange } from "./range.ts";
import type { Session, SessionAnswer } from "./session.ts";

export interface DownloadOptions {
  path: string;
  scopes: readonly string[];
  patience: Patience;
  offset?: number;
  signal?: AbortSignal | undefined;
  /**
   * A chunk's memory is given back when the next is asked for. The runtime counts its bytes too late: a large download
   * would hold 40 MB of dead ones, or collect them over and over, which takes longer than to hash them.
   */
  freesChunks?: boolean;
}

/** Which session to ask; a mirror that fails is given up for the next one. */
export interface Sessions {
  current(): Promise<Session>;
  /** @returns false when there is no other. */
  giveUp(session: Session): boolean;
}

/**
 * Yields the bytes from `offset` to `descriptor.size`.
 * @throws RequestFailure; InvalidParameter when the registry has another size than promised.
 */
export async function* download(
  sessions: Sessions,
  descriptor: Descriptor,
  options: DownloadOptions,
): AsyncGenerator<Uint8Array> {
  const { size } = descriptor;
  const attempts = new Attempts(options.patience);
  let position = options.offset ?? 0;
  let mark: string | undefined;
  // What is empty need not be asked for; its digest is checked by who reads it.
  while (position < size) {
    const session = await sessions.current();
    try {
      const answer = await request(session, descriptor, position, mark, options);
      mark = strongMark(answer) ?? mark;
      for await (const chunk of within(answer, descriptor, position)) {
        position += chunk.byteLength;
        attempts.reset();
        yield chunk;
        if (options.freesChunks === true) free(chunk);
      }
      if (position < size) throw endedEarly(descriptor, position, session);
    } catch (error) {
      if (sessions.giveUp(session)) {
        options.signal?.throwIfAborted();
        mark = undefined;
        continue;
      }
      await attempts.next(error, options.signal);
    }
  }
}

/** Moving an array's memory into an empty one leaves nothing of it. */
function free(chunk: Uint8Array): void {
  if (chunk.buffer instanceof ArrayBuffer) chunk.buffer.transfer(0);
}

/** If-Range: where the blob has become another (it cannot, but for a broken server), all of it comes anew. */
async function request(
  session: Session,
  { digest }: Descriptor,
  position: number,
  mark: string | undefined,
  { path, scopes, signal }: DownloadOptions,
): Promise<SessionAnswer> {
  const headers: Record<string, string> = { Accept: "application/octet-stream, */*" };
  if (position > 0) {
    headers.Range = `bytes=${position}-`;
    if (mark !== undefined) headers["If-Range"] = mark;
  }
  const expect = position > 0 ? [200, 206] : [200];
  return await session.request({
    method: "GET",
    target: `v2/${path}/blobs/${digest}`,
    scopes,
    headers,
    expect,
    signal,
  });
}

/** Where the answer's first byte stands in the blob. A server without ranges begins anew. */
function startOf(answer: SessionAnswer, { digest, size }: Descriptor, position: number): number {
  if (answer.status === 206) {
    const range = parseContentRange(answer.headers.get("content-range"));
    const isWrong = range === undefined || range.start > position || (range.size ?? size) !== size;
    if (isWrong)
      throw new InvalidParameter(`blob ${digest}: the registry sent another range than it was asked for`);
    return range.start;
  }
  const length = answer.headers.get("content-length");
  if (length !== null && Number(length) !== size) {
    throw new InvalidParameter(
      `blob ${digest}: the registry has ${length} bytes, its descriptor says ${size}`,
    );
  }
  return 0;
}

/** The answer's bytes from `position` on. */
async function* within(
  answer: SessionAnswer,
  descriptor: Descriptor,
  position: number,
): AsyncGenerator<Uint8Array> {
  const { digest, size } = descriptor;
  let at: number;
  try {
    at = startOf(answer, descriptor, position);
  } catch (error) {
    await answer.discard();
    throw error;
  }
  for await (const chunk of answer.body()) {
    const end = at + chunk.byteLength;
    if (end > size)
      throw new InvalidParameter(`blob ${digest}: the registry sends more than the ${size} bytes promised`);
    if (end > position) yield at < position ? chunk.subarray(position - at) : chunk;
    at = end;
  }
}

/** Only a strong validator may be used with ranges. RFC 9110, 13.1.5. */
function strongMark(answer: SessionAnswer): string | undefined {
  const mark = answer.headers.get("etag");
  return mark?.startsWith('"') ? mark : undefined;
}

function endedEarly({ digest, size }: Descriptor, position: number, { endpoint }: Session): RequestFailure {
  return new RequestFailure(
    "unavailable",
    `blob ${digest}: ${endpoint.base.host} ended it after ${position} of ${size} bytes`,
    { isPassing: true },
  );
}
