import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { InvalidParameter, NotFound, Unavailable } from "../../src/core/errors.ts";
import { digestOf, largestDocument, mediaTypes } from "../../src/images/manifest.ts";
import {
  blobOf,
  collect,
  deadHost,
  failureOf,
  json,
  noSuchDigest,
  refuse,
  registriesFor,
  sampleBytes,
  scratch,
  serve,
  serveRaw,
  sourceOf,
} from "./client-support.ts";

const manifest = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.manifest, config: {}, layers: [] });
const manifestAnswer = (headers: Record<string, string> = {}) =>
  new Response(manifest, { headers: { "Content-Type": mediaTypes.manifest, ...headers } });

const repositoryAt = (host: string, patience = {}) =>
  registriesFor({}, patience).repository({ domain: host, path: "a/b" });

const head = (status: string, ...headers: string[]) =>
  `HTTP/1.1 ${[status, ...headers].join("\r\n")}\r\n\r\n`;

describe("a download", () => {
  const bytes = sampleBytes(300_000);
  const blob = blobOf(bytes);

  test("that breaks goes on where it ended, until all is there", async () => {
    await using registry = await serveRaw((socket, request) => {
      const from = Number(/range: bytes=(\d+)-/i.exec(request)?.[1] ?? 0);
      const rest = bytes.subarray(from);
      const headers = [`Content-Length: ${rest.length}`, 'ETag: "strong"'];
      if (from > 0) headers.push(`Content-Range: bytes ${from}-${bytes.length - 1}/${bytes.length}`);
      socket.write(head(from > 0 ? "206 Partial Content" : "200 OK", ...headers));
      socket.write(rest.subarray(0, 100_000), () => setTimeout(() => socket.destroy(), 20));
    });
    expect(await collect(repositoryAt(registry.host).blob(blob))).toEqual(Buffer.from(bytes));
    const ranges = registry.heads.map((text) => /range: (.*)/i.exec(text)?.[1]);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.length).toBeGreaterThan(2);
    expect(registry.heads[1]).toMatch(/if-range: "strong"/i);
  });

  test("goes on with a server that knows no ranges, by skipping", async () => {
    await using registry = await serveRaw((socket, _, count) => {
      socket.write(head("200 OK", `Content-Length: ${bytes.length}`));
      if (count < 2) socket.write(bytes.subarray(0, 120_000), () => setTimeout(() => socket.destroy(), 20));
      else socket.write(bytes);
    });
    expect(await collect(repositoryAt(registry.host).blob(blob))).toEqual(Buffer.from(bytes));
  });

  test("can begin in the middle", async () => {
    await using registry = serve((_, request) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
      const headers = { "Content-Range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
      return new Response(bytes.subarray(from), { status: 206, headers });
    });
    const rest = await collect(repositoryAt(registry.host).blob(blob, { offset: 250_000 }));
    expect(rest).toEqual(Buffer.from(bytes.subarray(250_000)));
  });

  test("that never gets further is given up with a clear error", async () => {
    await using registry = await serveRaw((socket) => {
      socket.write(head("200 OK", `Content-Length: ${bytes.length}`), () => socket.destroy());
    });
    const failure = await failureOf(collect(repositoryAt(registry.host).blob(blob)));
    expect(failure).toBeInstanceOf(Unavailable);
    expect(failure.message).toContain(`Get "http://${registry.host}/v2/a/b/blobs/${blob.digest}"`);
    expect(registry.heads).toHaveLength(4);
  });

  test("of a registry that falls silent is a broken one", async () => {
    await using registry = await serveRaw((socket) => {
      socket.write(head("200 OK", `Content-Length: ${bytes.length}`));
      socket.write(bytes.subarray(0, 10));
    });
    const repository = repositoryAt(registry.host, { silence: 100, attempts: 2 });
    expect((await failureOf(collect(repository.blob(blob)))).message).toContain("no answer for");
  });

  test("takes no byte more than promised", async () => {
    await using promised = serve(() => new Response(new Uint8Array(blob.size + 1)));
    const failure = await failureOf(collect(repositoryAt(promised.host).blob(blob)));
    expect(failure).toBeInstanceOf(InvalidParameter);
    expect(failure.message).toContain(
      `the registry has ${blob.size + 1} bytes, its descriptor says ${blob.size}`,
    );

    let taken = 0;
    await using endless = serve(
      () =>
        new Response(
          new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) }),
        ),
    );
    const work = async () => {
      for await (const chunk of repositoryAt(endless.host).blob(blob)) taken += chunk.byteLength;
    };
    expect((await failureOf(work())).message).toContain("sends more than the 300000 bytes promised");
    expect(taken).toBeLessThanOrEqual(blob.size);
  });

  test("of a wrong range or too few bytes is refused", async () => {
    await using wrong = serve(
      () =>
        new Response(bytes, {
          status: 206,
          headers: { "Content-Range": `bytes 200000-299999/${bytes.length}` },
        }),
    );
    const failure = await failureOf(collect(repositoryAt(wrong.host).blob(blob, { offset: 100 })));
    expect(failure.message).toContain("sent another range than it was asked for");
    await using short = serve(() => new Response(bytes.subarray(0, 50)));
    expect((await failureOf(collect(repositoryAt(short.host).blob(blob)))).message).toContain(
      "the registry has 50 bytes",
    );
  });

  test("of garbage instead of HTTP fails clearly", async () => {
    await using registry = await serveRaw((socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
    const failure = await failureOf(collect(repositoryAt(registry.host).blob(blob)));
    expect(failure.message).toContain("malformed HTTP response");
  });

  test("stops at once when it is aborted", async () => {
    await using registry = await serveRaw((socket) => {
      socket.write(head("200 OK", `Content-Length: ${bytes.length}`));
      socket.write(bytes.subarray(0, 10));
    });
    const stop = new AbortController();
    const repository = repositoryAt(registry.host);
    const work = async () => {
      for await (const _ of repository.blob(blob, { signal: stop.signal })) stop.abort(new Error("enough"));
    };
    expect((await failureOf(work())).message).toBe("enough");
    expect(registry.heads).toHaveLength(1);
  });

  test("of a small document is checked against its digest", async () => {
    await using registry = serve(() => new Response("not what was asked for"));
    const wanted = { mediaType: mediaTypes.config, digest: noSuchDigest, size: 22 };
    const failure = await failureOf(repositoryAt(registry.host).document(wanted));
    expect(failure.message).toContain(`blob ${noSuchDigest} has the content of sha256:`);
    const huge = { ...wanted, size: 4_000_000_000 };
    expect((await failureOf(repositoryAt(registry.host).document(huge))).message).toContain("at most");
    expect(registry.lines()).toHaveLength(1);
  });
});

describe("a registry that is busy", () => {
  test("is asked again after the time that it names", async () => {
    let refused = 0;
    const times: number[] = [];
    await using registry = serve(() => {
      times.push(Date.now());
      refused += 1;
      if (refused === 1) return refuse(429, "TOOMANYREQUESTS", "slow down", { "Retry-After": "1" });
      return refused === 2 ? new Response("wait", { status: 503 }) : manifestAnswer();
    });
    expect((await repositoryAt(registry.host).manifest("latest")).digest).toBe(digestOf(manifest));
    expect(registry.lines()).toHaveLength(3);
    const [first = 0, second = 0] = times;
    expect(second - first).toBeGreaterThanOrEqual(900);
  });

  test("for too long is not waited for", async () => {
    await using registry = serve(() =>
      refuse(429, "TOOMANYREQUESTS", "slow down", { "Retry-After": "86400" }),
    );
    const failure = await failureOf(repositoryAt(registry.host).manifest("latest"));
    expect(failure).toBeInstanceOf(Unavailable);
    expect(failure.message).toContain("toomanyrequests: slow down");
    expect(registry.lines()).toHaveLength(1);
  });

  test("for ever is given up, and the error names registry, repository and status", async () => {
    await using registry = serve(() => new Response("<html>", { status: 502 }));
    const failure = await failureOf(repositoryAt(registry.host).manifest("latest"));
    expect(failure).toBeInstanceOf(Unavailable);
    expect(failure.message).toBe(
      `Get "http://${registry.host}/v2/a/b/manifests/latest": received unexpected HTTP status: 502 Bad Gateway`,
    );
    expect(registry.lines()).toHaveLength(4);
  });

  test("that is not there is not asked again and again", async () => {
    const host = await deadHost();
    const failure = await failureOf(repositoryAt(host, { firstDelay: 60_000 }).manifest("latest"));
    expect(failure).toBeInstanceOf(Unavailable);
    expect(failure.message).toBe(`Get "http://${host}/v2/": dial tcp ${host}: connect: connection refused`);
  });

  test("a refusal that will not change is not repeated", async () => {
    await using registry = serve(() => refuse(404, "MANIFEST_UNKNOWN", "manifest unknown"));
    const failure = await failureOf(repositoryAt(registry.host).manifest("1.0"));
    expect(failure).toBeInstanceOf(NotFound);
    expect(failure.message).toBe(
      `manifest for ${registry.host}/a/b:1.0 not found: manifest unknown: manifest unknown`,
    );
    expect(registry.lines()).toHaveLength(1);
  });

  test("denied access reads as in Docker", async () => {
    await using registry = serve(() => refuse(403, "DENIED", "requested access to the resource is denied"));
    const failure = await failureOf(repositoryAt(registry.host).manifest("1.0"));
    expect(failure).toBeInstanceOf(NotFound);
    expect(failure.message).toBe(
      `pull access denied for ${registry.host}/a/b, repository does not exist or may require 'docker login': ` +
        "denied: requested access to the resource is denied",
    );
    const push = await failureOf(
      repositoryAt(registry.host).putBlob(blobOf(sampleBytes(5)), sourceOf(sampleBytes(5))),
    );
    expect(push.message).toContain("denied: requested access to the resource is denied");
  });

  test("an answer that is no registry's is quoted, but not much of it", async () => {
    await using registry = serve(() => new Response(`<html>${"x".repeat(10_000)}`, { status: 418 }));
    const { message } = await failureOf(repositoryAt(registry.host).manifest("1.0"));
    expect(message).toStartWith(
      `Get "http://${registry.host}/v2/a/b/manifests/1.0": error parsing HTTP 418 response body: "<html>xxx`,
    );
    expect(message.length).toBeLessThan(500);
  });

  test("Docker Hub's way to say that there is no such repository is understood", async () => {
    const challenge = 'Bearer realm="http://127.0.0.1/",error="insufficient_scope"';
    await using registry = serve(() =>
      refuse(401, "UNAUTHORIZED", "authentication required", { "WWW-Authenticate": challenge }),
    );
    const auth = { registrytoken: "some" };
    const repository = registriesFor().repository({ domain: registry.host, path: "a/b" }, auth);
    expect((await failureOf(repository.resolve("latest"))).message).toStartWith(
      `pull access denied for ${registry.host}/a/b, repository does not exist or may require 'docker login': denied: `,
    );
  });

  test("words of a server cannot write on our terminal", async () => {
    await using registry = serve(() =>
      refuse(400, "BAD\u001b[31m", `\u001b]0;title\u0007 ${"x".repeat(5000)}`),
    );
    const { message } = await failureOf(repositoryAt(registry.host).manifest("1.0"));
    expect(message).not.toMatch(/[\u0000-\u001f]/);
    expect(message.length).toBeLessThan(600);
  });
});

describe("manifests", () => {
  test("of four gigabytes are not read", async () => {
    let sent = 0;
    await using honest = await serveRaw((socket) => {
      socket.write(head("200 OK", "Content-Length: 4294967296", `Content-Type: ${mediaTypes.manifest}`));
    });
    expect((await failureOf(repositoryAt(honest.host).manifest("latest"))).message).toBe(
      `manifest a/b:latest has 4294967296 bytes; at most ${largestDocument} are read`,
    );
    await using liar = serve(
      () =>
        new Response(
          new ReadableStream({
            pull: (controller) => {
              sent += 65_536;
              controller.enqueue(new Uint8Array(65_536));
            },
          }),
        ),
    );
    expect((await failureOf(repositoryAt(liar.host).manifest("latest"))).message).toContain(
      "has more than 4194304 bytes",
    );
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });

  test("that are not what they were asked by are refused", async () => {
    await using registry = serve(() => manifestAnswer());
    const failure = await failureOf(repositoryAt(registry.host).manifest(noSuchDigest));
    expect(failure.message).toBe(`manifest verification failed for digest ${noSuchDigest}`);
    await using liar = serve(() => manifestAnswer({ "Docker-Content-Digest": noSuchDigest }));
    expect((await failureOf(repositoryAt(liar.host).manifest("latest"))).message).toContain(
      `the registry says that it is ${noSuchDigest}, but it is ${digestOf(manifest)}`,
    );
    const head = await failureOf(repositoryAt(liar.host).resolve(digestOf(manifest)));
    expect(head.message).toContain("manifest verification failed");
  });

  test("are resolved by HEAD where the registry says enough, else by GET", async () => {
    await using good = serve((asked) =>
      asked.method === "HEAD"
        ? new Response(undefined, {
            headers: {
              "Content-Type": `${mediaTypes.manifest}; charset=utf-8`,
              "Docker-Content-Digest": digestOf(manifest),
              "Content-Length": String(manifest.length),
            },
          })
        : manifestAnswer(),
    );
    const wanted = { mediaType: mediaTypes.manifest, digest: digestOf(manifest), size: manifest.length };
    expect(await repositoryAt(good.host).resolve("latest")).toEqual(wanted);
    expect(good.lines()).toEqual(["HEAD /v2/a/b/manifests/latest"]);
    await using silent = serve(() => manifestAnswer());
    expect(await repositoryAt(silent.host).resolve("latest")).toEqual(wanted);
    expect(silent.lines()).toEqual(["HEAD /v2/a/b/manifests/latest", "GET /v2/a/b/manifests/latest"]);
  });

  test("cannot be asked for by a name that leaves the repository", async () => {
    await using registry = serve(() => manifestAnswer());
    for (const name of ["../../other/manifests/x", "a?b", "", ".hidden", "a/b", "sha256:short"]) {
      expect((await failureOf(repositoryAt(registry.host).manifest(name))).message).toContain(
        "invalid tag or digest",
      );
    }
    expect(registry.lines()).toEqual([]);
  });

  test("are put with their media type, and a registry that has stored another is noticed", async () => {
    await using registry = serve(
      (asked) =>
        new Response(undefined, {
          status: 201,
          headers: { "Docker-Content-Digest": digestOf(Buffer.from(asked.body, "latin1")) },
        }),
    );
    const document = { bytes: Buffer.from(manifest), mediaType: mediaTypes.manifest };
    expect(await repositoryAt(registry.host).putManifest("v1", document)).toBe(digestOf(manifest));
    expect(registry.asked.at(-1)?.headers.get("content-type")).toBe(mediaTypes.manifest);
    await using liar = serve(
      () => new Response(undefined, { status: 201, headers: { "Docker-Content-Digest": noSuchDigest } }),
    );
    expect((await failureOf(repositoryAt(liar.host).putManifest("v1", document))).message).toContain(
      "but it is",
    );
  });
});

describe("tags", () => {
  test("come page by page, by the links that the registry gives", async () => {
    await using registry = serve((asked) => {
      if (asked.target.includes("last=b")) return json({ name: "a/b", tags: ["c"] });
      const link = `</v2/a/b/tags/list?n=2&last=b>; rel="next"`;
      return json({ name: "a/b", tags: ["a", "b"] }, { headers: { Link: link } });
    });
    expect(await Array.fromAsync(repositoryAt(registry.host).tags())).toEqual(["a", "b", "c"]);
    await using empty = serve(() => json({ name: "a/b", tags: null }));
    expect(await Array.fromAsync(repositoryAt(empty.host).tags())).toEqual([]);
  });

  test("that go on at another host are not followed", async () => {
    await using other = serve(() => json({ tags: ["stolen"] }));
    await using registry = serve(() =>
      json({ tags: ["a"] }, { headers: { Link: `<${other.origin}/x>; rel="next"` } }),
    );
    expect((await failureOf(Array.fromAsync(repositoryAt(registry.host).tags()))).message).toContain(
      "goes on at another host",
    );
    expect(other.asked).toEqual([]);
  });

  test("without end are given up", async () => {
    await using circle = serve(() =>
      json({ tags: ["a"] }, { headers: { Link: `</v2/a/b/tags/list?n=1>; rel="next"` } }),
    );
    expect((await failureOf(Array.fromAsync(repositoryAt(circle.host).tags()))).message).toContain(
      "has no end",
    );
    expect(circle.lines()).toHaveLength(2);
    let page = 0;
    await using spiral = serve(() => {
      page += 1;
      return json(
        { tags: [`t${page}`] },
        { headers: { Link: `</v2/a/b/tags/list?last=t${page}>; rel="next"` } },
      );
    });
    expect((await failureOf(Array.fromAsync(repositoryAt(spiral.host).tags()))).message).toContain(
      "has no end",
    );
    expect(page).toBeLessThan(3000);
  });

  test("that are no tags are refused", async () => {
    await using registry = serve(() => json({ tags: ["good", "../../etc/passwd"] }));
    expect((await failureOf(Array.fromAsync(repositoryAt(registry.host).tags()))).message).toContain(
      "invalid tag",
    );
  });
});

describe("an upload", () => {
  const bytes = sampleBytes(200_000, 7);
  const blob = blobOf(bytes);
  const accepted = (location: string, range?: number) =>
    new Response(undefined, {
      status: range === undefined ? 202 : 204,
      headers: { Location: location, ...(range === undefined ? {} : { Range: `0-${range - 1}` }) },
    });

  test("of what is there sends nothing", async () => {
    await using registry = serve(() => new Response(undefined, { status: 200 }));
    expect(await repositoryAt(registry.host).putBlob(blob, sourceOf(bytes))).toEqual({ kind: "exists" });
    expect(registry.lines()).toEqual([`HEAD /v2/a/b/blobs/${blob.digest}`]);
  });

  test("is one PUT to the address that the registry gives, with what stood in it", async () => {
    await using registry = serve((asked) => {
      if (asked.method === "HEAD") return new Response(undefined, { status: 404 });
      return asked.method === "POST"
        ? accepted("/v2/a/b/blobs/uploads/7?_state=x%2Fy")
        : new Response(undefined, { status: 201 });
    });
    const sent: number[] = [];
    const options = { progress: (count: number) => sent.push(count) };
    expect(await repositoryAt(registry.host).putBlob(blob, sourceOf(bytes), options)).toEqual({
      kind: "uploaded",
    });
    const put = registry.asked.at(-1);
    expect(put?.target).toBe(
      `/v2/a/b/blobs/uploads/7?_state=x%2Fy&digest=${encodeURIComponent(blob.digest)}`,
    );
    expect(put?.headers.get("content-length")).toBe(String(bytes.length));
    expect(Buffer.from(put?.body ?? "", "latin1")).toEqual(Buffer.from(bytes));
    expect(sent.at(-1)).toBe(bytes.length);
  });

  test("of a file sends the file", async () => {
    using directory = scratch();
    const path = join(directory.path, "blob");
    await Bun.write(path, Buffer.concat([Buffer.from("before"), bytes, Buffer.from("after")]));
    await using registry = serve((asked) => {
      if (asked.method === "HEAD") return new Response(undefined, { status: 404 });
      return asked.method === "POST" ? accepted("/v2/u") : new Response(undefined, { status: 201 });
    });
    await repositoryAt(registry.host).putBlob(blob, () => ({ path, offset: 6, length: bytes.length }));
    expect(digestOf(Buffer.from(registry.asked.at(-1)?.body ?? "", "latin1"))).toBe(blob.digest);
  });

  test("that breaks goes on where the registry says that it ended", async () => {
    let stored = Buffer.alloc(0);
    await using registry = serve((asked) => {
      const body = Buffer.from(asked.body, "latin1");
      switch (asked.method) {
        case "HEAD":
          return new Response(undefined, { status: 404 });
        case "POST":
          return accepted("/v2/u?step=1");
        case "GET":
          return accepted("/v2/u?step=2", stored.length);
        case "PATCH":
          stored = Buffer.concat([stored, body]);
          return new Response(undefined, { status: 202, headers: { Location: "/v2/u?step=3" } });
        default:
          if (stored.length === 0) {
            stored = body.subarray(0, 70_000);
            return new Response("lost my disk", { status: 500 });
          }
          return new Response(undefined, { status: 201 });
      }
    });
    await repositoryAt(registry.host).putBlob(blob, sourceOf(bytes));
    expect(digestOf(stored)).toBe(blob.digest);
    const patch = registry.asked.find(({ method }) => method === "PATCH");
    expect(patch?.target).toBe("/v2/u?step=2");
    expect(patch?.headers.get("content-range")).toBe("70000-199999");
    expect(registry.asked.at(-1)?.body).toBe("");
  });

  test("that the registry has forgotten begins anew", async () => {
    let puts = 0;
    await using registry = serve((asked) => {
      switch (asked.method) {
        case "HEAD":
          return new Response(undefined, { status: 404 });
        case "POST":
          return accepted(`/v2/u${puts}`);
        case "GET":
          return refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
        default:
          puts += 1;
          return puts === 1
            ? refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
            : new Response(undefined, { status: 201 });
      }
    });
    await repositoryAt(registry.host).putBlob(blob, sourceOf(bytes));
    expect(registry.asked.at(-1)?.target).toStartWith("/v2/u1?");
    expect(registry.asked.at(-1)?.body.length).toBe(bytes.length);
  });

  test("whose source fails tells of the source, and sends nothing as if it were whole", async () => {
    await using registry = serve((asked) =>
      asked.method === "HEAD" ? new Response(undefined, { status: 404 }) : accepted("/v2/u"),
    );
    async function* broken() {
      yield bytes.slice(0, 1000);
      throw new Error("the disk is gone");
    }
    const failure = await failureOf(repositoryAt(registry.host).putBlob(blob, broken));
    expect(failure.message).toBe("the disk is gone");
    const short = await failureOf(repositoryAt(registry.host).putBlob(blob, sourceOf(bytes.slice(0, 1000))));
    expect(short.message).toContain("has not the 200000 bytes");
    const long = await failureOf(
      repositoryAt(registry.host).putBlob(blob, sourceOf(sampleBytes(200_001, 7))),
    );
    expect(long.message).toContain("has not the 200000 bytes");
    expect(registry.asked.filter(({ method }) => method === "PUT")).toEqual([]);
  });

  test("is mounted where another repository has it; else the upload that came instead is used", async () => {
    const state = { mounts: ["mine/other"] };
    await using registry = serve((asked) => {
      if (asked.method === "HEAD") return new Response(undefined, { status: 404 });
      const from = new URL(asked.target, "http://x").searchParams.get("from");
      if (asked.method === "POST") {
        return from !== null && state.mounts.includes(from)
          ? new Response(undefined, { status: 201 })
          : accepted(`/v2/u?for=${from}`);
      }
      return new Response(undefined, { status: asked.method === "DELETE" ? 204 : 201 });
    });
    const repository = repositoryAt(registry.host);
    const mountFrom = ["a/b", "first", "mine/other"];
    expect(await repository.putBlob(blob, sourceOf(bytes), { mountFrom })).toEqual({
      kind: "mounted",
      from: "mine/other",
    });
    expect(registry.lines().slice(1)).toEqual([
      `POST /v2/a/b/blobs/uploads/?mount=${encodeURIComponent(blob.digest)}&from=first`,
      "DELETE /v2/u?for=first",
      `POST /v2/a/b/blobs/uploads/?mount=${encodeURIComponent(blob.digest)}&from=mine%2Fother`,
    ]);
    state.mounts = [];
    expect(await repository.putBlob(blob, sourceOf(bytes), { mountFrom: ["first"] })).toEqual({
      kind: "uploaded",
    });
    expect(registry.asked.at(-1)?.target).toStartWith("/v2/u?for=first&digest=");
  });

  test("to an address that is none is refused", async () => {
    for (const location of ["ftp://127.0.0.1/x", "http://[", "javascript:alert(1)"]) {
      await using registry = serve((asked) =>
        asked.method === "HEAD" ? new Response(undefined, { status: 404 }) : accepted(location),
      );
      const failure = await failureOf(repositoryAt(registry.host).putBlob(blob, sourceOf(bytes)));
      expect(failure.message).toContain("gave no valid address for an upload");
    }
  });
});

describe("redirects", () => {
  test("in a circle are given up", async () => {
    await using registry = serve((asked) => Response.redirect(`${asked.target}x`, 302));
    expect((await failureOf(repositoryAt(registry.host).manifest("latest"))).message).toContain(
      "stopped after 10 redirects",
    );
  });

  test("to what is no web address are refused", async () => {
    await using registry = serve(
      () => new Response(undefined, { status: 302, headers: { Location: "file:///etc/shadow" } }),
    );
    expect((await failureOf(repositoryAt(registry.host).manifest("latest"))).message).toContain(
      "redirected to an invalid address",
    );
  });
});

describe("mirrors of Docker Hub", () => {
  const bytes = sampleBytes(200_000, 3);
  const blob = blobOf(bytes);

  test("are asked in order, without Docker Hub's credentials; one that fails is left for the next", async () => {
    await using broken = serve(() => new Response("no", { status: 500 }));
    await using good = serve((asked) =>
      asked.target.includes("/manifests/") ? manifestAnswer() : new Response(bytes),
    );
    const mirrors = [`http://${await deadHost()}/`, `${broken.origin}/`, `${good.origin}/`];
    const auth = { username: "alice", password: "s3cret-word" };
    const repository = registriesFor({ mirrors }).repository(
      { domain: "docker.io", path: "library/x" },
      auth,
    );
    expect((await repository.manifest("latest")).digest).toBe(digestOf(manifest));
    expect(await collect(repository.blob(blob))).toEqual(Buffer.from(bytes));
    for (const { headers } of [...broken.asked, ...good.asked])
      expect(headers.has("authorization")).toBe(false);
    expect(good.lines()).toEqual([
      "GET /v2/library/x/manifests/latest",
      `GET /v2/library/x/blobs/${blob.digest}`,
    ]);
  });

  test("that break in the middle of a layer are left for another place, where it goes on", async () => {
    await using dying = await serveRaw((socket) => {
      socket.write(head("200 OK", `Content-Length: ${bytes.length}`));
      socket.write(bytes.subarray(0, 50_000), () => setTimeout(() => socket.destroy(), 20));
    });
    await using good = serve((_, request) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
      const headers = { "Content-Range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
      return new Response(bytes.subarray(from), { status: 206, headers });
    });
    const registries = registriesFor({ mirrors: [`http://${dying.host}/`, `${good.origin}/`] });
    const repository = registries.repository({ domain: "docker.io", path: "library/x" });
    expect(await collect(repository.blob(blob))).toEqual(Buffer.from(bytes));
    expect(good.asked[0]?.headers.get("range")).toMatch(/^bytes=[1-9]/);
  });

  test("are for Docker Hub alone", async () => {
    await using mirror = serve(() => manifestAnswer());
    await using registry = serve(() => manifestAnswer());
    const registries = registriesFor({ mirrors: [`${mirror.origin}/`] });
    await registries.repository({ domain: registry.host, path: "a" }).manifest("latest");
    expect(mirror.asked).toEqual([]);
  });
});

describe("search", () => {
  test("gives what the index found, at most as many as were asked for", async () => {
    const results = Array.from({ length: 40 }, (_, at) => ({
      name: `thing${at}`,
      description: "x",
      star_count: at,
      is_official: at === 0,
    }));
    await using index = serve(() => json({ results }));
    const found = await registriesFor().search(`${index.host}/thing`, { limit: 3 });
    expect(index.lines()).toEqual(["GET /v1/search?q=thing&n=3"]);
    expect(found[0]).toEqual({
      name: "thing0",
      description: "x",
      star_count: 0,
      is_official: true,
      is_automated: false,
    });
    expect(found).toHaveLength(3);
    expect(await registriesFor().search(`${index.host}/thing`)).toHaveLength(25);
  });

  test("refuses a limit that no index takes, and tells of an index that is none", async () => {
    await using index = serve(() => new Response("no", { status: 404 }));
    const registries = registriesFor();
    for (const limit of [0, 101, 1.5]) {
      const failure = await failureOf(registries.search(`${index.host}/x`, { limit }));
      expect(failure.message).toBe(`limit ${limit} is outside the range of [1, 100]`);
    }
    expect((await failureOf(registries.search(`${index.host}/x`))).message).toBe(
      "Unexpected status code 404",
    );
  });
});

describe("referrers", () => {
  const subject = noSuchDigest;
  const of = (artifactType: string, digit: string) => ({
    mediaType: mediaTypes.manifest,
    artifactType,
    digest: `sha256:${digit.repeat(64)}`,
    size: 10,
  });
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [of("a/x", "1"), of("a/y", "2")],
  };

  test("come from the API, filtered by type", async () => {
    await using registry = serve(() => json(index, { type: mediaTypes.index }));
    const repository = repositoryAt(registry.host);
    expect(await repository.referrers(subject)).toHaveLength(2);
    expect((await repository.referrers(subject, "a/y")).map(({ digest }) => digest[10])).toEqual(["2"]);
    expect(registry.lines().at(-1)).toBe(`GET /v2/a/b/referrers/${subject}?artifactType=a%2Fy`);
  });

  test("come from the fallback tag of a registry without the API", async () => {
    await using registry = serve((asked) =>
      asked.target.includes("/manifests/sha256-000")
        ? json(index, { type: mediaTypes.index })
        : refuse(404, "NOT_FOUND", "no"),
    );
    expect(await repositoryAt(registry.host).referrers(subject, "a/x")).toHaveLength(1);
    await using none = serve(() => refuse(404, "MANIFEST_UNKNOWN", "no"));
    expect(await repositoryAt(none.host).referrers(subject)).toEqual([]);
  });
});

test("a large blob passes without piling up, however slow its reader", async () => {
  using directory = scratch();
  const path = join(directory.path, "large");
  mkdirSync(directory.path, { recursive: true });
  const size = 200 * 1024 * 1024;
  await Bun.write(path, new Uint8Array(size));
  const server = Bun.spawn([process.execPath, join(import.meta.dir, "client-file-server.ts"), path], {
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    const reader = server.stdout.getReader();
    const host = Buffer.from((await reader.read()).value ?? [])
      .toString()
      .trim();
    const client = Bun.spawn(
      [process.execPath, join(import.meta.dir, "client-slow-reader.ts"), host, String(size)],
      {
        stdout: "pipe",
        stderr: "inherit",
      },
    );
    const { read, peak } = JSON.parse(await client.stdout.text());
    expect(read).toBe(size);
    // A process that has read nothing has 40 MB or so.
    expect(peak).toBeLessThan(150 * 1024 * 1024);
  } finally {
    server.kill();
    await server.exited;
  }
}, 60_000);
