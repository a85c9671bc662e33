/** What a working container's image says of itself: config, history and manifest, in OCI's format or Docker's. */
import type { ContainerConfig } from "../../core/objects.ts";
import { configDocument, type Image, type Layer, manifestDocument } from "../../images/image.ts";
import { type HistoryEntry, type Manifest, mediaTypes } from "../../images/manifest.ts";
import { inFormat } from "../../images/transports/convert.ts";
import type { WorkingRecord } from "../../state/working-containers.ts";
import { timestamp as timeText } from "../local/local.ts";
import type { WorkingCommitRequest } from "../working.ts";
import type { BaseLayers } from "./base-layers.ts";

type Terms = Pick<
  WorkingCommitRequest,
  "format" | "timestamp" | "omitHistory" | "unsetEnvironment" | "labels"
>;

export async function composeImage(
  record: WorkingRecord,
  base: BaseLayers,
  layer: Layer,
  terms: Terms,
): Promise<Image> {
  const format = terms.format ?? record.format;
  const created = terms.timestamp === undefined ? timeText() : wholeSeconds(terms.timestamp);
  const layers = [...base.layers, layer];
  const config = finalConfig(record.config.config, terms);
  const parts: Parts = {
    record,
    created,
    config,
    diffIds: layers.map(({ diffId }) => diffId),
    history: terms.omitHistory === true ? undefined : historyOf(record, base, created, terms),
  };
  const text = JSON.stringify(format === "oci" ? ociDocument(parts) : dockerDocument(parts));
  const document = configDocument(Buffer.from(text));
  const manifest = await manifestFor(document, layers, record, format);
  const image: Image = { config: document, layers, manifest: async () => manifest };
  const [converted] = await inFormat([{ image, names: [], parent: undefined }], format);
  return converted?.image ?? image;
}

function wholeSeconds(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
}

function finalConfig(
  config: ContainerConfig,
  { unsetEnvironment = [], labels = {} }: Terms,
): ContainerConfig {
  const unset = new Set(unsetEnvironment);
  const all = { ...config.Labels, ...labels };
  return {
    ...config,
    ...(config.Env ? { Env: config.Env.filter((entry) => !unset.has(entry.split("=", 1)[0] ?? "")) } : {}),
    ...(Object.keys(all).length === 0 ? {} : { Labels: all }),
  };
}

function historyOf(
  record: WorkingRecord,
  base: BaseLayers,
  created: string,
  { timestamp }: Terms,
): HistoryEntry[] {
  const { author } = record.config;
  const shell = record.config.config.Shell;
  const from = record.image === undefined ? "" : `FROM ${record.image.name}`;
  const comment = record.historyComment || from;
  const own = record.history.map((line) => ({
    created: timestamp === undefined ? line.created : created,
    created_by: line.created_by,
    empty_layer: true,
  }));
  const last: HistoryEntry = {
    created,
    created_by: record.createdBy || (shell?.length ? shell.join(" ") : "/bin/sh"),
    ...(author ? { author } : {}),
    ...(comment === "" ? {} : { comment }),
  };
  return [...base.history, ...own, last];
}

export interface Parts {
  /** Without an id, for an image that no container was made of. */
  readonly record: Omit<WorkingRecord, "id"> & { readonly id: string };
  readonly created: string;
  readonly config: ContainerConfig;
  readonly diffIds: readonly string[];
  readonly history: readonly HistoryEntry[] | undefined;
}

/** OCI image-spec, config.md: without what only Docker knows, and without what is empty. */
export function ociDocument({ record, created, config, diffIds, history }: Parts): object {
  const { author, architecture, variant, os, osVersion, osFeatures } = record.config;
  return withoutEmpty({
    created,
    author,
    architecture,
    variant,
    os,
    "os.version": osVersion,
    "os.features": osFeatures,
    config: ociConfig(config),
    rootfs: { type: "layers", diff_ids: diffIds },
    history,
  });
}

export function ociConfig(config: ContainerConfig): object {
  const { User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels, StopSignal } = config;
  const fields = { User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels, StopSignal };
  return withoutEmpty(fields);
}

/** Docker image specification v1.2. */
export function dockerDocument({ record, created, config, diffIds, history }: Parts): object {
  const { author, comment, architecture, variant, os, osVersion, osFeatures } = record.config;
  const whole = dockerConfig(config);
  return withoutEmpty({
    parent: record.image?.id,
    comment,
    created,
    container: record.id,
    container_config: whole,
    author,
    config: whole,
    architecture,
    variant,
    os,
    "os.version": osVersion,
    "os.features": osFeatures,
    rootfs: { type: "layers", diff_ids: diffIds },
    history,
  });
}

export function dockerConfig(config: ContainerConfig): object {
  const { ExposedPorts, Healthcheck, StopSignal, Shell } = config;
  return {
    Hostname: config.Hostname ?? "",
    Domainname: config.Domainname ?? "",
    User: config.User ?? "",
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    ...withoutEmpty({ ExposedPorts }),
    Tty: config.Tty ?? false,
    OpenStdin: config.OpenStdin ?? false,
    StdinOnce: config.StdinOnce ?? false,
    Env: config.Env ?? null,
    Cmd: config.Cmd?.length ? config.Cmd : null,
    ...withoutEmpty({ Healthcheck }),
    Image: "",
    Volumes: config.Volumes ?? null,
    WorkingDir: config.WorkingDir ?? "",
    Entrypoint: config.Entrypoint?.length ? config.Entrypoint : null,
    OnBuild: config.OnBuild ?? [],
    Labels: config.Labels ?? null,
    ...withoutEmpty({ StopSignal, Shell }),
  };
}

/** An image always has a config, though there be nothing in it. */
function withoutEmpty(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).filter(([key, value]) => key === "config" || !isEmpty(value)),
  );
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/**
 * In the other format than the one that is wanted: so everything in it is converted, also the layers of a base image
 * that came in that one.
 */
async function manifestFor(
  config: Image["config"],
  layers: readonly Layer[],
  { annotations }: WorkingRecord,
  wanted: "oci" | "docker",
) {
  const isOci = wanted === "docker";
  const value: Manifest = {
    schemaVersion: 2,
    mediaType: isOci ? mediaTypes.manifest : mediaTypes.dockerManifest,
    config: {
      mediaType: isOci ? mediaTypes.config : mediaTypes.dockerConfig,
      digest: config.digest,
      size: config.bytes.byteLength,
    },
    layers: await Promise.all(layers.map((layer) => layer.descriptor())),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations: { ...annotations } }),
  };
  return manifestDocument(Buffer.from(JSON.stringify(value)));
}
