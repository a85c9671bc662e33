/** A registry that is killed at the worst moment, and one that collects garbage while it is pushed to. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { collectRegistry } from "../../src/registry/server/collect-root.ts";
import {
  beginUpload,
  bytesOf,
  digestOf,
  expectStatus,
  manifestOf,
  pushBlob,
  pushImage,
  putManifest,
  randomBytes,
  startRegistry,
  temporaryDirectory,
  type World,
} from "./server-world.ts";

/** A registry in a process of its own. */
async function startProcess(root: string, options: { lease?: number; fault?: string } = {}) {
  const { lease = 3_600_000, fault } = options;
  const words = [process.execPath, join(import.meta.dir, "server-process.ts"), root, String(lease)];
  const child = Bun.spawn(fault === undefined ? words : [...words, fault], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  if (value === undefined) throw new Error("the registry did not start");
  reader.releaseLock();
  const address = new TextDecoder().decode(value).trim();
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  return {
    address,
    exited: child.exited,
    kill,
    call: (path: string, init?: RequestInit) => fetch(new URL(path, address), init),
    [Symbol.asyncDispose]: kill,
  };
}

function directory() {
  const root = temporaryDirectory();
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) };
}

/** Sends the beginning of a PATCH and keeps the connection. */
async function sendPart(address: string, path: string, bytes: Uint8Array, announced: number) {
  const { hostname, port, host } = new URL(address);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.write(`PATCH ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${announced}\r\n\r\n`);
  socket.write(bytes);
  return socket;
}

async function offsetOf(world: Pick<World, "call">, upload: string): Promise<number> {
  const status = await world.call(upload);
  expect(status.status).toBe(204);
  const end = Number(status.headers.get("range")?.split("-")[1]);
  return end === 0 ? 0 : end + 1;
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("it did not happen in time");
    await Bun.sleep(10);
  }
}

/** Goes on with an upload where the registry says that it stands. */
async function complete(world: Pick<World, "call">, upload: string, blob: Uint8Array): Promise<void> {
  const offset = await offsetOf(world, upload);
  const patch = await world.call(upload, {
    method: "PATCH",
    body: blob.subarray(offset),
    headers: { "Content-Range": `${offset}-${blob.length - 1}` },
  });
  await expectStatus(patch, 202);
  await expectStatus(await world.call(`${upload}?digest=${digestOf(blob)}`, { method: "PUT" }), 201);
}

describe("a registry that is killed", () => {
  test("in the middle of an upload goes on with it after the restart", async () => {
    using place = directory();
    const blob = randomBytes(6_000_000);
    let upload: string;
    {
      await using first = await startProcess(place.root);
      const post = await first.call("/v2/big/blobs/uploads/", { method: "POST" });
      upload = post.headers.get("location") ?? "";
      const socket = await sendPart(first.address, upload, blob.subarray(0, 4_000_000), blob.length);
      await until(async () => (await offsetOf(first, upload)) >= 3_000_000);
      await first.kill();
      socket.destroy();
    }
    await using second = await startProcess(place.root);
    expect(await offsetOf(second, upload)).toBeGreaterThanOrEqual(3_000_000);
    await complete(second, upload, blob);
    const response = await second.call(`/v2/big/blobs/${digestOf(blob)}`);
    expect(digestOf(await response.bytes())).toBe(digestOf(blob));
    expect(readdirSync(join(place.root, "uploads"))).toEqual([]);
  });

  for (const fault of ["registry:chunk", "registry:adopted", "registry:published"]) {
    test(`at ${fault} has either all of a blob or none of it, and takes it the next time`, async () => {
      using place = directory();
      const blob = randomBytes(2_000_000);
      const digest = digestOf(blob);
      {
        await using first = await startProcess(place.root, { fault });
        const pushed = first.call(`/v2/blobs/blobs/uploads/?digest=${digest}`, {
          method: "POST",
          body: blob,
        });
        await expect(pushed).rejects.toThrow();
        await first.exited;
      }
      await using second = await startProcess(place.root);
      const before = await second.call(`/v2/blobs/blobs/${digest}`);
      expect(before.status).toBe(fault === "registry:published" ? 200 : 404);
      if (before.status === 200) expect(digestOf(await before.bytes())).toBe(digest);
      const again = await second.call(`/v2/blobs/blobs/uploads/?digest=${digest}`, {
        method: "POST",
        body: blob,
      });
      expect(again.status).toBe(201);
      expect(digestOf(await (await second.call(`/v2/blobs/blobs/${digest}`)).bytes())).toBe(digest);
    });
  }

  test("what was answered with 201 is there", async () => {
    using place = directory();
    const blob = randomBytes(10_000);
    const manifest = manifestOf({ config: blob, layers: [] });
    {
      await using first = await startProcess(place.root);
      const path = `/v2/kept/blobs/uploads/?digest=${digestOf(blob)}`;
      await expectStatus(await first.call(path, { method: "POST", body: blob }), 201);
      await expectStatus(
        await first.call("/v2/kept/manifests/v1", {
          method: "PUT",
          body: manifest,
          headers: { "Content-Type": "application/vnd.oci.image.manifest.v1+json" },
        }),
        201,
      );
      await first.kill();
    }
    await using second = await startProcess(place.root);
    expect(await (await second.call("/v2/kept/manifests/v1")).text()).toBe(manifest);
    expect(digestOf(await (await second.call(`/v2/kept/blobs/${digestOf(blob)}`)).bytes())).toBe(
      digestOf(blob),
    );
  });

  test("a client that goes away in the middle of a chunk goes on where the bytes end", async () => {
    await using world = await startRegistry();
    const blob = randomBytes(3_000_000);
    const upload = await beginUpload(world, "gone");
    const socket = await sendPart(world.address, upload, blob.subarray(0, 1_234_567), blob.length);
    await until(async () => (await offsetOf(world, upload)) >= 1_000_000);
    socket.destroy();
    await until(async () => (await offsetOf(world, upload)) === 1_234_567);
    await complete(world, upload, blob);
    expect(digestOf(await (await world.call(`/v2/gone/blobs/${digestOf(blob)}`)).bytes())).toBe(
      digestOf(blob),
    );
  });

  test("two servers do not share a root", async () => {
    await using world = await startRegistry();
    await expect(startRegistry({ root: world.root })).rejects.toThrow("another registry serves");
    expect((await world.call("/v2/")).status).toBe(200);
  });
});

describe("garbage", () => {
  function blobFiles(root: string): number {
    return [...new Bun.Glob("blobs/*/*/*").scanSync(root)].length;
  }

  test("goes when nothing refers to it and its lease is over, and not before", async () => {
    await using world = await startRegistry({ lease: 3_600_000 });
    const digest = await pushImage(world, "images", "1", [randomBytes(50_000)]);
    await pushImage(world, "images", "2", [randomBytes(50_000)]);
    await pushBlob(world, "images", randomBytes(50_000));
    await world.call(`/v2/images/manifests/${digest}`, { method: "DELETE" });
    expect(await collectRegistry(world.root, { removeUntagged: false })).toMatchObject({ blobs: 0 });
    expect(blobFiles(world.root)).toBe(5);

    // A shorter lease is for what comes from now on: what there is keeps its own.
    await world.restart({ lease: 0 });
    const late = await pushBlob(world, "images", randomBytes(50_000));
    await Bun.sleep(5);
    expect(await collectRegistry(world.root, { removeUntagged: false })).toMatchObject({ blobs: 1 });
    expect((await world.call(`/v2/images/blobs/${late}`)).status).toBe(404);
    expect((await world.call("/v2/images/manifests/2")).status).toBe(200);
  });

  test("is no blob that somebody asked for lately", async () => {
    await using world = await startRegistry({ lease: 0 });
    const blob = randomBytes(10_000);
    const digest = await pushBlob(world, "asked", blob);
    await world.restart({ lease: 3_600_000 });
    expect((await world.call(`/v2/asked/blobs/${digest}`, { method: "HEAD" })).status).toBe(200);
    await collectRegistry(world.root, { removeUntagged: false });
    const manifest = manifestOf({ config: blob, layers: [] });
    expect((await putManifest(world, "asked", "1", manifest)).status).toBe(201);
  });

  test("is a manifest without a tag only when asked for, and never what a tag needs", async () => {
    await using world = await startRegistry({ lease: 0 });
    const config = bytesOf("{}");
    await pushBlob(world, "untagged", config);
    const put = async (reference: string, fields: object, type?: string) => {
      const manifest = manifestOf({ config, layers: [], ...fields });
      await expectStatus(
        await putManifest(world, "untagged", reference || digestOf(manifest), manifest, type),
        201,
      );
      return { digest: digestOf(manifest), size: manifest.length };
    };
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const child = await put("", { annotations: { a: "child" } });
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [{ mediaType, ...child }],
    });
    await putManifest(world, "untagged", "all", index, "application/vnd.oci.image.index.v1+json");
    const signature = await put("", { subject: { mediaType, ...child } });
    const loose = await put("", { annotations: { a: "loose" } });
    const loosest = await put("", { subject: { mediaType, ...loose } });
    await Bun.sleep(5);
    const there = async () => {
      const found: boolean[] = [];
      for (const { digest } of [child, signature, loose, loosest]) {
        const response = await world.call(`/v2/untagged/manifests/${digest}`);
        found.push(response.status === 200);
      }
      return found;
    };
    await collectRegistry(world.root, { removeUntagged: false });
    expect(await there()).toEqual([true, true, true, true]);
    await Bun.sleep(5);
    expect(await collectRegistry(world.root, { removeUntagged: true })).toMatchObject({ manifests: 2 });
    expect(await there()).toEqual([true, true, false, false]);
    expect((await world.call("/v2/untagged/manifests/all")).status).toBe(200);
  });

  test("collected all the time takes nothing from those who push", async () => {
    using place = directory();
    await using server = await startProcess(place.root, { lease: 2000 });
    const world = { ...server, root: place.root, restart: async () => {} };
    const shared = randomBytes(200_000);
    const stopping = new AbortController();
    const collect = async () => {
      while (!stopping.signal.aborted) {
        await collectRegistry(place.root, { removeUntagged: true });
        await Bun.sleep(5);
      }
    };
    const collecting = collect();
    await Promise.all(
      Array.from({ length: 4 }, async (_, worker) => {
        for (let round = 0; round < 8; round += 1) {
          const tag = `${worker}-${round}`;
          const digest = await pushImage(world, `busy/${worker % 2}`, tag, [shared, randomBytes(20_000)]);
          const manifest = await server.call(`/v2/busy/${worker % 2}/manifests/${tag}`);
          const image: { layers: { digest: string; size: number }[] } = JSON.parse(await manifest.text());
          for (const { digest: layer, size } of image.layers) {
            const response = await server.call(`/v2/busy/${worker % 2}/blobs/${layer}`);
            expect((await response.bytes()).length).toBe(size);
          }
          await server.call(`/v2/busy/${worker % 2}/manifests/${digest}`, { method: "DELETE" });
        }
      }),
    );
    await until(async () => blobFiles(place.root) === 0);
    stopping.abort();
    await collecting;
  });

  test("of a crash is cleared at the next start", async () => {
    using place = directory();
    {
      await using first = await startProcess(place.root, { fault: "registry:adopted" });
      const blob = randomBytes(1000);
      const path = `/v2/crash/blobs/uploads/?digest=${digestOf(blob)}`;
      await expect(first.call(path, { method: "POST", body: blob })).rejects.toThrow();
      await first.exited;
    }
    expect(blobFiles(place.root)).toBe(1);
    await using world = await startRegistry({ root: place.root });
    expect(blobFiles(place.root)).toBe(0);
    expect(existsSync(join(world.root, "registry.db"))).toBe(true);
  });

  test("is an upload that nobody goes on with", async () => {
    await using world = await startRegistry({ uploadLife: 200, collectEvery: 50 });
    const upload = await beginUpload(world, "left");
    await world.call(upload, { method: "PATCH", body: "some" });
    await until(() => readdirSync(join(world.root, "uploads")).length === 0);
    expect((await world.call(upload)).status).toBe(404);
  });
});
