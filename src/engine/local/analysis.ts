/** What images are made of, and in what two of them differ. */
import type { ImageDifference, LayerReport } from "../../core/objects.ts";
import { imageDifferences, layerReports, storedImage } from "../../images/analysis/index.ts";
import type { Image } from "../../images/image.ts";
import { parsePlatform } from "../../images/platform.ts";
import { imageFor } from "../../images/variants.ts";
import type { Local } from "./local.ts";

/** `Images.layers`. @throws NotFound */
export async function layersOf(
  local: Local,
  reference: string,
  options: { platform?: string } = {},
): Promise<LayerReport[]> {
  return await layerReports(imageOf(local, reference, options.platform));
}

/** `Images.diff`. @throws NotFound */
export async function differences(
  local: Local,
  from: string,
  to: string,
  options: { platform?: string } = {},
): Promise<ImageDifference[]> {
  return await imageDifferences(imageOf(local, from, options.platform), imageOf(local, to, options.platform));
}

function imageOf(local: Local, reference: string, platform: string | undefined): Image {
  const wanted = platform === undefined ? undefined : parsePlatform(platform);
  const { record, manifest } = imageFor(local, reference, wanted);
  return storedImage(local, record, manifest);
}
