/** A registry of a test's own, in this process, and the requests that clients make. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRegistryServer, type RegistryServerOptions } from "../../src/registry/server/index.ts";

export interface World extends AsyncDisposable {
  readonly root: string;
  readonly address: string;
  /** A path below the address. */
  call(path: string, init?: RequestInit): Promise<Response>;
  /** Stops the server and starts another on the same root. */
  restart(options?: Partial<RegistryServerOptions>): Promise<void>;
}

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), "davit-test-registry-"));
}

export async function startRegistry(options: Partial<RegistryServerOptions> = {}): Promise<World> {
  const root = options.root ?? temporaryDirectory();
  const open = (more: Partial<RegistryServerOptions>) =>
    openRegistryServer({
      listen: { hostname: "127.0.0.1", port: 0 },
      collectEvery: 0,
      ...options,
      ...more,
      root,
    });
  let server = await open({});
  return {
    root,
    get address() {
      return server.address;
    },
    call: (path, init) => fetch(new URL(path, server.address), { redirect: "manual", ...init }),
    async restart(more = {}) {
      await server.close(0);
      server = await open(more);
    },
    async [Symbol.asyncDispose]() {
      await server.close(0);
      rmSync(root, { recursive: true, force: true });
    },
  };
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** So many bytes that no other call gives. */
export function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

export function digestOf(bytes: Uint8Array | string, algorithm: "sha256" | "sha512" = "sha256"): string {
  return `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest("hex")}`;
}

/** POST and PUT, as most clients do. @returns its digest */
export async function pushBlob(world: World, repository: string, bytes: Uint8Array): Promise<string> {
  const digest = digestOf(bytes);
  const upload = await beginUpload(world, repository);
  await expectStatus(await world.call(`${upload}?digest=${digest}`, { method: "PUT", body: bytes }), 201);
  return digest;
}

/** @returns the upload's address */
export async function beginUpload(world: World, repository: string): Promise<string> {
  const response = await world.call(`/v2/${repository}/blobs/uploads/`, { method: "POST" });
  await expectStatus(response, 202);
  return response.headers.get("location") ?? "";
}

export interface ManifestFields {
  config: Uint8Array;
  layers: readonly Uint8Array[];
  [field: string]: unknown;
}

export const manifestType = "application/vnd.oci.image.manifest.v1+json";
export const indexType = "application/vnd.oci.image.index.v1+json";

export function manifestOf({ config, layers, ...more }: ManifestFields): string {
  const descriptor = (mediaType: string, bytes: Uint8Array) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: layers.map((layer) => descriptor("application/vnd.oci.image.layer.v1.tar", layer)),
    ...more,
  });
}

export async function putManifest(
  world: World,
  repository: string,
  reference: string,
  manifest: string,
  mediaType = manifestType,
): Promise<Response> {
  return await world.call(`/v2/${repository}/manifests/${reference}`, {
    method: "PUT",
    body: manifest,
    headers: { "Content-Type": mediaType },
  });
}

/** Blobs and manifest. @returns the manifest's digest */
export async function pushImage(
  world: World,
  repository: string,
  tag: string,
  layers: readonly Uint8Array[] = [randomBytes(1000)],
): Promise<string> {
  const config = bytesOf(JSON.stringify({ architecture: "amd64", os: "linux", id: crypto.randomUUID() }));
  for (const blob of [config, ...layers]) await pushBlob(world, repository, blob);
  const manifest = manifestOf({ config, layers });
  await expectStatus(await putManifest(world, repository, tag, manifest), 201);
  return digestOf(manifest);
}

/** @throws with the body when the status is another. */
export async function expectStatus(response: Response, status: number): Promise<void> {
  if (response.status === status) return;
  throw new Error(`${response.url}: status ${response.status}, not ${status}: ${await response.text()}`);
}

/** The first error code of a refusal. */
export async function codeOf(response: Response): Promise<string> {
  const body: { errors?: { code?: string }[] } = JSON.parse(await response.text());
  return body.errors?.[0]?.code ?? "";
}
