/**
 * The four workflows that OCI's conformance suite walks through (pull, push, content discovery, content management),
 * with the same requests in the same order, for machines on which the suite itself cannot be had.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  beginUpload,
  bytesOf,
  codeOf,
  digestOf,
  indexType,
  manifestOf,
  manifestType,
  pushBlob,
  putManifest,
  randomBytes,
  startRegistry,
  type World,
} from "./server-world.ts";

const noManifest = ".INVALID_MANIFEST_NAME";
const unknown = digestOf("hello world");
const octets = { "Content-Type": "application/octet-stream" };

let world: World;
const name = "conformance/main";
const other = "conformance/crossmount";

/** A config that no other workflow has, and a manifest with it; with fields that no specification knows. */
function newImage(layers: readonly Uint8Array[] = []) {
  const config = bytesOf(JSON.stringify({ architecture: "amd64", os: "linux", author: crypto.randomUUID() }));
  const fields = JSON.parse(manifestOf({ config, layers }));
  fields.config.data = Buffer.from(config).toString("base64");
  fields.config.newUnspecifiedField = "aGVsbG8gd29ybGQ=";
  const manifest = JSON.stringify(fields, null, "\t");
  return { config, manifest, digest: digestOf(manifest) };
}

const call = (path: string, init?: RequestInit) => world.call(`/v2/${name}/${path}`, init);

async function status(path: string, init?: RequestInit): Promise<number> {
  return (await call(path, init)).status;
}

async function tagsOf(query = ""): Promise<string[]> {
  const response = await call(`tags/list${query}`);
  expect(response.status).toBe(200);
  return JSON.parse(await response.text()).tags;
}

beforeAll(async () => {
  world = await startRegistry();
});
afterAll(() => world[Symbol.asyncDispose]());

test("the API is there", async () => {
  expect((await world.call("/v2/")).status).toBe(200);
});

test("pull", async () => {
  const layer = randomBytes(200);
  const images = [newImage([layer]), newImage([layer])] as const;
  for (const blob of [images[0].config, images[1].config, layer]) await pushBlob(world, name, blob);
  expect((await putManifest(world, name, "tagtest0", images[0].manifest)).status).toBe(201);
  expect((await putManifest(world, name, images[1].digest, images[1].manifest)).status).toBe(201);

  for (const method of ["HEAD", "GET"]) {
    expect(await status(`blobs/${unknown}`, { method })).toBe(404);
    expect(await status(`manifests/${noManifest}`, { method })).toBe(404);
    const config = digestOf(images[0].config);
    const blob = await call(`blobs/${config}`, { method });
    expect([blob.status, blob.headers.get("docker-content-digest")]).toEqual([200, config]);
    for (const [reference, digest] of [
      [images[0].digest, images[0].digest],
      [images[1].digest, images[1].digest],
      ["tagtest0", images[0].digest],
    ] as const) {
      const response = await call(`manifests/${reference}`, { method, headers: { Accept: manifestType } });
      expect([response.status, response.headers.get("docker-content-digest")]).toEqual([200, digest]);
    }
  }
  for (const method of ["GET", "PUT"]) {
    const wrong = await call("manifests/sha256:totallywrong", {
      method,
      headers: { "Content-Type": manifestType },
      ...(method === "PUT" ? { body: "blablabla" } : {}),
    });
    expect([wrong.status, await codeOf(wrong)]).toEqual([400, "DIGEST_INVALID"]);
  }
  for (const { digest, config } of images) {
    expect(await status(`manifests/${digest}`, { method: "DELETE" })).toBe(202);
    expect(await status(`blobs/${digestOf(config)}`, { method: "DELETE" })).toBe(202);
  }
  expect(await status(`blobs/${digestOf(layer)}`, { method: "DELETE" })).toBe(202);
});

describe("push", () => {
  test("streamed, monolithic and in chunks", async () => {
    const streamed = randomBytes(42);
    const first = await beginUpload(world, name);
    const patched = await world.call(first, { method: "PATCH", body: streamed, headers: octets });
    expect(patched.status).toBe(202);
    const next = patched.headers.get("location") ?? "";
    const put = await world.call(`${next}?digest=${digestOf(streamed)}`, { method: "PUT", headers: octets });
    expect([put.status, put.headers.get("location")]).toEqual([
      201,
      `/v2/${name}/blobs/${digestOf(streamed)}`,
    ]);

    const whole = randomBytes(42);
    const post = await call(`blobs/uploads/?digest=${digestOf(whole)}`, {
      method: "POST",
      body: whole,
      headers: octets,
    });
    expect(post.status).toBe(201);
    expect(await status(`blobs/${digestOf(whole)}`)).toBe(200);

    const blob = randomBytes(42);
    const [one, two] = [blob.subarray(0, 22), blob.subarray(22)];
    const patch = (to: string, body: Uint8Array, range: string) =>
      world.call(to, { method: "PATCH", body, headers: { ...octets, "Content-Range": range } });
    expect((await patch(await beginUpload(world, name), two, "22-41")).status).toBe(416);
    const upload = await beginUpload(world, name);
    const begun = await patch(upload, one, "0-21");
    expect([begun.status, begun.headers.get("range")]).toEqual([202, "0-21"]);
    expect((await patch(upload, one, "0-21")).status).toBe(416);
    const stale = await world.call(upload);
    expect([stale.status, stale.headers.get("range")]).toEqual([204, "0-21"]);
    const ended = await patch(stale.headers.get("location") ?? "", two, "22-41");
    expect(ended.status).toBe(202);
    const closing = `${ended.headers.get("location")}?digest=${digestOf(blob)}`;
    expect((await world.call(closing, { method: "PUT", headers: octets })).status).toBe(201);
  });

  test("by mounting", async () => {
    const digest = await pushBlob(world, name, randomBytes(42));
    const mount = (query: string) => world.call(`/v2/${other}/blobs/uploads/?${query}`, { method: "POST" });
    expect((await mount(`mount=${unknown}`)).status).toBe(202);
    const mounted = await mount(`mount=${digest}&from=${name}`);
    expect([mounted.status, mounted.headers.get("location")]).toEqual([201, `/v2/${other}/blobs/${digest}`]);
    expect((await world.call(`/v2/${other}/blobs/${digest}`)).status).toBe(200);
    expect((await mount(`mount=${digest}`)).status).toBe(201);
  });

  test("manifests, also without layers", async () => {
    const { config, manifest, digest } = newImage();
    await pushBlob(world, name, config);
    for (const tag of ["test0", "test1", "test2", "test3", "emptylayer"]) {
      const response = await putManifest(world, name, tag, manifest);
      expect([response.status, response.headers.get("location")]).toEqual([
        201,
        `/v2/${name}/manifests/${digest}`,
      ]);
    }
    expect(await status(`manifests/${digest}`)).toBe(200);
    expect(await status(`manifests/${digest}`, { method: "DELETE" })).toBe(202);
  });
});

test("content discovery", async () => {
  const layer = randomBytes(200);
  const [tagged, subject, absent] = [newImage([layer]), newImage([layer]), newImage([layer])];
  for (const blob of [layer, tagged.config, subject.config]) await pushBlob(world, name, blob);
  for (const tag of ["test0", "test1", "test2", "test3"])
    await putManifest(world, name, tag, tagged.manifest);

  const half = await tagsOf("?n=2");
  expect(half).toEqual(["test0", "test1"]);
  expect(await tagsOf("?n=2&last=test1")).toEqual(["test2", "test3"]);

  const [empty, reference] = [bytesOf("{}"), randomBytes(30)];
  for (const blob of [empty, reference]) await pushBlob(world, name, blob);
  const emptyDescriptor = {
    mediaType: "application/vnd.oci.empty.v1+json",
    digest: digestOf(empty),
    size: empty.length,
  };
  const artifact = { mediaType: "application/vnd.a", digest: digestOf(reference), size: reference.length };
  const subjectOf = ({ manifest, digest }: typeof subject) => ({
    mediaType: manifestType,
    digest,
    size: manifest.length,
  });
  const attach = async (fields: object, mediaType = manifestType, to = subject) => {
    const document = JSON.stringify({ schemaVersion: 2, mediaType, subject: subjectOf(to), ...fields });
    const response = await putManifest(world, name, digestOf(document), document, mediaType);
    expect([response.status, response.headers.get("oci-subject")]).toEqual([201, to.digest]);
    return { mediaType, digest: digestOf(document), size: document.length };
  };
  const byConfig = await attach({
    config: artifact,
    layers: [emptyDescriptor],
    annotations: { t: "config" },
  });
  const byType = await attach({
    artifactType: "application/vnd.a",
    config: emptyDescriptor,
    layers: [artifact],
    annotations: { t: "layer" },
  });
  await attach(
    { artifactType: "application/vnd.index", manifests: [byConfig, byType], annotations: { t: "index" } },
    indexType,
  );
  await attach({ artifactType: "application/vnd.b", config: emptyDescriptor, layers: [artifact] });
  const orphan = await attach({ config: emptyDescriptor, layers: [artifact] }, manifestType, absent);
  expect((await putManifest(world, name, "tagtest0", subject.manifest)).status).toBe(201);

  const referrers = async (digest: string, query = "") => {
    const response = await call(`referrers/${digest}${query}`);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, indexType]);
    const found: { digest: string; annotations?: object }[] = JSON.parse(await response.text()).manifests;
    return { found, filters: response.headers.get("oci-filters-applied") };
  };
  expect((await referrers(unknown)).found).toEqual([]);
  expect((await referrers(subject.digest)).found).toHaveLength(4);
  const filtered = await referrers(subject.digest, "?artifactType=application/vnd.a");
  expect(filtered.filters).toBe("artifactType");
  expect(filtered.found.map(({ digest }) => digest).sort()).toEqual([byConfig.digest, byType.digest].sort());
  for (const { annotations } of filtered.found) expect(Object.keys(annotations ?? {})).toEqual(["t"]);
  expect((await referrers(absent.digest)).found.map(({ digest }) => digest)).toEqual([orphan.digest]);
});

test("content management", async () => {
  const layer = randomBytes(200);
  const image = newImage([layer]);
  for (const blob of [layer, image.config]) await pushBlob(world, name, blob);
  await putManifest(world, name, "tagtest0", image.manifest);
  const before = (await tagsOf()).length;
  expect(await status("manifests/tagtest0", { method: "DELETE" })).toBe(202);
  expect(await status("manifests/tagtest0")).toBe(404);
  expect(await status(`manifests/${image.digest}`, { method: "DELETE" })).toBe(202);
  expect(await status(`manifests/${image.digest}`)).toBe(404);
  expect((await tagsOf()).length).toBe(before - 1);
  for (const blob of [image.config, layer]) {
    expect(await status(`blobs/${digestOf(blob)}`, { method: "DELETE" })).toBe(202);
    expect(await status(`blobs/${digestOf(blob)}`)).toBe(404);
  }
});
