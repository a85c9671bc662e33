/** RemoteEngine and registries: what it asks of a server, and what it makes of the answers. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRemoteEngine } from "../../src/api/client/index.ts";
import { NotFound, NotImplemented, Unauthorized } from "../../src/core/errors.ts";
import type { Engine, ProgressMessage } from "../../src/engine/engine.ts";

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

interface Asked {
  method: string;
  path: string;
  query: Record<string, string[]>;
  auth: unknown;
  body: string;
}

/** An engine on a server of this API version, and the requests that it got. */
async function remote(
  version: string,
  answer: (asked: Asked) => Response = () => new Response(null, { status: 204 }),
): Promise<{ engine: Engine; asked: Asked[] }> {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-api-"));
  const unix = join(directory, "server.sock");
  const asked: Asked[] = [];
  const server = Bun.serve({
    unix,
    async fetch(request) {
      const url = new URL(request.url);
      if (url.pathname === "/_ping") return new Response("OK", { headers: { "Api-Version": version } });
      const header = request.headers.get("x-registry-auth");
      const one: Asked = {
        method: request.method,
        path: decodeURIComponent(url.pathname.replace(`/v${version}`, "")),
        query: Object.fromEntries(
          [...url.searchParams.keys()].map((key) => [key, url.searchParams.getAll(key)]),
        ),
        auth: header === null ? undefined : decodeAuth(header),
        body: await request.text(),
      };
      asked.push(one);
      return answer(one);
    },
  });
  const engine = await openRemoteEngine(`unix://${unix}`);
  cleanups.push(async () => {
    await engine.close();
    await server.stop(true);
    rmSync(directory, { recursive: true, force: true });
  });
  return { engine, asked };
}

/** As Go's base64.URLEncoding takes it: the URL's alphabet, and the padding must be there. */
function decodeAuth(header: string): unknown {
  if (!/^[\w-]+={0,2}$/.test(header) || header.length % 4 !== 0) throw new Error(`not base64url: ${header}`);
  return JSON.parse(Buffer.from(header, "base64url").toString());
}

function lines(...messages: object[]): Response {
  return new Response(messages.map((message) => `${JSON.stringify(message)}\r\n`).join(""));
}

async function all(messages: AsyncIterable<ProgressMessage>): Promise<ProgressMessage[]> {
  return await Array.fromAsync(messages);
}

const digest = `sha256:${"0".repeat(64)}`;

describe("pull", () => {
  test.each([
    ["busybox", { fromImage: ["busybox"], tag: ["latest"] }],
    ["docker.io/library/busybox:1.36", { fromImage: ["docker.io/library/busybox"], tag: ["1.36"] }],
    ["localhost:5000/a/b", { fromImage: ["localhost:5000/a/b"], tag: ["latest"] }],
    [`h:5000/a:1@${digest}`, { fromImage: ["h:5000/a"], tag: [digest] }],
  ])("%s is asked for by its name and tag", async (reference, query) => {
    const { engine, asked } = await remote("1.41", () => lines({ status: "Status: done" }));
    expect(await all(engine.images.pull(reference, { lazy: true }))).toEqual([{ status: "Status: done" }]);
    expect(asked).toEqual([{ method: "POST", path: "/images/create", query, auth: {}, body: "" }]);
  });

  test("all tags, a platform and credentials", async () => {
    const { engine, asked } = await remote("1.41", () => lines());
    const auth = { username: "ÿ>?", password: "päss~~??>>", serveraddress: "h:5000" };
    await all(engine.images.pull("h:5000/a", { all: true, platform: "Linux/ARM64", auth }));
    expect(asked[0]?.query).toEqual({ fromImage: ["h:5000/a"], platform: ["linux/arm64"] });
    expect(asked[0]?.auth).toEqual(auth);
    expect(() => engine.images.pull("a:1", { all: true })).toThrow("tag can't be used with --all-tags/-a");
  });

  test("a refusal and a failure in the middle are thrown in the server's words", async () => {
    const refused = await remote("1.41", () =>
      Response.json({ message: "pull access denied" }, { status: 404 }),
    );
    expect(await all(refused.engine.images.pull("a")).catch((error) => error)).toEqual(
      new NotFound("pull access denied"),
    );
    const broken = await remote("1.41", () =>
      lines({ status: "Pulling" }, { errorDetail: { message: "EOF" }, error: "EOF" }, { status: "never" }),
    );
    const seen: ProgressMessage[] = [];
    const failure = await (async () => {
      for await (const message of broken.engine.images.pull("a")) seen.push(message);
    })().catch((error) => error);
    expect(seen).toEqual([{ status: "Pulling" }]);
    expect(failure.message).toBe("EOF");
  });
});

describe("push", () => {
  test("one tag, all tags, and with a platform", async () => {
    const { engine, asked } = await remote("1.46", () =>
      lines({ aux: { Tag: "1", Digest: digest, Size: 5 } }),
    );
    expect(await all(engine.images.push("h:5000/a/b:1"))).toEqual([
      { aux: { Tag: "1", Digest: digest, Size: 5 } },
    ]);
    await all(engine.images.push("h:5000/a/b", { all: true }));
    await all(engine.images.push("a", { platform: "linux/arm/v7", auth: { username: "u", password: "p" } }));
    const platform = [JSON.stringify({ architecture: "arm", os: "linux", variant: "v7" })];
    expect(asked).toEqual([
      { method: "POST", path: "/images/h:5000/a/b/push", query: { tag: ["1"] }, auth: {}, body: "" },
      { method: "POST", path: "/images/h:5000/a/b/push", query: {}, auth: {}, body: "" },
      {
        method: "POST",
        path: "/images/a/push",
        query: { tag: ["latest"], platform },
        auth: { username: "u", password: "p" },
        body: "",
      },
    ]);
  });

  test("a digest cannot be pushed, and an old server not asked for a platform", async () => {
    const { engine, asked } = await remote("1.45");
    expect(() => engine.images.push(`a@${digest}`)).toThrow("cannot push a digest reference");
    expect(() => engine.images.push("a", { platform: "linux/amd64" })).toThrow(
      new NotImplemented('"--platform" requires API version 1.46, but the Docker daemon API version is 1.45'),
    );
    expect(asked).toEqual([]);
  });
});

test("search hands on the limit, filters and credentials", async () => {
  const item = { name: "a", description: "", star_count: 1, is_official: false, is_automated: false };
  const { engine, asked } = await remote("1.51", () => Response.json([item]));
  expect(await engine.images.search("h/a b", { limit: 7, filters: { stars: ["3"] } })).toEqual([item]);
  await engine.images.search("a", { limit: 0, auth: { identitytoken: "t" } });
  expect(asked).toEqual([
    {
      method: "GET",
      path: "/images/search",
      query: { term: ["h/a b"], limit: ["7"], filters: ['{"stars":["3"]}'] },
      auth: {},
      body: "",
    },
    { method: "GET", path: "/images/search", query: { term: ["a"] }, auth: { identitytoken: "t" }, body: "" },
  ]);
});

test("login takes a token, or nothing, and says who was refused", async () => {
  const { engine, asked } = await remote("1.51", ({ body }) =>
    body.includes("wrong")
      ? Response.json({ message: "unauthorized: incorrect username or password" }, { status: 401 })
      : Response.json(body.includes("token") ? { Status: "ok", IdentityToken: "t" } : { Status: "ok" }),
  );
  const auth = { username: "u", password: "p", serveraddress: "h" };
  expect(await engine.system.login(auth)).toEqual({ Status: "ok", IdentityToken: "" });
  expect(await engine.system.login({ ...auth, password: "token" })).toEqual({
    Status: "ok",
    IdentityToken: "t",
  });
  expect(JSON.parse(asked[0]?.body ?? "")).toEqual(auth);
  const refused = await engine.system.login({ ...auth, password: "wrong" }).catch((error) => error);
  expect(refused).toBeInstanceOf(Unauthorized);
  expect(refused.message).toBe("unauthorized: incorrect username or password");
});

test("distribution, prune and disk usage", async () => {
  const { engine, asked } = await remote("1.51", ({ path }) => {
    if (path.startsWith("/distribution")) return Response.json({ Descriptor: { digest }, Platforms: [] });
    if (path === "/images/prune") return Response.json({ ImagesDeleted: null, SpaceReclaimed: 0 });
    return Response.json({ LayersSize: 5, Images: null, Containers: null, Volumes: null });
  });
  expect(await engine.system.distribution("h:5000/a/b:1")).toMatchObject({ Descriptor: { digest } });
  expect(await engine.images.prune({ dangling: ["false"] })).toEqual({
    ImagesDeleted: null,
    SpaceReclaimed: 0,
  });
  expect(await engine.system.diskUsage()).toEqual({
    LayersSize: 5,
    Images: [],
    Containers: [],
    Volumes: [],
    BuildCache: [],
  });
  expect(asked.map(({ method, path, query }) => [method, path, query])).toEqual([
    ["GET", "/distribution/h:5000/a/b:1/json", {}],
    ["POST", "/images/prune", { filters: ['{"dangling":["false"]}'] }],
    ["GET", "/system/df", {}],
  ]);
});

describe("platforms", () => {
  const arm64 = '{"architecture":"arm64","os":"linux"}';
  const armV7 = '{"architecture":"arm","os":"linux","variant":"v7"}';

  test("are asked for as the API has them", async () => {
    const { engine, asked } = await remote("1.50", ({ path }) =>
      path === "/images/load" || path === "/images/get" ? lines() : Response.json([]),
    );
    const { images } = engine;
    await images.inspect("a", { platform: "linux/arm64" });
    await images.history("a", { platform: "linux/arm64" });
    await images.remove("a", { platforms: ["linux/arm64", "linux/arm/v7"] });
    await images.list({ manifests: true, sharedSize: true });
    await Array.fromAsync(images.save(["a", "b"], { platforms: ["linux/arm64"] }));
    await all(images.load(new Blob(["tar"]).stream(), { platforms: ["linux/arm/v7"] }));
    expect(asked.map(({ path, query }) => [path, query])).toEqual([
      ["/images/a/json", { platform: [arm64] }],
      ["/images/a/history", { platform: [arm64] }],
      ["/images/a", { platforms: [arm64, armV7] }],
      ["/images/json", { manifests: ["1"], "shared-size": ["1"] }],
      ["/images/get", { names: ["a", "b"], platform: [arm64] }],
      ["/images/load", { quiet: ["0"], platform: [armV7] }],
    ]);
    expect(asked.at(-1)?.body).toBe("tar");
    const bad = await images.inspect("a", { platform: "a/b/c/d" }).catch((error) => error);
    expect(bad.message).toBe('"a/b/c/d" is an invalid OS/architecture specifier');
  });

  test("are refused where the server would not understand them", async () => {
    const { engine, asked } = await remote("1.41");
    const { images } = engine;
    const needs = (version: string, flag = "--platform") =>
      new NotImplemented(
        `"${flag}" requires API version ${version}, but the Docker daemon API version is 1.41`,
      );
    const failure = (work: Promise<unknown>) => work.catch((error) => error);
    expect(await failure(images.inspect("a", { platform: "linux/arm64" }))).toEqual(needs("1.49"));
    expect(await failure(images.history("a", { platform: "linux/arm64" }))).toEqual(needs("1.48"));
    expect(await failure(images.remove("a", { platforms: ["linux/arm64"] }))).toEqual(needs("1.50"));
    expect(await failure(images.list({ manifests: true }))).toEqual(needs("1.47", "--tree"));
    expect(() => images.save(["a"], { platforms: ["linux/arm64"] })).toThrow(needs("1.48"));
    expect(() => images.load(new Blob([]).stream(), { platforms: ["linux/arm64"] })).toThrow(needs("1.48"));
    expect(asked).toEqual([]);
  });
});

test("what only davit can tell is refused in words", async () => {
  const { engine } = await remote("1.51");
  const failure = await engine.system.check().catch((error) => error);
  expect(failure).toBeInstanceOf(NotImplemented);
  expect(failure.message).toMatch(/ask davit on the host of unix:\/\/.* itself, without -H$/);
});
