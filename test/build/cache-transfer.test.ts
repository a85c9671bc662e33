/** Caches of builds on their way from one instance to another: directories, registries, images that carry one. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BuildRequest, CacheSource, CacheTarget } from "../../src/engine/build.ts";
import { openRegistryServer, type RegistryServer } from "../../src/registry/server/index.ts";
import { tar } from "../images/tar.ts";
import { type Built, openWorkshop, type Workshop } from "./workshop.ts";

setDefaultTimeout(60_000);

let here: Workshop;
let there: Workshop;
let registry: RegistryServer;
beforeAll(async () => {
  [here, there] = await Promise.all([openWorkshop(), openWorkshop()]);
  registry = await openRegistryServer({
    root: join(here.davit.directory, "registry"),
    listen: { hostname: "127.0.0.1", port: 0 },
  });
});
afterAll(async () => {
  await registry?.close(0);
  await Promise.all([here[Symbol.asyncDispose](), there[Symbol.asyncDispose]()]);
});

/** As references write it. */
const host = () => `127.0.0.1:${registry.port}`;

let projects = 0;

/** Two stages; each project has steps of its own, which no other has left in a cache. */
function project(changed: { program?: string; readme?: string } = {}, id = ++projects) {
  return {
    Dockerfile: `FROM davit-busybox AS tools
RUN echo tools ${id} > /tools
FROM davit-busybox AS build
COPY program /src/
RUN cat /src/program > /app; date +%N > /moment
FROM davit-busybox
RUN echo base ${id} > /base
COPY --from=build /app /moment /
COPY readme /
RUN --mount=from=tools,target=/t cat /app /t/tools > /done
`,
    program: changed.program ?? `program ${id}\n`,
    readme: changed.readme ?? `readme ${id}\n`,
  };
}

/** Steps of a build, by what they are. */
function steps(names: readonly string[]): string[] {
  return names
    .flatMap((name) => (/^\[(?!internal)/.test(name) ? [name.replace(/^\[[^\]]*\] /, "")] : []))
    .sort();
}

const form = { layers: { compression: "gzip" } } as const;

function directoryCache(name: string, mode: "min" | "max" = "max") {
  const directory = join(here.davit.directory, name);
  const to: CacheTarget = { kind: "local", directory, mode, form, ignoresErrors: false };
  const from: CacheSource = { kind: "local", directory };
  return { directory, to: { cacheTo: [to] }, from: { cacheFrom: [from] } };
}

function registryCache(repository: string, mode: "min" | "max" = "max", at = host()) {
  const reference = `${at}/${repository}:cache`;
  const to: CacheTarget = { kind: "registry", reference, mode, form, ignoresErrors: false };
  return {
    reference,
    to: { cacheTo: [to] },
    from: { cacheFrom: [{ kind: "registry", reference } as const] },
  };
}

function lines(built: Built): string[] {
  return built.events.flatMap((event) =>
    event.kind === "status" && event.finished === undefined ? [event.text] : [],
  );
}

function errors(built: Built): string[] {
  return built.events.flatMap((event) =>
    event.kind === "finished" && event.error !== undefined ? [event.error] : [],
  );
}

describe("a cache in a directory", () => {
  test("gives a fresh instance all steps, and the same image", async () => {
    const cache = directoryCache("all");
    const files = project();
    const first = await here.build(files, cache.to);
    const second = await there.build(files, cache.from);
    expect(steps(second.ran)).toEqual([]);
    expect(second.result.imageId).toBe(first.result.imageId);
    expect(second.result.manifestDigest).toBe(first.result.manifestDigest);
    // Also steps of stages that were not even looked for.
    expect(steps(second.cached)).toEqual(steps([...first.cached, ...first.ran]));
    // From now on it is in the cache there.
    const third = await there.build(files);
    expect(steps(third.ran)).toEqual([]);
    expect(third.result.imageId).toBe(first.result.imageId);
    expect((await there.davit.run(["system", "check"])).stdout).toContain("no damage found");
  });

  test("is fetched only as far as it is needed", async () => {
    const cache = directoryCache("lazy");
    const files = project();
    await here.build(files, cache.to);
    const all = JSON.parse(readFileSync(blobOf(cache.directory, manifestOf(cache.directory)), "utf8")).layers
      .length;
    const whole = await there.build(files, cache.from);
    const pulled = lines(whole).filter((line) => line.startsWith("pulling sha256:"));
    // Of seven steps, four made the image's own layers.
    expect(all).toBe(7);
    expect(pulled).toHaveLength(4);
    const nothing = await there.build(project({}, 0), { ...cache.from, outputs: [] });
    expect(steps(nothing.ran)).not.toEqual([]);
    expect(lines(nothing).filter((line) => line.startsWith("pulling sha256:"))).toEqual([]);
  });

  test("gives the steps that a change leaves alone", async () => {
    const cache = directoryCache("changed");
    const id = ++projects;
    await here.build(project({}, id), cache.to);
    const readme = await there.build(project({ readme: "other\n" }, id), cache.from);
    expect(steps(readme.ran)).toEqual([
      "COPY readme /",
      "RUN --mount=from=tools,target=/t cat /app /t/tools > /done",
    ]);
    const program = await there.build(project({ program: "other\n" }, id), {
      ...cache.from,
      names: ["changed-program"],
    });
    expect(steps(program.ran)).toEqual([
      "COPY --from=build /app /moment /",
      "COPY program /src/",
      "COPY readme /",
      "RUN --mount=from=tools,target=/t cat /app /t/tools > /done",
      "RUN cat /src/program > /app; date +%N > /moment",
    ]);
    expect(await there.run("changed-program", "cat", "/done")).toBe(`other\ntools ${id}`);
  });

  test("can be kept for several builds under tags", async () => {
    const directory = join(here.davit.directory, "tags");
    const to = (tag: string): CacheTarget => ({
      kind: "local",
      directory,
      tag,
      mode: "max",
      form,
      ignoresErrors: false,
    });
    const [one, two] = [project(), project()];
    await here.build(one, { cacheTo: [to("one")] });
    await here.build(two, { cacheTo: [to("two")] });
    const cacheFrom: CacheSource[] = ["one", "two"].map((tag) => ({ kind: "local", directory, tag }));
    for (const files of [one, two]) expect(steps((await there.build(files, { cacheFrom })).ran)).toEqual([]);
  });

  test("is left alone when its writing is broken off", async () => {
    const cache = directoryCache("killed");
    const files = project();
    await here.build(files, cache.to);
    const index = readFileSync(join(cache.directory, "index.json"), "utf8");
    const context = here.context(project());
    const killed = await here.davit.run(
      ["build", "--cache-to", `type=local,dest=${cache.directory},mode=max`, context],
      { env: { DAVIT_FAULT: "layout:staged" } },
    );
    expect(killed.code).toBe(137);
    expect(readFileSync(join(cache.directory, "index.json"), "utf8")).toBe(index);
    expect(steps((await there.build(files, cache.from)).ran)).toEqual([]);
    await here.build(project(), cache.to);
    expect(readdirSync(cache.directory).sort()).toEqual(["blobs", "index.json", "oci-layout"]);
  });
});

describe("mode=min", () => {
  test("keeps what made the image, and not the stages before", async () => {
    const [small, large] = [directoryCache("min", "min"), directoryCache("max")];
    const id = ++projects;
    await here.build(project({}, id), { cacheTo: [...small.to.cacheTo, ...large.to.cacheTo] });
    const count = (directory: string) =>
      JSON.parse(readFileSync(blobOf(directory, manifestOf(directory)), "utf8")).layers.length;
    expect([count(small.directory), count(large.directory)]).toEqual([4, 7]);
    // Without a change the stages before are not needed; with one they are.
    const same = await there.build(project({}, id), small.from);
    expect(steps(same.ran)).toEqual([]);
    const program = await there.build(project({ program: "other\n" }, id), small.from);
    expect(steps(program.ran)).toContain(`RUN echo tools ${id} > /tools`);
  });
});

describe("a cache in a registry", () => {
  test("gives a fresh instance all steps", async () => {
    const cache = registryCache("team/app");
    const files = project();
    const first = await here.build(files, cache.to);
    const second = await there.build(files, cache.from);
    expect(steps(second.ran)).toEqual([]);
    expect(second.result.imageId).toBe(first.result.imageId);
  });

  test("does not travel through an instance that only pushes what it builds", async () => {
    // Not even into another repository of the same registry.
    using counting = countingProxy();
    const cache = registryCache("team/pushed-cache", "max", counting.host);
    const name = `${counting.host}/team/pushed:latest`;
    const files = project();
    const first = await here.build(files, cache.to);
    await here.build({ Dockerfile: "FROM davit-busybox\n" }, { names: [name], outputs: [{ kind: "push" }] });
    counting.requests.length = 0;
    const pushed = await there.build(files, {
      ...cache.from,
      names: [name],
      outputs: [{ kind: "push", isOnlyPushed: true }],
    });
    expect(pushed.result.imageId).toBe(first.result.imageId);
    const headers = { accept: "application/vnd.oci.image.manifest.v1+json" };
    const answer = await fetch(`http://${host()}/v2/team/pushed/manifests/latest`, { headers });
    const { layers, config } = JSON.parse(await answer.text());
    expect(layers).toHaveLength(5);
    const fetched = counting.requests.filter((line) => /^GET .*\/blobs\/sha256:/.test(line));
    expect(fetched.filter((line) => !line.includes(config.digest))).toHaveLength(1);
    const uploads = counting.requests.filter((line) => line.startsWith("POST "));
    // Four layers are mounted, and the config goes up.
    expect(uploads.filter((line) => line.includes("mount="))).toHaveLength(4);
    expect(await there.davit.output(["images", "-q", name])).toBe("");
    await there.davit.output(["pull", "-q", name]);
    expect((await there.engine.images.inspect(name)).Id).toBe(first.result.imageId);
  });

  test("is in an image that carries one", async () => {
    const name = `${host()}/team/inline:1`;
    const id = ++projects;
    const request: Partial<BuildRequest> = { names: [name], outputs: [{ kind: "push" }] };
    await here.build(project({}, id), { ...request, cacheTo: [{ kind: "inline" }] });
    const context = there.context(project({ readme: "other\n" }, id));
    const { stderr, code } = await there.davit.run([
      "build",
      "--progress=plain",
      "--cache-from",
      name,
      context,
    ]);
    expect(code).toBe(0);
    expect(stderr).toContain(`importing cache manifest from ${name}\n`);
    expect(cachedSteps(stderr)).toContain(`RUN echo base ${id} > /base`);
    expect(cachedSteps(stderr)).toContain("COPY --from=build /app /moment /");
    expect(cachedSteps(stderr)).not.toContain("COPY readme /");
  });

  test("is put into the image for BUILDKIT_INLINE_CACHE too", async () => {
    const name = `${host()}/team/argument:1`;
    const files = { Dockerfile: `FROM davit-busybox\nRUN echo ${++projects} > /x\n` };
    const buildArguments = { BUILDKIT_INLINE_CACHE: "1" };
    await here.build(files, { names: [name], buildArguments, outputs: [{ kind: "push" }] });
    const again = await there.build(files, { cacheFrom: [{ kind: "registry", reference: name }] });
    expect(steps(again.ran)).toEqual([]);
  });
});

describe("a result", () => {
  const moments = (id: number) => ({
    Dockerfile: `FROM davit-busybox
RUN date +%N > /one; echo ${id}
RUN --mount=type=secret,id=go test -e /run/secrets/go && cp /one /two
`,
  });
  const go = [{ id: "go", content: Buffer.from("go") }];
  const same = "cmp /one /two && echo same";

  test("is used with what it was made on, and with nothing that was made since", async () => {
    const files = moments(++projects);
    await here.build(files, { secrets: go });
    // The first step is built anew, and the second fails.
    expect((await here.tryBuild(files, { noCache: true })).error).toBeDefined();
    const { ran } = await here.build(files, { secrets: go, names: ["moments:1"] });
    expect(steps(ran)).toHaveLength(1);
    expect(await here.run("moments:1", "sh", "-c", same)).toBe("same");
  });

  test("from elsewhere brings what it was made on, whatever is here under the same key", async () => {
    const files = moments(++projects);
    const cache = directoryCache("moments");
    await here.build(files, { ...cache.to, secrets: go });
    // Its first step is here already, made at another moment.
    expect((await there.tryBuild(files)).error).toBeDefined();
    const { ran } = await there.build(files, { ...cache.from, names: ["moments:2"] });
    expect(steps(ran)).toEqual([]);
    expect(await there.run("moments:2", "sh", "-c", same)).toBe("same");
  });
});

describe("a cache that cannot be used", () => {
  test("and is not there is told of, and the build goes on", async () => {
    const built = await there.build(project(), {
      cacheFrom: [
        { kind: "registry", reference: `${host()}/team/none:cache` },
        { kind: "local", directory: join(here.davit.directory, "none") },
      ],
    });
    expect(errors(built).sort()).toEqual([
      expect.stringContaining("failed to configure local cache importer: "),
      expect.stringContaining("failed to configure registry cache importer: "),
    ]);
  });

  test("because it is BuildKit's, or an image without one, is told of", async () => {
    const directory = join(here.davit.directory, "foreign");
    writeLayout(directory, "application/vnd.buildkit.cacheconfig.v0", { layers: [], records: [] });
    const built = await there.build(project(), { cacheFrom: [{ kind: "local", directory }] });
    expect(errors(built)).toEqual([]);
    expect(built.output).toContain("this is BuildKit's cache");
    const name = `${host()}/team/plain:1`;
    await here.build(project(), { names: [name], outputs: [{ kind: "push" }] });
    const plain = await there.build(project(), { cacheFrom: [{ kind: "registry", reference: name }] });
    expect(plain.output).toContain("the image carries no cache");
  });

  test("because it holds garbage is told of", async () => {
    const record = {
      key: "0".repeat(64),
      layer: 0,
      diffId: `sha256:${"1".repeat(64)}`,
      size: 1,
      fileTime: "0",
    };
    for (const [config, problem] of [
      [{}, "version is not a whole number"],
      [{ version: 2, records: [] }, "another version of davit has written it"],
      [{ version: 1, records: [{ ...record, description: "", key: "../../etc" }] }, "is not a cache key"],
      [{ version: 1, records: [{ ...record, description: "", layer: 7 }] }, "layer is not below 0"],
      [{ version: 1, records: [{ ...record, description: "", below: 0 }] }, "below is not below 0"],
    ] as const) {
      const directory = join(here.davit.directory, `garbage-${problem.length}`);
      writeLayout(directory, "application/vnd.davit.buildcache.config.v1+json", config);
      const built = await there.build(project(), { cacheFrom: [{ kind: "local", directory }] });
      expect(errors(built)).toEqual([expect.stringContaining(problem)]);
    }
  });

  test("because a layer is damaged, gone, or another is left out when that is found", async () => {
    for (const damage of ["cut", "gone", "other"] as const) {
      const cache = directoryCache(`damaged-${damage}`);
      const files = project();
      const first = await here.build(files, cache.to);
      const { layers } = JSON.parse(
        readFileSync(blobOf(cache.directory, manifestOf(cache.directory)), "utf8"),
      );
      for (const { digest } of layers) {
        const path = blobOf(cache.directory, digest);
        if (damage === "gone") rmSync(path, { force: true });
        else writeFileSync(path, damage === "cut" ? readFileSync(path).subarray(0, 20) : "other bytes");
      }
      const built = await there.build(files, cache.from);
      expect(steps(built.ran)).toContain("COPY readme /");
      expect(built.events.filter(({ kind }) => kind === "warning")).toMatchObject([
        { warning: { message: expect.stringContaining("building without it") } },
      ]);
      expect(errors(built)).toEqual([expect.stringContaining(`cache local:${cache.directory}: `)]);
      // With the moment of the RUN step another image comes out, but one that is whole.
      expect(built.result.imageId).not.toBe(first.result.imageId);
    }
  });

  test("because it lies about its layers is left out", async () => {
    const senseless = tar([{ name: "link", type: "2" }]);
    for (const lie of ["size", "diffId", "senseless"] as const) {
      const cache = directoryCache(`lie-${lie}`);
      const files = project();
      await here.build(files, cache.to);
      rewrite(cache.directory, (record) => {
        if (lie === "size") return { record: { ...record, size: 1 } };
        if (lie === "diffId") return { record: { ...record, diffId: `sha256:${"1".repeat(64)}` } };
        return layered(record, senseless);
      });
      const built = await there.build(files, cache.from);
      expect(steps(built.ran)).toContain("COPY readme /");
      expect(built.events.filter(({ kind }) => kind === "warning")).toHaveLength(1);
    }
    // A stack that stands on another base than it says is no result of the step.
    const cache = directoryCache("lie-base");
    const files = project();
    await here.build(files, cache.to);
    rewrite(cache.directory, ({ base: _, ...record }) => ({ record }));
    const built = await there.build(files, cache.from);
    expect(steps(built.ran)).toContain("COPY readme /");
    expect(built.events.filter(({ kind }) => kind === "warning")).toEqual([]);
  });

  test("because its layers reach outside does not get there", async () => {
    const upwards = tar([{ name: "../../../../escaped", data: "x" }]);
    const through = tar([
      { name: "out", type: "2", link: there.davit.directory },
      { name: "out/escaped", data: "x" },
    ]);
    for (const [name, layer] of Object.entries({ upwards, through })) {
      const cache = directoryCache(name);
      const files = project();
      await here.build(files, cache.to);
      rewrite(cache.directory, (record) => layered(record, layer));
      await there.build(files, cache.from);
      expect(existsSync(join(there.davit.directory, "escaped"))).toBe(false);
    }
  });

  test("to be written fails the build, unless that is ignored", async () => {
    const file = join(here.davit.directory, "a-file");
    writeFileSync(file, "");
    const to = (ignoresErrors: boolean): CacheTarget[] => [
      { kind: "local", directory: join(file, "cache"), mode: "min", form, ignoresErrors },
    ];
    const files = project();
    const failed = await here.tryBuild(files, { cacheTo: to(false) });
    expect(failed.error).toBeDefined();
    const ignored = await here.tryBuild(files, { cacheTo: to(true) });
    expect(ignored.error).toBeUndefined();
    expect(errors(ignored)).toHaveLength(1);
  });
});

describe("a killed import", () => {
  test("leaves nothing, and the next one goes on", async () => {
    const cache = directoryCache("killed-import");
    const files = project();
    await here.build(files, cache.to);
    const context = there.context(files);
    const words = ["build", "--progress=plain", "--cache-from", `type=local,src=${cache.directory}`, context];
    const killed = await there.davit.run(words, { env: { DAVIT_FAULT: "cache:unpacked" } });
    expect(killed.code).toBe(137);
    const { code, stderr } = await there.davit.run(words);
    expect(code).toBe(0);
    expect(stderr).not.toContain("DONE 0.0s\n\n#1 [stage");
    expect(cachedSteps(stderr)).toContain("COPY readme /");
    expect((await there.davit.run(["system", "check"])).stdout).toContain("no damage found");
  });
});

/** The registry, behind a door where everybody is noted who goes through. */
function countingProxy(): Disposable & { readonly host: string; readonly requests: string[] } {
  const requests: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { pathname, search } = new URL(request.url);
      requests.push(`${request.method} ${pathname}${search}`);
      const headers = new Headers(request.headers);
      const body = ["GET", "HEAD"].includes(request.method) ? null : await request.arrayBuffer();
      const answer = await fetch(`http://${host()}${pathname}${search}`, {
        method: request.method,
        headers,
        body,
        redirect: "manual",
        decompress: false,
      });
      return new Response(request.method === "HEAD" ? null : await answer.arrayBuffer(), {
        status: answer.status,
        headers: answer.headers,
      });
    },
  });
  return { host: `127.0.0.1:${server.port}`, requests, [Symbol.dispose]: () => void server.stop(true) };
}

/** Steps that `--progress=plain` shows as cached. */
function cachedSteps(output: string): string[] {
  const numbers = [...output.matchAll(/^#(\d+) CACHED$/gm)].map(([, number]) => number);
  return steps(numbers.flatMap((number) => new RegExp(`^#${number} (.*)$`, "m").exec(output)?.[1] ?? []));
}

function manifestOf(directory: string): string {
  return JSON.parse(readFileSync(join(directory, "index.json"), "utf8")).manifests[0].digest;
}

function blobOf(directory: string, digest: string): string {
  return join(directory, "blobs", "sha256", digest.slice("sha256:".length));
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}

function layered(record: Record<string, unknown>, layer: Uint8Array) {
  return { record: { ...record, diffId: digestOf(layer), size: layer.byteLength }, layer };
}

/** Makes another cache of one that is there: what its records say, and perhaps other layers for them. */
function rewrite(
  directory: string,
  change: (record: Record<string, unknown>) => { record: Record<string, unknown>; layer?: Uint8Array },
): void {
  const manifest = JSON.parse(readFileSync(blobOf(directory, manifestOf(directory)), "utf8"));
  const config = JSON.parse(readFileSync(blobOf(directory, manifest.config.digest), "utf8"));
  const put = (bytes: Uint8Array) => {
    writeFileSync(blobOf(directory, digestOf(bytes)), bytes);
    return { digest: digestOf(bytes), size: bytes.byteLength };
  };
  config.records = config.records.map((record: Record<string, unknown>) => {
    const changed = change(record);
    if (changed.layer !== undefined) {
      const mediaType = "application/vnd.oci.image.layer.v1.tar";
      manifest.layers[Number(record.layer)] = { mediaType, ...put(changed.layer) };
    }
    return changed.record;
  });
  manifest.config = { ...manifest.config, ...put(Buffer.from(JSON.stringify(config))) };
  const index = JSON.parse(readFileSync(join(directory, "index.json"), "utf8"));
  index.manifests[0] = { ...index.manifests[0], ...put(Buffer.from(JSON.stringify(manifest))) };
  writeFileSync(join(directory, "index.json"), JSON.stringify(index));
}

/** A layout with one manifest, whose config is of this kind. */
function writeLayout(directory: string, mediaType: string, config: object): void {
  mkdirSync(join(directory, "blobs", "sha256"), { recursive: true });
  const put = (value: object) => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
    writeFileSync(blobOf(directory, digest), bytes);
    return { digest, size: bytes.byteLength };
  };
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = put({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType, ...put(config) },
    layers: [],
  });
  const annotations = { "org.opencontainers.image.ref.name": "latest" };
  const manifests = [{ mediaType: manifestType, ...manifest, annotations }];
  writeFileSync(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
}
