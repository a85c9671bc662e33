/** Writes a request's body to a file: a batch is written while the next one arrives, and never more is in memory. */
import { writev } from "node:fs";
import { hasErrno } from "../../../core/errors.ts";
import { RegistryFailure } from "../failures.ts";

/** Bytes that are gathered for one write. */
const batchSize = 512 * 1024;
/** The least that a body must bring, so that nobody holds a connection for nothing. */
export interface Pace {
  bytes: number;
  /** The time in which they must come. */
  milliseconds: number;
}

/** 1 KiB a second. */
export const usualPace: Pace = { bytes: 60 * 1024, milliseconds: 60_000 };

/** Bytes that come one after the other. */
export interface ByteFeed {
  next(): Promise<{ done: boolean; value: Uint8Array | undefined }>;
  /** Nobody wants more; a `next` that waits ends. */
  cancel(): void;
}

/** A request's body. */
export function feedOfStream(body: ReadableStream<Uint8Array>): ByteFeed {
  const reader = body.getReader();
  return {
    next: async () => {
      const { done, value } = await reader.read();
      return { done, value };
    },
    cancel: () => {
      // The sender may be gone already: that is told by `next`.
      reader.cancel().catch(() => {});
    },
  };
}

export interface ReceiveSteps {
  /** Called before `length` more bytes are written; throws to refuse them. */
  before(length: number): void;
  /** They are in the file (in the kernel's hands, not yet synced). `isLast`: no more come with this body. */
  written(buffers: readonly Uint8Array[], length: number, isLast: boolean): void;
}

/**
 * Everything that arrived is written and told to `written`, also when the body ends too soon.
 * @throws what `before` throws; RegistryFailure when the sender is slower than `pace` or goes away, or the disk is full
 */
export async function receive(
  feed: ByteFeed,
  fd: number,
  offset: number,
  steps: ReceiveSteps,
  pace: Pace,
): Promise<void> {
  let isSlow = false;
  let arrived = 0;
  /** We were at work ourselves: what did not come meanwhile is not the sender's fault. */
  let wasBusy = false;
  let before = 0;
  const timer = setInterval(() => {
    isSlow = !wasBusy && arrived - before < pace.bytes;
    wasBusy = false;
    before = arrived;
    if (isSlow) feed.cancel();
  }, pace.milliseconds);
  let position = offset;
  let gathered: Uint8Array[] = [];
  let size = 0;
  let writing: Promise<void> | undefined;
  const flush = async (isLast: boolean): Promise<void> => {
    await writing;
    wasBusy ||= writing !== undefined;
    if (size === 0) return;
    const buffers = gathered;
    const length = size;
    gathered = [];
    size = 0;
    steps.before(length);
    const at = position;
    position += length;
    writing = writeAll(fd, buffers, at).then(() => steps.written(buffers, length, isLast));
    // Its failure is thrown by whoever waits for it next.
    writing.catch(() => {});
  };

  try {
    for (;;) {
      const { done, value } = await readOrFail(feed, async () => {
        await flush(true);
        await writing;
      });
      if (isSlow) {
        await flush(true);
        await writing;
        throw new RegistryFailure("BLOB_UPLOAD_INVALID", "the body comes too slowly", { status: 408 });
      }
      if (done) break;
      arrived += value.length;
      gathered.push(value);
      size += value.length;
      if (size >= batchSize) await flush(false);
    }
    await flush(true);
    await writing;
  } catch (error) {
    await writing?.catch(() => {});
    feed.cancel();
    throw hasErrno(error, "ENOSPC", "EDQUOT")
      ? new RegistryFailure("UNAVAILABLE", "no space left on the registry's disk", {
          status: 507,
          cause: error,
        })
      : error;
  } finally {
    clearInterval(timer);
  }
}

/** @throws RegistryFailure when the connection broke; `keep` saves what had arrived before. */
async function readOrFail(
  feed: ByteFeed,
  keep: () => Promise<void>,
): Promise<{ done: boolean; value: Uint8Array }> {
  try {
    const { done, value } = await feed.next();
    return { done, value: value ?? new Uint8Array() };
  } catch (error) {
    await keep();
    throw new RegistryFailure("BLOB_UPLOAD_INVALID", "the connection was closed in the middle of the body", {
      cause: error,
    });
  }
}

async function writeAll(fd: number, buffers: readonly Uint8Array[], position: number): Promise<void> {
  let rest = [...buffers];
  let at = position;
  while (rest.length > 0) {
    let written = await writeSome(fd, rest, at);
    at += written;
    while (rest[0] !== undefined && written >= rest[0].length) {
      written -= rest[0].length;
      rest = rest.slice(1);
    }
    if (written > 0 && rest[0] !== undefined) rest = [rest[0].subarray(written), ...rest.slice(1)];
  }
}

function writeSome(fd: number, buffers: readonly Uint8Array[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(fd, buffers, position, (error, written) => (error === null ? resolve(written) : reject(error)));
  });
}
