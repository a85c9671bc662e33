/** The registry's API, request by request. OCI distribution specification 1.1. */
import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import {
  beginUpload,
  bytesOf,
  codeOf,
  digestOf,
  expectStatus,
  indexType,
  manifestOf,
  manifestType,
  pushBlob,
  pushImage,
  putManifest,
  randomBytes,
  startRegistry,
} from "./server-world.ts";

const octets = { "Content-Type": "application/octet-stream" };

describe("blobs", () => {
  test("are pushed with POST and PUT, and pulled", async () => {
    await using world = await startRegistry();
    const blob = randomBytes(3_000_000);
    const digest = await pushBlob(world, "a/b", blob);

    const head = await world.call(`/v2/a/b/blobs/${digest}`, { method: "HEAD" });
    expect(head.status).toBe(200);
    expect(head.headers.get("content-length")).toBe("3000000");
    expect(head.headers.get("docker-content-digest")).toBe(digest);
    const response = await world.call(`/v2/a/b/blobs/${digest}`);
    expect(digestOf(await response.bytes())).toBe(digest);
    expect(response.headers.get("content-type")).toBe("application/octet-stream");
    expect(response.headers.get("docker-distribution-api-version")).toBe("registry/2.0");
  });

  test("are pushed with one POST", async () => {
    await using world = await startRegistry();
    const blob = bytesOf("in one go");
    const response = await world.call(`/v2/one/blobs/uploads/?digest=${digestOf(blob)}`, {
      method: "POST",
      body: blob,
    });
    expect(response.status).toBe(201);
    expect(response.headers.get("location")).toBe(`/v2/one/blobs/${digestOf(blob)}`);
    expect(await (await world.call(`/v2/one/blobs/${digestOf(blob)}`)).text()).toBe("in one go");
  });

  test("are pushed in chunks that must follow each other", async () => {
    await using world = await startRegistry();
    const upload = await beginUpload(world, "chunks");
    const patch = (text: string, range: string) =>
      world.call(upload, { method: "PATCH", body: text, headers: { ...octets, "Content-Range": range } });

    const early = await patch("second", "5-10");
    expect([early.status, early.headers.get("range")]).toEqual([416, "0-0"]);
    expect(await codeOf(early)).toBe("RANGE_INVALID");
    const first = await patch("first", "0-4");
    expect([first.status, first.headers.get("range")]).toEqual([202, "0-4"]);
    expect((await patch("first", "0-4")).status).toBe(416);
    const status = await world.call(upload);
    expect([status.status, status.headers.get("range"), status.headers.get("location")]).toEqual([
      204,
      "0-4",
      upload,
    ]);
    expect((await patch("second", "5-10")).status).toBe(202);

    const digest = digestOf("firstsecondthird");
    const end = await world.call(`${upload}?digest=${digest}`, {
      method: "PUT",
      body: "third",
      headers: { ...octets, "Content-Range": "11-15" },
    });
    expect(end.status).toBe(201);
    expect(await (await world.call(`/v2/chunks/blobs/${digest}`)).text()).toBe("firstsecondthird");
    expect((await world.call(upload)).status).toBe(404);
  });

  test("a Content-Range that does not fit its body is refused", async () => {
    await using world = await startRegistry();
    const upload = await beginUpload(world, "sizes");
    const patch = (range: string) =>
      world.call(upload, { method: "PATCH", body: "12345", headers: { ...octets, "Content-Range": range } });
    expect(await codeOf(await patch("0-9"))).toBe("SIZE_INVALID");
    expect(await codeOf(await patch("nonsense"))).toBe("RANGE_INVALID");
    expect(await codeOf(await patch("4-0"))).toBe("RANGE_INVALID");
    expect((await world.call(upload)).headers.get("range")).toBe("0-0");
  });

  test("an upload can be cancelled, and its id says nothing in another repository", async () => {
    await using world = await startRegistry();
    const upload = await beginUpload(world, "mine");
    const elsewhere = upload.replace("/mine/", "/yours/");
    for (const method of ["GET", "PATCH", "PUT", "DELETE"]) {
      const response = await world.call(`${elsewhere}?digest=${digestOf("")}`, { method });
      expect([method, response.status, await codeOf(response)]).toEqual([method, 404, "BLOB_UPLOAD_UNKNOWN"]);
    }
    expect((await world.call(upload, { method: "DELETE" })).status).toBe(204);
    expect((await world.call(upload)).status).toBe(404);
  });

  test("a wrong digest ends the upload and leaves nothing", async () => {
    await using world = await startRegistry();
    const upload = await beginUpload(world, "wrong");
    const other = digestOf("something else");
    const response = await world.call(`${upload}?digest=${other}`, { method: "PUT", body: "something" });
    expect([response.status, await codeOf(response)]).toEqual([400, "DIGEST_INVALID"]);
    expect((await world.call(upload)).status).toBe(404);
    for (const digest of [other, digestOf("something")]) {
      expect((await world.call(`/v2/wrong/blobs/${digest}`)).status).toBe(404);
    }
    for (const digest of ["", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "..%2f..%2fetc"]) {
      const next = await beginUpload(world, "wrong");
      const refused = await world.call(`${next}?digest=${digest}`, { method: "PUT", body: "x" });
      expect([refused.status, await codeOf(refused)]).toEqual([400, "DIGEST_INVALID"]);
    }
  });

  test("sha512 is a digest too", async () => {
    await using world = await startRegistry();
    const blob = randomBytes(100_000);
    const digest = digestOf(blob, "sha512");
    const upload = await beginUpload(world, "long");
    await expectStatus(await world.call(`${upload}?digest=${digest}`, { method: "PUT", body: blob }), 201);
    expect(digestOf(await (await world.call(`/v2/long/blobs/${digest}`)).bytes(), "sha512")).toBe(digest);
    const config = bytesOf("{}");
    await pushBlob(world, "long", config);
    const manifest = manifestOf({ config, layers: [] });
    const name = digestOf(manifest, "sha512");
    const pushed = await putManifest(world, "long", name, manifest);
    expect([pushed.status, pushed.headers.get("docker-content-digest")]).toEqual([201, name]);
    expect(await (await world.call(`/v2/long/manifests/${name}`)).text()).toBe(manifest);
  });

  test("the empty blob is a blob", async () => {
    await using world = await startRegistry();
    const digest = await pushBlob(world, "empty", new Uint8Array());
    const response = await world.call(`/v2/empty/blobs/${digest}`);
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });

  test("ranges of a blob are read", async () => {
    await using world = await startRegistry();
    const digest = await pushBlob(world, "ranges", bytesOf("0123456789"));
    const read = async (range: string) => {
      const response = await world.call(`/v2/ranges/blobs/${digest}`, { headers: { Range: range } });
      return [response.status, response.headers.get("content-range"), await response.text()];
    };
    expect(await read("bytes=2-4")).toEqual([206, "bytes 2-4/10", "234"]);
    expect(await read("bytes=7-")).toEqual([206, "bytes 7-9/10", "789"]);
    expect(await read("bytes=-3")).toEqual([206, "bytes 7-9/10", "789"]);
    expect(await read("bytes=5-100")).toEqual([206, "bytes 5-9/10", "56789"]);
    expect((await read("bytes=10-")).slice(0, 2)).toEqual([416, "bytes */10"]);
    expect((await read("bytes=-0")).slice(0, 2)).toEqual([416, "bytes */10"]);
    for (const range of ["bytes=4-2", "lines=1-2", "bytes=", "bytes=-", "bytes=a-b"]) {
      expect(await read(range)).toEqual([200, null, "0123456789"]);
    }
  });

  test("what is known need not be sent again", async () => {
    await using world = await startRegistry();
    const digest = await pushBlob(world, "cache", bytesOf("content"));
    const path = `/v2/cache/blobs/${digest}`;
    const etag = (await world.call(path)).headers.get("etag") ?? "";
    expect((await world.call(path, { headers: { "If-None-Match": etag } })).status).toBe(304);
    expect((await world.call(path, { headers: { "If-None-Match": '"other"' } })).status).toBe(200);
  });

  test("are mounted from another repository, named or not", async () => {
    await using world = await startRegistry();
    const digest = await pushBlob(world, "source", bytesOf("shared"));
    const mount = (to: string, query: string) =>
      world.call(`/v2/${to}/blobs/uploads/?${query}`, { method: "POST" });

    const named = await mount("one", `mount=${digest}&from=source`);
    expect([named.status, named.headers.get("location")]).toEqual([201, `/v2/one/blobs/${digest}`]);
    expect(await (await world.call(`/v2/one/blobs/${digest}`)).text()).toBe("shared");
    expect((await mount("two", `mount=${digest}`)).status).toBe(201);
    expect((await world.call(`/v2/two/blobs/${digest}`, { method: "HEAD" })).status).toBe(200);

    for (const query of [`mount=${digest}&from=nowhere`, `mount=${digestOf("unknown")}&from=source`]) {
      const fallback = await mount("three", query);
      expect(fallback.status).toBe(202);
      expect(fallback.headers.get("location")).toStartWith("/v2/three/blobs/uploads/");
    }
    expect((await world.call(`/v2/three/blobs/${digest}`, { method: "HEAD" })).status).toBe(404);
  });

  test("are deleted from one repository, not from others", async () => {
    await using world = await startRegistry();
    const digest = await pushBlob(world, "keeps", bytesOf("content"));
    await pushBlob(world, "drops", bytesOf("content"));
    const path = `/v2/drops/blobs/${digest}`;
    expect((await world.call(path, { method: "DELETE" })).status).toBe(202);
    expect(await codeOf(await world.call(path))).toBe("BLOB_UNKNOWN");
    expect((await world.call(path, { method: "DELETE" })).status).toBe(404);
    expect((await world.call(`/v2/keeps/blobs/${digest}`)).status).toBe(200);
  });

  test("the same blob pushed by many at once is there once", async () => {
    await using world = await startRegistry();
    const blob = randomBytes(2_000_000);
    const digests = await Promise.all(
      Array.from({ length: 12 }, (_, index) => pushBlob(world, `same/${index % 3}`, blob)),
    );
    expect(new Set(digests).size).toBe(1);
    for (const index of [0, 1, 2]) {
      const response = await world.call(`/v2/same/${index}/blobs/${digests[0]}`);
      expect(digestOf(await response.bytes())).toBe(digests[0] ?? "");
    }
  });
});

describe("manifests", () => {
  test("are pushed by tag and pulled by tag and digest, byte for byte", async () => {
    await using world = await startRegistry();
    const config = bytesOf("{}");
    await pushBlob(world, "images", config);
    const manifest = `${manifestOf({ config, layers: [] })}\n  `;
    const digest = digestOf(manifest);
    const pushed = await putManifest(world, "images", "v1", manifest);
    expect(pushed.status).toBe(201);
    expect(pushed.headers.get("location")).toBe(`/v2/images/manifests/${digest}`);
    expect(pushed.headers.get("docker-content-digest")).toBe(digest);
    for (const reference of ["v1", digest]) {
      const response = await world.call(`/v2/images/manifests/${reference}`);
      expect(await response.text()).toBe(manifest);
      expect(response.headers.get("content-type")).toBe(manifestType);
      const head = await world.call(`/v2/images/manifests/${reference}`, { method: "HEAD" });
      expect(head.headers.get("content-length")).toBe(String(manifest.length));
      expect(head.headers.get("docker-content-digest")).toBe(digest);
      const etag = head.headers.get("etag") ?? "";
      const same = await world.call(`/v2/images/manifests/${reference}`, {
        headers: { "If-None-Match": etag },
      });
      expect(same.status).toBe(304);
    }
  });

  test("Docker's schema 2 and lists are taken with their own types", async () => {
    await using world = await startRegistry();
    const config = bytesOf("{}");
    await pushBlob(world, "docker", config);
    const type = "application/vnd.docker.distribution.manifest.v2+json";
    const manifest = manifestOf({ config, layers: [], mediaType: type });
    expect((await putManifest(world, "docker", "1", manifest, type)).status).toBe(201);
    const listType = "application/vnd.docker.distribution.manifest.list.v2+json";
    const list = JSON.stringify({
      schemaVersion: 2,
      mediaType: listType,
      manifests: [{ mediaType: type, digest: digestOf(manifest), size: manifest.length }],
    });
    expect((await putManifest(world, "docker", "all", list, listType)).status).toBe(201);
    expect((await world.call("/v2/docker/manifests/all")).headers.get("content-type")).toBe(listType);
  });

  test("what they refer to must be there", async () => {
    await using world = await startRegistry();
    const config = bytesOf("{}");
    const missing = await putManifest(world, "strict", "1", manifestOf({ config, layers: [] }));
    expect([missing.status, await codeOf(missing)]).toEqual([400, "MANIFEST_BLOB_UNKNOWN"]);
    // In another repository is not here.
    await pushBlob(world, "elsewhere", config);
    expect((await putManifest(world, "strict", "1", manifestOf({ config, layers: [] }))).status).toBe(400);
    await pushBlob(world, "strict", config);
    const foreign = {
      mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
      digest: digestOf("far away"),
      size: 8,
      urls: ["https://example.com/layer"],
    };
    const manifest = JSON.parse(manifestOf({ config, layers: [] }));
    const withForeign = JSON.stringify({ ...manifest, layers: [foreign] });
    expect((await putManifest(world, "strict", "1", withForeign)).status).toBe(201);
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: indexType,
      manifests: [{ mediaType: manifestType, digest: digestOf("no manifest"), size: 11 }],
    });
    expect((await putManifest(world, "strict", "i", index, indexType)).status).toBe(400);
  });

  test("are refused when they are none", async () => {
    await using world = await startRegistry();
    await pushBlob(world, "bad", bytesOf("{}"));
    const good = JSON.parse(manifestOf({ config: bytesOf("{}"), layers: [] }));
    const cases: [string, string][] = [
      ["", manifestType],
      ["not json", manifestType],
      ["[]", manifestType],
      ["[".repeat(1_000_000), manifestType],
      [`{"config":${'{"a":'.repeat(200_000)}`, manifestType],
      ['{"schemaVersion":1}', manifestType],
      [JSON.stringify({ ...good, mediaType: undefined }), "text/plain"],
      [JSON.stringify(good), "application/vnd.docker.distribution.manifest.v2+json"],
      [JSON.stringify({ ...good, config: { ...good.config, size: -1 } }), manifestType],
      [JSON.stringify({ ...good, config: { ...good.config, digest: "../../etc/passwd" } }), manifestType],
      [JSON.stringify({ ...good, layers: Array(10_000).fill(good.config) }), manifestType],
      [JSON.stringify({ ...good, layers: {} }), manifestType],
      [JSON.stringify({ ...good, annotations: { a: 1 } }), manifestType],
    ];
    for (const [body, type] of cases) {
      const response = await putManifest(world, "bad", "t", body, type);
      expect([body.slice(0, 60), response.status]).toEqual([body.slice(0, 60), 400]);
      expect(await codeOf(response)).toBe("MANIFEST_INVALID");
    }
    const wrong = await putManifest(world, "bad", digestOf("other"), JSON.stringify(good));
    expect(await codeOf(wrong)).toBe("DIGEST_INVALID");
    expect((await world.call("/v2/bad/manifests/t")).status).toBe(404);
  });

  test("are at most 4 MiB, whether their length is told or not", async () => {
    await using world = await startRegistry();
    await pushBlob(world, "big", bytesOf("{}"));
    const large = manifestOf({
      config: bytesOf("{}"),
      layers: [],
      annotations: { pad: "x".repeat(5_000_000) },
    });
    const told = await putManifest(world, "big", "1", large);
    expect([told.status, await codeOf(told)]).toEqual([413, "MANIFEST_INVALID"]);
    const untold = await world.call("/v2/big/manifests/1", {
      method: "PUT",
      headers: { "Content-Type": manifestType },
      body: new Blob([large]).stream(),
    });
    expect(untold.status).toBe(413);
    const fits = manifestOf({
      config: bytesOf("{}"),
      layers: [],
      annotations: { pad: "x".repeat(4_000_000) },
    });
    expect((await putManifest(world, "big", "1", fits)).status).toBe(201);
  });

  test("a tag is deleted alone, a manifest with its tags", async () => {
    await using world = await startRegistry();
    const digest = await pushImage(world, "gone", "a");
    const manifest = await (await world.call("/v2/gone/manifests/a")).text();
    await putManifest(world, "gone", "b", manifest);
    await putManifest(world, "gone", "c", manifest);
    const drop = (reference: string) => world.call(`/v2/gone/manifests/${reference}`, { method: "DELETE" });
    const tags = async () => JSON.parse(await (await world.call("/v2/gone/tags/list")).text()).tags;

    expect((await drop("a")).status).toBe(202);
    expect(await tags()).toEqual(["b", "c"]);
    expect((await world.call(`/v2/gone/manifests/${digest}`)).status).toBe(200);
    expect((await drop(digest)).status).toBe(202);
    expect(await tags()).toEqual([]);
    for (const reference of ["b", digest]) {
      const response = await drop(reference);
      expect([response.status, await codeOf(response)]).toEqual([404, "MANIFEST_UNKNOWN"]);
    }
  });

  test("a tag moves", async () => {
    await using world = await startRegistry();
    const first = await pushImage(world, "moves", "latest");
    const second = await pushImage(world, "moves", "latest");
    const now = await world.call("/v2/moves/manifests/latest", { method: "HEAD" });
    expect(now.headers.get("docker-content-digest")).toBe(second);
    expect((await world.call(`/v2/moves/manifests/${first}`)).status).toBe(200);
  });
});

describe("referrers", () => {
  test("of a manifest are listed, filtered by type, also before it is there", async () => {
    await using world = await startRegistry();
    const empty = bytesOf("{}");
    await pushBlob(world, "signed", empty);
    const image = manifestOf({ config: empty, layers: [], annotations: { id: randomUUID() } });
    const subject = { mediaType: manifestType, digest: digestOf(image), size: image.length };
    const attach = async (fields: object) => {
      const document = manifestOf({ config: empty, layers: [], subject, ...fields });
      const response = await putManifest(world, "signed", digestOf(document), document);
      expect([response.status, response.headers.get("oci-subject")]).toEqual([201, subject.digest]);
      return digestOf(document);
    };
    const list = async (query = "", digest = subject.digest) => {
      const response = await world.call(`/v2/signed/referrers/${digest}${query}`);
      expect([response.status, response.headers.get("content-type")]).toEqual([200, indexType]);
      return { response, index: JSON.parse(await response.text()) };
    };

    expect((await list()).index).toEqual({ schemaVersion: 2, mediaType: indexType, manifests: [] });
    const signature = await attach({ artifactType: "application/x.signature", annotations: { by: "me" } });
    const bill = await attach({ artifactType: "application/x.sbom" });
    const plain = await attach({ annotations: { plain: "yes" } });
    expect((await putManifest(world, "signed", "1", image)).status).toBe(201);

    const all = (await list()).index.manifests;
    expect(all.map(({ digest }: { digest: string }) => digest).sort()).toEqual(
      [signature, bill, plain].sort(),
    );
    const found = await list("?artifactType=application/x.signature");
    expect(found.response.headers.get("oci-filters-applied")).toBe("artifactType");
    expect(found.index.manifests).toEqual([
      {
        mediaType: manifestType,
        digest: signature,
        size: expect.any(Number),
        artifactType: "application/x.signature",
        annotations: { by: "me" },
      },
    ]);
    // Without an artifactType it is the config's type that counts.
    const configType = "application/vnd.oci.image.config.v1+json";
    const byConfig = (await list(`?artifactType=${configType}`)).index.manifests;
    expect(byConfig.map(({ digest }: { digest: string }) => digest)).toEqual([plain]);
    await world.call(`/v2/signed/manifests/${signature}`, { method: "DELETE" });
    expect((await list("?artifactType=application/x.signature")).index.manifests).toEqual([]);
    expect((await list("", digestOf("nothing"))).index.manifests).toEqual([]);
    expect((await world.call("/v2/signed/referrers/latest")).status).toBe(400);
  });
});

describe("lists", () => {
  test("tags come sorted and in pages", async () => {
    await using world = await startRegistry();
    const config = bytesOf("{}");
    await pushBlob(world, "tags", config);
    const manifest = manifestOf({ config, layers: [] });
    for (const tag of ["c", "a", "B", "d", "e"]) await putManifest(world, "tags", tag, manifest);
    const list = async (path: string) => {
      const response = await world.call(path);
      const link = /^<(.*)>; rel="next"$/.exec(response.headers.get("link") ?? "")?.[1];
      return { tags: JSON.parse(await response.text()).tags, link };
    };
    expect(await list("/v2/tags/tags/list")).toEqual({ tags: ["B", "a", "c", "d", "e"], link: undefined });
    const first = await list("/v2/tags/tags/list?n=2");
    expect(first.tags).toEqual(["B", "a"]);
    const second = await list(first.link ?? "");
    expect(second.tags).toEqual(["c", "d"]);
    expect(await list(second.link ?? "")).toEqual({ tags: ["e"], link: undefined });
    expect((await list("/v2/tags/tags/list?n=0")).tags).toEqual([]);
    expect((await list("/v2/tags/tags/list?last=c")).tags).toEqual(["d", "e"]);
    for (const n of ["-1", "x", "1e3"]) {
      expect((await world.call(`/v2/tags/tags/list?n=${n}`)).status).toBe(400);
    }
    expect(await codeOf(await world.call("/v2/nobody/tags/list"))).toBe("NAME_UNKNOWN");
  });

  test("repositories are listed in pages and found by docker search", async () => {
    await using world = await startRegistry();
    for (const name of ["team/web", "team/db", "alone"]) await pushImage(world, name, "1");
    await pushBlob(world, "no-image", bytesOf("x"));
    const catalog = await world.call("/v2/_catalog");
    expect(JSON.parse(await catalog.text())).toEqual({ repositories: ["alone", "team/db", "team/web"] });
    const first = await world.call("/v2/_catalog?n=2");
    expect(first.headers.get("link")).toBe('</v2/_catalog?last=team%2Fdb&n=2>; rel="next"');
    const next = await world.call("/v2/_catalog?last=team%2Fdb&n=2");
    expect(JSON.parse(await next.text())).toEqual({ repositories: ["team/web"] });

    expect(await (await world.call("/v1/_ping")).text()).toBe("true");
    const found = JSON.parse(await (await world.call("/v1/search?q=TEAM&n=25")).text());
    expect(found.num_results).toBe(2);
    expect(found.results.map(({ name }: { name: string }) => name)).toEqual(["team/db", "team/web"]);
  });
});

describe("what is no endpoint", () => {
  test("names that break the grammar are refused, and reach no file", async () => {
    await using world = await startRegistry();
    const names = [
      "UPPER",
      "a//b",
      "-a",
      "a/..",
      "%2e%2e/%2e%2e/etc",
      "a%00b",
      "a%2f..%2fb",
      "x".repeat(300),
    ];
    for (const name of names) {
      const response = await world.call(`/v2/${name}/blobs/uploads/`, { method: "POST" });
      expect([name, response.status >= 400 && response.status < 500]).toEqual([name, true]);
    }
    for (const path of ["/v2/a/blobs/sha256:zz", "/v2/a/manifests/sha256:..%2fx", "/v2/A/tags/list"]) {
      expect((await world.call(path)).status).toBe(400);
    }
    for (const path of [
      "/v2/a/manifests/..%2f..%2fx",
      "/v2/a/manifests/.INVALID_MANIFEST_NAME",
      "/etc/passwd",
      "/v2/a",
      "/v2/a/b/c",
      "/v3/",
      "/v2/a/tags/all",
    ]) {
      expect((await world.call(path)).status).toBe(404);
    }
    expect((await world.call("/v2/a/manifests/x", { method: "POST" })).status).toBe(405);
    expect((await world.call("/v2/", { method: "DELETE" })).status).toBe(405);
  });

  test("names may look like endpoints", async () => {
    await using world = await startRegistry();
    for (const name of ["blobs/uploads", "a/manifests/b", "tags/list", "v2"]) {
      const digest = await pushImage(world, name, "list");
      const head = await world.call(`/v2/${name}/manifests/list`, { method: "HEAD" });
      expect([name, head.headers.get("docker-content-digest")]).toEqual([name, digest]);
    }
  });
});

describe("limits", () => {
  test("a read-only registry and one that does not delete say so", async () => {
    await using world = await startRegistry();
    const digest = await pushImage(world, "fixed", "1");
    await world.restart({ deletes: false });
    expect((await world.call(`/v2/fixed/manifests/${digest}`, { method: "DELETE" })).status).toBe(405);
    const upload = await beginUpload(world, "fixed");
    expect((await world.call(upload, { method: "DELETE" })).status).toBe(204);
    await world.restart({ readOnly: true });
    const refused = await world.call("/v2/fixed/blobs/uploads/", { method: "POST" });
    expect([refused.status, await codeOf(refused)]).toEqual([405, "UNSUPPORTED"]);
    expect((await putManifest(world, "fixed", "2", "{}")).status).toBe(405);
    expect((await world.call("/v2/fixed/manifests/1")).status).toBe(200);
  });

  test("a repository's quota holds for it alone, the registry's for all, also in the middle of an upload", async () => {
    await using world = await startRegistry({ quota: 3_000_000, repositoryQuota: 2_000_000 });
    await pushBlob(world, "full", randomBytes(1_500_000));
    const push = async (repository: string, size: number) => {
      const upload = await beginUpload(world, repository);
      const blob = randomBytes(size);
      const response = await world.call(`${upload}?digest=${digestOf(blob)}`, { method: "PUT", body: blob });
      const code = response.status === 201 ? "" : await codeOf(response);
      // As a client that gives up.
      if (response.status !== 201) await world.call(upload, { method: "DELETE" });
      return [response.status, code];
    };
    expect(await push("full", 600_000)).toEqual([413, "DENIED"]);
    expect(await push("full", 400_000)).toEqual([201, ""]);
    expect(await push("other", 1_200_000)).toEqual([413, "DENIED"]);
    expect(await push("other", 1_000_000)).toEqual([201, ""]);
  });

  test("what is removed is free again", async () => {
    await using world = await startRegistry({ repositoryQuota: 1_000_000 });
    const digest = await pushBlob(world, "reuse", randomBytes(900_000));
    await world.call(`/v2/reuse/blobs/${digest}`, { method: "DELETE" });
    await pushBlob(world, "reuse", randomBytes(900_000));
  });
});
