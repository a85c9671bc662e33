/** Images in a registry that answers as a test says, and an engine that pulls from it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describeInstance } from "../../src/core/instance.ts";
import type { Engine, ProgressMessage, PullOptions } from "../../src/engine/engine.ts";
import { openLocalEngine } from "../../src/engine/local/index.ts";
import { buildImage, type ImageSpec, sha256 } from "./support.ts";

export interface Blob {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export function blob(bytes: Uint8Array | string): Blob {
  const buffer = Buffer.from(bytes);
  return { digest: `sha256:${sha256(buffer)}`, bytes: buffer };
}

export const types = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
} as const;

export interface RemoteImage {
  readonly id: string;
  readonly manifest: Blob;
  readonly blobs: readonly Blob[];
  readonly layers: readonly Blob[];
}

/** @param change what the manifest says in place of the truth. */
export function remoteImage(
  spec: ImageSpec,
  change: (manifest: { config: object; layers: Record<string, unknown>[] }) => void = () => {},
): RemoteImage {
  const image = buildImage({ pack: gzipSync, ...spec });
  const config = blob(image.config);
  const layers = image.packed.map(blob);
  const value = {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: config.digest,
      size: config.bytes.length,
    },
    layers: layers.map(({ digest, bytes }) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest,
      size: bytes.length,
    })),
  };
  change(value);
  return { id: image.id, manifest: blob(JSON.stringify(value)), blobs: [config, ...layers], layers };
}

/** A registry with one repository, `team/app`. */
export interface Shelf extends AsyncDisposable {
  readonly name: string;
  /** Tag or digest → manifest or index. */
  readonly manifests: Map<string, { bytes: Uint8Array; type: string }>;
  readonly blobs: Map<string, Uint8Array>;
  /** `GET blobs/sha256:… bytes=5-`, in order. */
  readonly asked: string[];
  /** Answers in place of the shelf where it gives an answer. */
  answer: ((path: string, request: Request) => Response | undefined) | undefined;
  put(tag: string, image: RemoteImage): void;
}

export function shelf(): Shelf {
  const manifests: Shelf["manifests"] = new Map();
  const blobs: Shelf["blobs"] = new Map();
  const asked: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 60,
    fetch: (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/v2/") return new Response("{}");
      const path = pathname.replace("/v2/team/app/", "");
      asked.push(
        [request.method, path, request.headers.get("range")].filter((word) => word !== null).join(" "),
      );
      return self.answer?.(path, request) ?? usual(path, request);
    },
  });
  const usual = (path: string, request: Request): Response => {
    const [kind = "", name = ""] = path.split("/");
    if (path === "tags/list") {
      const tags = [...manifests.keys()].filter((key) => !key.startsWith("sha256:"));
      return Response.json({ name: "team/app", tags });
    }
    const manifest = kind === "manifests" ? manifests.get(name) : undefined;
    const bytes = kind === "blobs" ? blobs.get(name) : manifest?.bytes;
    if (bytes === undefined) {
      const code = kind === "manifests" ? "MANIFEST_UNKNOWN" : "BLOB_UNKNOWN";
      return Response.json({ errors: [{ code, message: "unknown" }] }, { status: 404 });
    }
    const headers = {
      "content-type": manifest?.type ?? "application/octet-stream",
      "docker-content-digest": `sha256:${sha256(bytes)}`,
    };
    const start = /^bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1];
    if (start === undefined) return new Response(bytes, { headers });
    const range = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
    return new Response(bytes.slice(Number(start)), {
      status: 206,
      headers: { ...headers, "content-range": range },
    });
  };
  const self: Shelf = {
    name: `127.0.0.1:${server.port}/team/app`,
    manifests,
    blobs,
    asked,
    answer: undefined,
    put: (tag, image) => {
      const entry = { bytes: image.manifest.bytes, type: types.manifest };
      manifests.set(tag, entry);
      manifests.set(image.manifest.digest, entry);
      for (const { digest, bytes } of image.blobs) blobs.set(digest, bytes);
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  return self;
}

export interface TestEngine extends AsyncDisposable {
  readonly engine: Engine;
  readonly dataRoot: string;
  /** @returns all messages. */
  pull(name: string, options?: PullOptions): Promise<ProgressMessage[]>;
  /** Statuses of all messages, with the layer's id before them. */
  push(name: string, options?: { all?: boolean; platform?: string }): Promise<ProgressMessage[]>;
}

/** @param dataRoot the caller's, which stays; one of its own otherwise. */
export async function testEngine(
  options: { dataRoot?: string; storageDriver?: string } = {},
): Promise<TestEngine> {
  const top = mkdtempSync(join(tmpdir(), "davit-test-pull-"));
  const dataRoot = options.dataRoot ?? join(top, "data");
  const instance = describeInstance(dataRoot, join(top, "exec"));
  const { storageDriver } = options;
  const engine = await openLocalEngine({
    instance,
    self: [process.execPath],
    searchPath: "",
    ...(storageDriver === undefined ? {} : { storageDriver }),
  });
  return {
    engine,
    dataRoot,
    pull: (name, query) => Array.fromAsync(engine.images.pull(name, query)),
    push: (name, query) => Array.fromAsync(engine.images.push(name, query)),
    [Symbol.asyncDispose]: async () => {
      await engine.close();
      rmSync(top, { recursive: true, force: true });
    },
  };
}

/** Lines as a user sees them where there is no terminal: no bars. */
export function linesOf(messages: readonly ProgressMessage[]): string[] {
  return messages
    .filter(({ progressDetail }) => progressDetail?.total === undefined)
    .flatMap(({ id, status }) => (status === undefined ? [] : [id ? `${id}: ${status}` : status]));
}

/** Bytes that do not compress, so that a layer is as large as it looks. */
export function noise(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}
