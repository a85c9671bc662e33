/** Layers of an archive: files of the session, which the store can adopt without copying. */
import { InvalidParameter } from "../../core/errors.ts";
import type { DiffId } from "../../core/ids.ts";
import type { Layer } from "../image.ts";
import type { IngestedBlob } from "../ingest.ts";
import { detectFileCompression } from "../layers/compression.ts";
import { type Descriptor, mediaTypes } from "../manifest.ts";

/**
 * A layer that the archive names by path alone: its descriptor is made from what the file is.
 * @param known its media type, where that need not be looked for
 */
export function layerOfFile(file: IngestedBlob, diffId: DiffId, known?: string): Layer {
  // Now: the store moves the file when it adopts it.
  const mediaType = known ?? mediaTypeOf(file);
  return {
    diffId,
    descriptor: async () => ({ mediaType, digest: await file.digest, size: file.size }),
    open: () => ({ path: file.path }),
    ingested: file,
  };
}

/** A layer that a manifest describes. @throws InvalidParameter when the file's size is another. */
export function layerOfDescriptor(descriptor: Descriptor, file: IngestedBlob): Omit<Layer, "diffId"> {
  if (file.size !== descriptor.size) {
    throw new InvalidParameter(
      `invalid archive: blob ${descriptor.digest} has ${file.size} bytes, its descriptor says ${descriptor.size}`,
    );
  }
  return {
    descriptor: async () => {
      const digest = await file.digest;
      if (digest !== descriptor.digest) {
        throw new InvalidParameter(`invalid archive: blob ${descriptor.digest} has the content of ${digest}`);
      }
      return descriptor;
    },
    open: () => ({ path: file.path }),
    ingested: file,
  };
}

function mediaTypeOf(file: IngestedBlob): string {
  switch (detectFileCompression({ path: file.path })) {
    case "none":
      return mediaTypes.layer;
    case "gzip":
      return mediaTypes.layerGzip;
    case "zstd":
      return mediaTypes.layerZstd;
    default:
      throw new InvalidParameter(
        "invalid archive: a layer is compressed with bzip2 or xz; gzip and zstd are read",
      );
  }
}
