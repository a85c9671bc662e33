/** The words of `--output` and `--cache-to` for the form of an image: compression and media types. */
import { parseBool } from "../../core/strconv.ts";
import { highestLevel, type ImageForm, type LayerCompression } from "../../engine/build.ts";
import { CommandError } from "../command.ts";

export const formKeys = ["compression", "compression-level", "force-compression", "oci-mediatypes"] as const;

/**
 * @param standard compression where none is given; undefined to leave layers as they are
 * @returns undefined where nothing is asked for @throws CommandError
 */
export function readForm(
  fields: ReadonlyMap<string, string>,
  standard: LayerCompression | undefined,
): ImageForm | undefined {
  const isForced = readTruth(fields, "force-compression");
  const level = readLevel(fields.get("compression-level"));
  const isAsked = isForced === true || level !== undefined;
  const compression =
    readCompression(fields.get("compression")) ?? standard ?? (isAsked ? "gzip" : undefined);
  const isOci = readTruth(fields, "oci-mediatypes");
  if (compression === undefined) return isOci === undefined ? undefined : mediaTypesOf(isOci, compression);
  if (level !== undefined && level > highestLevel[compression]) {
    throw new CommandError(
      `ERROR: compression-level ${level} is not supported by ${compression}: it has 0 to ${highestLevel[compression]}`,
    );
  }
  const layers = {
    compression,
    ...(level === undefined ? {} : { level }),
    ...(isForced === undefined ? {} : { isForced }),
  };
  return { layers, ...(isOci === undefined ? {} : mediaTypesOf(isOci, compression)) };
}

/** Docker's manifests have no word for zstd: as in BuildKit, such an image is OCI's whatever was asked for. */
function mediaTypesOf(
  isOci: boolean,
  compression: LayerCompression | undefined,
): Pick<ImageForm, "mediaTypes"> {
  return { mediaTypes: isOci || compression === "zstd" ? "oci" : "docker" };
}

function readCompression(text: string | undefined): LayerCompression | undefined {
  if (text === undefined || text === "") return undefined;
  if (text === "uncompressed" || text === "gzip" || text === "zstd") return text;
  if (text === "estargz") throw new CommandError("ERROR: compression estargz is not supported by davit");
  throw new CommandError(`ERROR: unsupported compression type ${JSON.stringify(text)}`);
}

function readLevel(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (!/^\d{1,9}$/.test(text)) {
    throw new CommandError(`ERROR: non-integer value ${text} specified for compression-level`);
  }
  return Number(text);
}

/** A key without a value is true, as in BuildKit. @throws CommandError */
export function readTruth(fields: ReadonlyMap<string, string>, key: string): boolean | undefined {
  const text = fields.get(key);
  if (text === undefined) return undefined;
  const truth = text === "" ? true : parseBool(text);
  if (truth === undefined) throw new CommandError(`ERROR: non-bool value ${text} specified for ${key}`);
  return truth;
}
