/** One layer's tar, read into the tree of those below it. */
import { InvalidParameter } from "../../core/errors.ts";
import type { Layer } from "../image.ts";
import { defaultLayerLimits } from "../layers/apply.ts";
import { decompress } from "../layers/compression.ts";
import { entryPath, splitPath } from "../layers/entry-name.ts";
import { readTar } from "../layers/tar-reader.ts";
import type { FileTree, LayerCounts } from "./file-tree.ts";

export interface ReadLayerOptions {
  /** Digest the files' contents too. */
  withContents: boolean;
  signal?: AbortSignal;
}

const whiteoutPrefix = ".wh.";
const whiteoutMetaPrefix = ".wh..wh.";
const opaqueMark = ".wh..wh..opq";

/** @throws InvalidParameter for what is no tar, or has more entries than a layer may have. */
export async function readLayer(
  tree: FileTree,
  layer: Layer,
  { withContents, signal }: ReadLayerOptions,
): Promise<LayerCounts> {
  const options = signal === undefined ? {} : { signal };
  const { stream } = await decompress(layer.open(), options);
  tree.beginLayer(layer.diffId);
  let entries = 0;
  for await (const { entry, content } of readTar(stream, options)) {
    entries += 1;
    if (entries > defaultLayerLimits.entries) {
      throw new InvalidParameter(`layer ${layer.diffId} has more than ${defaultLayerLimits.entries} entries`);
    }
    const path = entryPath(entry.name);
    const { parent, base } = splitPath(path);
    if (base === opaqueMark) tree.hideBelow(parent);
    else if (base.startsWith(whiteoutMetaPrefix)) continue;
    else if (base.startsWith(whiteoutPrefix)) {
      const name = base.slice(whiteoutPrefix.length);
      tree.removeBelow(parent === "" ? name : `${parent}/${name}`);
    } else tree.add(path, entry, withContents && entry.type === "file" ? await digestOf(content) : "");
  }
  return tree.endLayer();
}

/** Only ever compared with one another, so it may be the fastest that nobody can forge. */
async function digestOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = new Bun.CryptoHasher("blake2b256");
  for await (const chunk of content) hash.update(chunk);
  return hash.digest("base64url");
}
