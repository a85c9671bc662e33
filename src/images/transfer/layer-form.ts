/** In which form layers travel: what they are compressed with, and what becomes of those that are compressed already. */
import { mediaTypes } from "../manifest.ts";

export type LayerCompression = "uncompressed" | "gzip" | "zstd";

export interface LayerForm {
  readonly compression: LayerCompression;
  /** 0 to 9 of gzip, 0 to 22 of zstd; undefined for davit's own choice, the fastest. */
  readonly level?: number;
  /** Layers that are compressed already (those of a base image) are brought into this form, too. */
  readonly isForced?: boolean;
}

/** What `push` does when nobody says anything. */
export const defaultForm: LayerForm = { compression: "gzip" };

/** The highest level; the lowest is 0. */
export const highestLevel: Readonly<Record<LayerCompression, number>> = {
  uncompressed: 0,
  gzip: 9,
  zstd: 22,
};

const ociTypes = {
  uncompressed: mediaTypes.layer,
  gzip: mediaTypes.layerGzip,
  zstd: mediaTypes.layerZstd,
} as const;

const dockerTypes = {
  uncompressed: mediaTypes.dockerLayer,
  gzip: mediaTypes.dockerLayerGzip,
  zstd: mediaTypes.dockerLayerZstd,
} as const;

/** Undefined for what is no layer that davit knows. */
export function compressionOfType(mediaType: string): LayerCompression | undefined {
  return (["uncompressed", "gzip", "zstd"] as const).find(
    (compression) => ociTypes[compression] === mediaType || dockerTypes[compression] === mediaType,
  );
}

/** The same in OCI's words. */
export function ociTypeOf(mediaType: string): string {
  const compression = compressionOfType(mediaType);
  return compression === undefined ? mediaType : ociTypes[compression];
}

/** The media type of the same layer in another compression; a Docker type stays one. */
export function typeInCompression(mediaType: string, compression: LayerCompression): string {
  const isDocker = Object.values<string>(dockerTypes).includes(mediaType);
  return isDocker ? dockerTypes[compression] : ociTypes[compression];
}

/** True when a layer of this media type is to be converted. */
export function isOtherForm(mediaType: string, form: LayerForm): boolean {
  const current = compressionOfType(mediaType);
  if (current === undefined) return false;
  if (current === form.compression) {
    return form.isForced === true && form.level !== undefined && current !== "uncompressed";
  }
  return current === "uncompressed" || form.isForced === true;
}
