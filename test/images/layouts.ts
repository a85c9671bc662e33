/** OCI layouts of tests: images for several platforms, an attestation, an artifact, in a directory. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Digest, parseDigest } from "../../src/core/ids.ts";
import { sha256 } from "./support.ts";
import { tar } from "./tar.ts";

export interface Entry {
  mediaType: string;
  digest: Digest;
  size: number;
  platform?: { os: string; architecture: string; variant?: string };
  annotations?: Record<string, string>;
}

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

const oci = "application/vnd.oci.image";

/** Blobs by digest, and descriptors of what is made of them. */
export class Blobs {
  readonly all = new Map<string, Uint8Array>();

  add(mediaType: string, bytes: Uint8Array | string, rest: Partial<Entry> = {}): Entry {
    const data = Buffer.from(bytes);
    const digest = parseDigest(`sha256:${sha256(data)}`);
    this.all.set(digest, data);
    return { mediaType, digest, size: data.byteLength, ...rest };
  }

  /** An image of two layers, the first of which all platforms share. */
  image(platform: Platform, kind: "oci" | "docker" = "oci", text = platform.architecture): Entry {
    const layers = [
      tar([
        { name: "etc/", type: "5" },
        { name: "etc/base", data: "the same everywhere" },
      ]),
      tar([{ name: "etc/platform", data: text }]),
    ];
    const layerType =
      kind === "oci" ? `${oci}.layer.v1.tar+gzip` : "application/vnd.docker.image.rootfs.diff.tar.gzip";
    const configType =
      kind === "oci" ? `${oci}.config.v1+json` : "application/vnd.docker.container.image.v1+json";
    const manifestType =
      kind === "oci" ? `${oci}.manifest.v1+json` : "application/vnd.docker.distribution.manifest.v2+json";
    const config = JSON.stringify({
      ...platform,
      created: "2024-01-02T03:04:05Z",
      config: { Cmd: ["sh"], Labels: { platform: platform.architecture } },
      rootfs: { type: "layers", diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
      history: layers.map((_, at) => ({ created: "2024-01-02T03:04:05Z", created_by: `step ${at}` })),
    });
    const manifest = {
      schemaVersion: 2,
      mediaType: manifestType,
      config: this.add(configType, config),
      layers: layers.map((layer) => this.add(layerType, gzipSync(layer))),
    };
    return this.add(manifestType, JSON.stringify(manifest), { platform });
  }

  /** As BuildKit attaches one to an image. */
  attestation(subject: Entry): Entry {
    const statement = this.add(
      "application/vnd.in-toto+json",
      JSON.stringify({
        _type: "https://in-toto.io/Statement/v0.1",
        subject: [{ name: "_", digest: { sha256: subject.digest.slice("sha256:".length) } }],
      }),
    );
    const config = this.add(
      `${oci}.config.v1+json`,
      JSON.stringify({
        architecture: "unknown",
        os: "unknown",
        config: {},
        rootfs: { type: "layers", diff_ids: [statement.digest] },
      }),
    );
    return this.add(
      `${oci}.manifest.v1+json`,
      JSON.stringify({
        schemaVersion: 2,
        mediaType: `${oci}.manifest.v1+json`,
        config,
        layers: [statement],
      }),
      {
        platform: { os: "unknown", architecture: "unknown" },
        annotations: {
          "vnd.docker.reference.digest": subject.digest,
          "vnd.docker.reference.type": "attestation-manifest",
        },
      },
    );
  }

  /** Spaces and a key that davit knows nothing of: bytes that only a byte for byte copy keeps. */
  index(manifests: readonly Entry[], kind: "oci" | "docker" = "oci"): Entry {
    const mediaType =
      kind === "oci" ? `${oci}.index.v1+json` : "application/vnd.docker.distribution.manifest.list.v2+json";
    const extra = kind === "oci" ? { annotations: { "org.example.note": "kept" } } : {};
    return this.add(mediaType, JSON.stringify({ schemaVersion: 2, mediaType, manifests, ...extra }, null, 3));
  }

  /** Writes a layout of these entries. */
  write(directory: string, entries: readonly Entry[]): void {
    mkdirSync(join(directory, "blobs/sha256"), { recursive: true });
    writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
    writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: entries }));
    for (const [digest, bytes] of this.all) {
      writeFileSync(join(directory, "blobs/sha256", digest.slice("sha256:".length)), bytes);
    }
  }
}

export function tagged(entry: Entry, tag: string): Entry {
  return { ...entry, annotations: { ...entry.annotations, "org.opencontainers.image.ref.name": tag } };
}

export const amd64: Platform = { os: "linux", architecture: "amd64" };
export const arm64: Platform = { os: "linux", architecture: "arm64", variant: "v8" };
export const s390x: Platform = { os: "linux", architecture: "s390x" };
