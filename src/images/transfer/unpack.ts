/** Unpacks one layer, on whatever thread it is called: the work of `layer-worker.ts`, and of small layers' callers. */
import { DavitError, InvalidParameter, LinuxError, messageOf, SystemFailure } from "../../core/errors.ts";
import { linuxError } from "../../linux/libc.ts";
import { applyLayer } from "../layers/apply.ts";
import { decompress } from "../layers/compression.ts";
import type { StreamHash } from "../layers/side-hash.ts";
import type { ByteSource } from "../layers/tar-entry.ts";
import type { Failure, UnpackedLayer, UnpackJob } from "./messages.ts";

export interface UnpackOptions {
  signal: AbortSignal;
  /** The umask of this thread is 0. */
  makesExactModes: boolean;
  /** Where a compressed layer's bytes are hashed; on this thread when absent. */
  hashAside?: (() => StreamHash) | undefined;
}

/** @throws InvalidParameter, LinuxError as `applyLayer` does. */
export async function unpack(
  source: ByteSource,
  job: UnpackJob,
  { signal, makesExactModes, hashAside }: UnpackOptions,
): Promise<UnpackedLayer> {
  if (job.target === undefined) return digestOnly(source, signal);
  const { isAlone } = job;
  const applied = await applyLayer(source, job.target, {
    hash: "compressed",
    isAlone,
    makesExactModes,
    hashAside,
    signal,
  });
  return {
    diffId: applied.diffId,
    size: applied.size,
    compression: applied.compression,
    implied: applied.implied,
  };
}

async function digestOnly(source: ByteSource, signal: AbortSignal): Promise<UnpackedLayer> {
  const { compression, stream } = await decompress(source, { signal });
  if (compression === "none") return { diffId: undefined, size: 0, compression, implied: [] };
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of stream) {
    signal.throwIfAborted();
    hash.update(chunk);
  }
  return { diffId: `sha256:${hash.digest("hex")}`, size: 0, compression, implied: [] };
}

export function describeFailure(error: unknown, signal: AbortSignal): Failure {
  if (error instanceof LinuxError) {
    return { kind: "linux", syscall: error.syscall, errno: error.errno, path: error.path };
  }
  if (signal.aborted) return { kind: "cancelled" };
  if (error instanceof InvalidParameter) return { kind: "invalid", message: error.message };
  return { kind: "other", message: error instanceof DavitError ? error.message : messageOf(error) };
}

/** The error again. */
export function failureOf(failure: Failure): Error {
  switch (failure.kind) {
    case "invalid":
      return new InvalidParameter(failure.message);
    case "linux":
      return linuxError(failure.syscall, failure.errno, failure.path);
    case "cancelled":
      return new SystemFailure("unpacking was given up");
    case "other":
      return new SystemFailure(`unpacking a layer: ${failure.message}`);
  }
}
