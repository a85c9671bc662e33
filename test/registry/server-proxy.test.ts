/** A registry that is a cache of another one. */
import { describe, expect, test } from "bun:test";
import { openUpstream } from "../../src/cli/registry/upstream.ts";
import { collectRegistry } from "../../src/registry/server/collect-root.ts";
import {
  bytesOf,
  codeOf,
  digestOf,
  manifestOf,
  manifestType,
  pushImage,
  putManifest,
  randomBytes,
  startRegistry,
  type World,
} from "./server-world.ts";

/** A registry, and a cache of it whose requests are counted. */
async function startPair() {
  const asked: string[] = [];
  const upstream = await startRegistry({ log: ({ method, path }) => asked.push(`${method} ${path}`) });
  const cache = await startRegistry({ upstream: openUpstream(upstream.address, {}, {}) });
  return {
    upstream,
    cache,
    asked,
    async [Symbol.asyncDispose]() {
      await cache[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

/** Everything of an image, as a client pulls it. @returns the digests of its blobs */
async function pull(world: World, repository: string, reference: string): Promise<string[]> {
  const response = await world.call(`/v2/${repository}/manifests/${reference}`);
  if (response.status !== 200) throw new Error(`status ${response.status}: ${await response.text()}`);
  const manifest: { config: { digest: string }; layers: { digest: string }[] } = JSON.parse(
    await response.text(),
  );
  const digests = [manifest.config, ...manifest.layers].map(({ digest }) => digest);
  for (const digest of digests) {
    const blob = await world.call(`/v2/${repository}/blobs/${digest}`);
    expect(digestOf(await blob.bytes())).toBe(digest);
  }
  return digests;
}

describe("a pull-through cache", () => {
  test("fetches what it lacks once, and asks for tags each time", async () => {
    await using pair = await startPair();
    await pushImage(pair.upstream, "team/web", "1", [randomBytes(2_000_000)]);
    await pull(pair.cache, "team/web", "1");
    pair.asked.length = 0;
    await pull(pair.cache, "team/web", "1");
    expect(pair.asked).toEqual(["HEAD /v2/team/web/manifests/1"]);
    const second = await pushImage(pair.upstream, "team/web", "1", [randomBytes(1000)]);
    const moved = await pair.cache.call("/v2/team/web/manifests/1");
    expect(moved.headers.get("docker-content-digest")).toBe(second);
    const tags = await pair.cache.call("/v2/team/web/tags/list");
    expect(await tags.json()).toEqual({ name: "team/web", tags: ["1"] });
  });

  test("serves from its disk when the upstream is down", async () => {
    await using pair = await startPair();
    const digest = await pushImage(pair.upstream, "app", "1", [randomBytes(100_000)]);
    await pushImage(pair.upstream, "app", "never-pulled", [randomBytes(100)]);
    await pull(pair.cache, "app", "1");
    // It comes back on another port: nobody is at the old one.
    await pair.upstream.restart();
    await pull(pair.cache, "app", "1");
    await pull(pair.cache, "app", digest);
    const missing = await pair.cache.call("/v2/app/manifests/never-pulled");
    expect([missing.status, await codeOf(missing)]).toEqual([503, "UNAVAILABLE"]);
  });

  test("says not found when the upstream does, and takes no pushes", async () => {
    await using pair = await startPair();
    await pushImage(pair.upstream, "app", "1");
    expect((await pair.cache.call("/v2/app/manifests/2")).status).toBe(404);
    expect((await pair.cache.call(`/v2/app/manifests/${digestOf("x")}`)).status).toBe(404);
    expect((await pair.cache.call(`/v2/app/blobs/${digestOf("x")}`)).status).toBe(404);
    expect((await pair.cache.call("/v2/nobody/tags/list")).status).toBe(404);
    const push = await pair.cache.call("/v2/app/blobs/uploads/", { method: "POST" });
    expect([push.status, await codeOf(push)]).toEqual([405, "UNSUPPORTED"]);
  });

  test("fetches a blob once for many clients, whole or in parts", async () => {
    await using pair = await startPair();
    const blob = randomBytes(5_000_000);
    await pushImage(pair.upstream, "many", "1", [blob]);
    pair.asked.length = 0;
    const path = `/v2/many/blobs/${digestOf(blob)}`;
    const bodies = await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const headers: Record<string, string> = index % 2 === 0 ? {} : { Range: "bytes=4000000-" };
        const response = await pair.cache.call(path, { headers });
        expect(response.status).toBe(index % 2 === 0 ? 200 : 206);
        return digestOf(await response.bytes());
      }),
    );
    expect(new Set(bodies)).toEqual(new Set([digestOf(blob), digestOf(blob.subarray(4_000_000))]));
    expect(pair.asked.filter((line) => line.includes("/blobs/") && line.startsWith("GET"))).toEqual([
      `GET ${path}`,
    ]);
  });

  test("forgets what nobody asked for", async () => {
    await using pair = await startPair();
    await pushImage(pair.upstream, "old", "1", [randomBytes(1000)]);
    await pull(pair.cache, "old", "1");
    const report = await collectRegistry(pair.cache.root, {
      removeUntagged: false,
      unusedSince: Date.now() + 2 * 3_600_000,
    });
    expect(report.manifests).toBe(1);
    await pull(pair.cache, "old", "1");
  });

  test("hands out and keeps nothing that is not what its digest says", async () => {
    const config = bytesOf("{}");
    const layer = randomBytes(700_000);
    const manifest = manifestOf({ config, layers: [layer] });
    const liar = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname.includes("/manifests/")) {
          const headers = { "Content-Type": manifestType, "Docker-Content-Digest": digestOf(manifest) };
          return new Response(manifest, { headers });
        }
        if (pathname.includes("/blobs/")) return new Response(randomBytes(layer.length));
        return Response.json({});
      },
    });
    await using cache = await startRegistry({ upstream: openUpstream(liar.url.origin, {}, {}) });
    try {
      const response = await cache.call(`/v2/lies/blobs/${digestOf(layer)}`);
      await expect(response.bytes()).rejects.toThrow();
      await collectRegistry(cache.root, { removeUntagged: false });
      expect([...new Bun.Glob("blobs/*/*/*").scanSync(cache.root)]).toEqual([]);
      expect([...new Bun.Glob("uploads/*").scanSync(cache.root)]).toEqual([]);
    } finally {
      await liar.stop(true);
    }
  });

  test("takes no manifest by a wrong digest", async () => {
    const config = bytesOf("{}");
    const liar = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () =>
        new Response(manifestOf({ config, layers: [] }), { headers: { "Content-Type": manifestType } }),
    });
    await using cache = await startRegistry({ upstream: openUpstream(liar.url.origin, {}, {}) });
    try {
      const response = await cache.call(`/v2/lies/manifests/${digestOf("other")}`);
      expect(response.status).toBeGreaterThanOrEqual(400);
      expect((await putManifest(cache, "lies", "1", "{}")).status).toBe(405);
    } finally {
      await liar.stop(true);
    }
  });
});
