/** The image that a stage has come to, as a value. The same stage on the same layers gives the same bytes. */
import type { ContainerConfig } from "../../core/objects.ts";
import { configDocument, type Document, type Image } from "../../images/image.ts";
import { digestOf, type HistoryEntry, type Manifest, mediaTypes } from "../../images/manifest.ts";
import { inlineField } from "../cache/remote/document.ts";
import type { StageImage } from "../dockerfile/stages/model.ts";
import type { WrittenLayer } from "./layers.ts";

export interface ImageParts {
  readonly stage: StageImage;
  readonly layers: readonly Pick<WrittenLayer, "layer" | "diffId">[];
  /** Nanoseconds since 1970. */
  readonly created: bigint;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Makes the image a cache: what its config says of the steps that have made its layers. */
  readonly inlineCache?: object;
}

export async function composeImage(parts: ImageParts): Promise<Image> {
  const { stage, layers } = parts;
  const created = timeText(parts.created);
  const { architecture, os, variant } = stage.platform;
  const document = {
    architecture,
    ...(stage.author === undefined ? {} : { author: stage.author }),
    config: configOf(stage.config, parts.labels),
    created,
    history: stage.history.map((entry) => historyEntry(entry, created)),
    os,
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    ...(variant === undefined ? {} : { variant }),
    ...(parts.inlineCache === undefined ? {} : { [inlineField]: parts.inlineCache }),
  };
  const config = configDocument(Buffer.from(JSON.stringify(document)));
  const manifest = await manifestOf(config, parts);
  return { config, layers: layers.map(({ layer }) => layer), manifest: async () => manifest };
}

async function manifestOf(
  config: Image["config"],
  { layers, annotations }: ImageParts,
): Promise<Document<Manifest>> {
  const value: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, digest: config.digest, size: config.bytes.byteLength },
    layers: await Promise.all(layers.map(({ layer }) => layer.descriptor())),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations: { ...annotations } }),
  };
  const bytes = Buffer.from(JSON.stringify(value));
  return { bytes, digest: digestOf(bytes), value };
}

/** Without what is empty, as Go leaves that out; labels of the command line come last. */
function configOf(config: ContainerConfig, labels: Readonly<Record<string, string>>): object {
  const all = { ...config.Labels, ...labels };
  const fields: ContainerConfig = { ...config, ...(Object.keys(all).length === 0 ? {} : { Labels: all }) };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "" || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Entries of this build have no time yet. */
function historyEntry(entry: HistoryEntry, created: string): HistoryEntry {
  const { created: own, ...others } = entry;
  return { created: own ?? created, ...others };
}

/** RFC 3339 with as many digits as there are, as Go writes times. */
export function timeText(nanoseconds: bigint): string {
  const milliseconds = nanoseconds / 1_000_000n;
  const seconds = new Date(Number(milliseconds)).toISOString().slice(0, 19);
  const fraction = (nanoseconds % 1_000_000_000n).toString().padStart(9, "0").replace(/0+$/, "");
  return `${seconds}${fraction === "" ? "" : `.${fraction}`}Z`;
}
