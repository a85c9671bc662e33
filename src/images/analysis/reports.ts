/** What each layer of an image adds, changes, removes and wastes. */
import type { LayerReport } from "../../core/objects.ts";
import type { Image } from "../image.ts";
import { FileTree } from "./file-tree.ts";
import { readLayer } from "./read-layer.ts";

/**
 * Reads all layers once. Bottom first. A directory counts as changed when its mode or owner did; `Wasted` are the bytes
 * of files in lower layers that this layer replaces or removes.
 * @throws InvalidParameter for a layer that is no tar; what opening a layer throws.
 */
export async function layerReports(
  image: Image,
  options: { signal?: AbortSignal } = {},
): Promise<LayerReport[]> {
  using tree = new FileTree();
  const createdBy = image.config.value.history
    .filter((step) => step.empty_layer !== true)
    .map((step) => step.created_by ?? "");
  const reports: LayerReport[] = [];
  for (const [position, layer] of image.layers.entries()) {
    const { digest, mediaType, size } = await layer.descriptor();
    const counts = await readLayer(tree, layer, { ...options, withContents: false });
    reports.push({
      Digest: digest,
      DiffID: layer.diffId,
      MediaType: mediaType,
      Size: size,
      UnpackedSize: counts.unpacked,
      Added: counts.added,
      Changed: counts.changed,
      Removed: counts.removed,
      Wasted: counts.wasted,
      CreatedBy: createdBy[position] ?? "",
    });
  }
  return reports;
}
