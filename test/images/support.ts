/** An image store of a test's own, and archives to put into it. */
import { expect } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type ContainerId, type ImageId, newContainerId } from "../../src/core/ids.ts";
import { describeInstance } from "../../src/core/instance.ts";
import type { ImageStores } from "../../src/images/collect.ts";
import { openContent } from "../../src/images/content.ts";
import { loadImages } from "../../src/images/load.ts";
import { type ContainerRecord, insertContainer, never } from "../../src/state/containers.ts";
import { openState } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";
import { type TarFile, tar } from "./tar.ts";

export interface TestStore extends ImageStores, AsyncDisposable {
  readonly dataRoot: string;
  readonly execRoot: string;
}

/** @param dataRoot a directory of the caller's, which is not removed; a new one by default. */
export function testStore(options: { dataRoot?: string; driver?: string } = {}): TestStore {
  const root = mkdtempSync(join(tmpdir(), "davit-test-images-"));
  const dataRoot = options.dataRoot ?? join(root, "data");
  const execRoot = join(root, "exec");
  const state = openState(describeInstance(dataRoot, execRoot));
  return {
    dataRoot,
    execRoot,
    state,
    content: openContent(dataRoot),
    snapshots: openSnapshotter(state, options.driver),
    [Symbol.asyncDispose]: async () => {
      state.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

export async function* streamOf(bytes: Uint8Array, chunk = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk);
}

/** Loads an archive. @returns the lines that a user sees. */
export async function load(stores: ImageStores, archive: Uint8Array): Promise<string[]> {
  const lines: string[] = [];
  for await (const message of loadImages(stores, streamOf(archive), { quiet: true })) {
    if (message.stream !== undefined) lines.push(message.stream.trimEnd());
  }
  return lines;
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export interface ImageSpec {
  /** Uncompressed tars, bottom first. */
  layers: Uint8Array[];
  /** How layers lie in the archive. */
  pack?: (layer: Uint8Array) => Uint8Array;
  config?: Record<string, unknown>;
  created?: string;
  tags?: string[];
}

export interface BuiltImage {
  id: string;
  config: Buffer;
  diffIds: string[];
  packed: Uint8Array[];
}

export function buildImage(spec: ImageSpec): BuiltImage {
  const diffIds = spec.layers.map((layer) => `sha256:${sha256(layer)}`);
  const created = spec.created ?? "2024-05-06T07:08:09.123456789Z";
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      created,
      config: { Cmd: ["sh"], ...spec.config },
      rootfs: { type: "layers", diff_ids: diffIds },
      history: diffIds.map((_, at) => ({ created, created_by: `step ${at}` })),
    }),
  );
  return {
    id: `sha256:${sha256(config)}`,
    config,
    diffIds,
    packed: spec.layers.map(spec.pack ?? ((layer) => layer)),
  };
}

/** As `docker save` before version 25 wrote it, manifest last. */
export function dockerArchive(...specs: ImageSpec[]): Buffer {
  const files = new Map<string, TarFile>();
  const items = specs.map((spec) => {
    const image = buildImage(spec);
    const layers = image.packed.map((data, at) => {
      const name = `${image.diffIds[at]?.slice("sha256:".length)}/layer.tar`;
      files.set(name, { name, data });
      return name;
    });
    const config = `${image.id.slice("sha256:".length)}.json`;
    files.set(config, { name: config, data: image.config });
    return { Config: config, RepoTags: spec.tags ?? null, Layers: layers };
  });
  return tar([...files.values(), { name: "manifest.json", data: JSON.stringify(items) }]);
}

/** One layer with one file. */
export function fileLayer(name: string, data: Uint8Array | string): Buffer {
  return tar([{ name, data }]);
}

/** Nothing is here: no records, no blobs, no snapshots, no session. */
export async function expectEmpty(stores: ImageStores): Promise<void> {
  for (const table of ["images", "tags", "indexes", "variants", "layers", "image_layers", "snapshots"]) {
    expect([table, stores.state.db.query(`SELECT * FROM ${table}`).all()]).toEqual([table, []]);
  }
  expect(stores.content.list()).toEqual([]);
  expect(await stores.snapshots.list()).toEqual([]);
  expect(entriesOf(join(stores.content.path, "ingest"))).toEqual([]);
  expect(snapshotDirectories(stores)).toEqual([]);
}

/** Directories that the driver keeps snapshots in. */
export function snapshotDirectories(stores: ImageStores): string[] {
  const { dataRoot } = stores.state.instance;
  return entriesOf(join(dataRoot, stores.snapshots.driver)).filter((name) => name !== "l" && name !== "lock");
}

export function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** Members of a plain tar: name → bytes. Enough for what our own save writes. */
export function untar(bytes: Uint8Array): Map<string, Buffer> {
  const archive = Buffer.from(bytes[0] === 0x1f ? gunzipSync(bytes) : bytes);
  const members = new Map<string, Buffer>();
  for (let at = 0; at + 512 <= archive.length; ) {
    const name = archive.toString("utf8", at, at + 100).replace(/\0.*$/s, "");
    if (name === "") break;
    const size = Number.parseInt(archive.toString("latin1", at + 124, at + 135), 8);
    members.set(name, archive.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return members;
}

/** Records a container of an image (id), and nothing else of it. @returns its id */
export function addContainerRecord(
  { state, snapshots }: TestStore,
  image: string,
  status: "exited" | "running",
): ContainerId {
  const id = newContainerId();
  const process = { pid: 1, started: 1 };
  const record: ContainerRecord = {
    id,
    name: `c-${id.slice(0, 6)}`,
    created: new Date().toISOString(),
    imageId: image as ImageId,
    imageName: "app:1",
    platform: "linux",
    driver: snapshots.driver,
    runtime: "crun",
    config: {},
    hostConfig: {},
    networking: {},
    path: "sh",
    args: [],
    mounts: [],
    plan: [],
    state: status === "exited" ? { status } : { status, process, monitor: process, bootId: "" },
    startedAt: never,
    finishedAt: never,
    exitCode: 0,
    oomKilled: false,
    error: "",
    restartCount: 0,
    restartDelay: 0,
    stoppedByUser: false,
  };
  state.transaction(() => insertContainer(state, record));
  return id;
}
