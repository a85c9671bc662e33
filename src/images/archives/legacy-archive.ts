/**
 * What `docker save` wrote before it knew manifest.json: `repositories` names the top layer of each image; each layer
 * is a directory with `json`, which names its parent, and `layer.tar`. The config is made the way Docker made it when
 * it moved such images to content addresses.
 */
import { InvalidParameter } from "../../core/errors.ts";
import type { DiffId } from "../../core/ids.ts";
import { composeManifest, configDocument, type Image, type ImageSource } from "../image.ts";
import type { IngestedBlob } from "../ingest.ts";
import { defined, type JsonReader, parseJson } from "../json.ts";
import { diffIdOf } from "../layer-digest.ts";
import { type HistoryEntry, mostLayers } from "../manifest.ts";
import { parseReference, type Reference } from "../references.ts";
import type { Archive } from "./archive.ts";
import { layerOfFile } from "./layer.ts";

interface LegacyLayer {
  json: JsonReader;
  file: IngestedBlob;
}

/** Fields of a layer's json that have no place in a config. */
const layerFields = ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"];

export function legacyArchive(archive: Archive): ImageSource {
  return {
    async *images() {
      for (const [top, names] of parseRepositories(archive)) {
        yield { image: await imageOf(archive, top), names, parent: undefined };
      }
    },
  };
}

function parseRepositories(archive: Archive): Map<string, Reference[]> {
  const images = new Map<string, Reference[]>();
  for (const [repository, tags] of parseJson(archive.read("repositories"), "repositories").entries()) {
    for (const [tag, id] of tags.entries()) {
      const top = id.string();
      images.set(top, [...(images.get(top) ?? []), parseReference(`${repository}:${tag}`)]);
    }
  }
  return images;
}

async function imageOf(archive: Archive, top: string): Promise<Image> {
  const stack = layersFrom(archive, top);
  const diffIds: DiffId[] = [];
  for (const { file } of stack) diffIds.push(await diffIdOf(file));
  const config = configDocument(Buffer.from(composeConfig(stack, diffIds)));
  const layers = stack.map(({ file }, at) => layerOfFile(file, diffIds[at] ?? missingDiffId(at)));
  return { config, layers, manifest: () => composeManifest(config, layers) };
}

/** Bottom first. */
function layersFrom(archive: Archive, top: string): LegacyLayer[] {
  const stack: LegacyLayer[] = [];
  for (let id: string | undefined = top; id !== undefined && id !== ""; ) {
    if (!/^[a-f0-9]{1,64}$/.test(id)) throw new InvalidParameter("invalid archive: a layer's id is not hex");
    if (stack.length === mostLayers) {
      throw new InvalidParameter(`invalid archive: more than ${mostLayers} layers, or a circle of parents`);
    }
    const json: JsonReader = parseJson(archive.read(`${id}/json`), `${id}/json`);
    stack.unshift({ json, file: archive.get(`${id}/layer.tar`) });
    id = json.at("parent").optional((value) => value.string());
  }
  return stack;
}

function composeConfig(stack: readonly LegacyLayer[], diffIds: readonly DiffId[]): string {
  const fields = (stack.at(-1)?.json.entries() ?? [])
    .filter(([key]) => !layerFields.includes(key))
    .map(([key, value]): [string, unknown] => [key, value.raw()]);
  fields.push(["rootfs", { type: "layers", diff_ids: diffIds }], ["history", stack.map(historyOf)]);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(Object.fromEntries(fields));
}

function historyOf({ json }: LegacyLayer): HistoryEntry {
  const text = (key: string) => json.at(key).optional((value) => value.string() || undefined);
  const command = json
    .at("container_config")
    .optional((value) => value.at("Cmd").optional((cmd) => cmd.strings()));
  return defined({
    created: text("created"),
    author: text("author"),
    created_by: command?.join(" "),
    comment: text("comment"),
  });
}

function missingDiffId(position: number): never {
  throw new InvalidParameter(`invalid archive: no diff id for layer ${position}`);
}
