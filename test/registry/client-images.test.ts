import { describe, expect, test } from "bun:test";
import { InvalidParameter, NotFound } from "../../src/core/errors.ts";
import { copy, type Image } from "../../src/images/image.ts";
import { digestOf, mediaTypes } from "../../src/images/manifest.ts";
import { parseReference } from "../../src/images/references.ts";
import { resolveImage } from "../../src/registry/resolve.ts";
import { type LayerOutcome, registrySink } from "../../src/registry/sink.ts";
import { registrySource } from "../../src/registry/source.ts";
import {
  type Asked,
  blobOf,
  collect,
  failureOf,
  json,
  refuse,
  registriesFor,
  sampleBytes,
  serve,
  type TestServer,
} from "./client-support.ts";

const amd64 = { os: "linux", architecture: "amd64" };

/** What a registry holds: documents by tag or digest, blobs by digest. */
class Shelf {
  readonly documents = new Map<string, { text: string; type: string }>();
  readonly blobs = new Map<string, Uint8Array>();

  document(value: object, type: string, ...tags: string[]) {
    const text = JSON.stringify({ schemaVersion: 2, mediaType: type, ...value });
    for (const name of [digestOf(text), ...tags]) this.documents.set(name, { text, type });
    return { mediaType: type, digest: digestOf(text), size: text.length };
  }

  blob(bytes: Uint8Array) {
    const descriptor = blobOf(bytes);
    this.blobs.set(descriptor.digest, bytes);
    return descriptor;
  }

  /** An image with one layer of its own. */
  image(seed: number, ...tags: string[]) {
    const layer = this.blob(sampleBytes(5000, seed));
    const text = JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Labels: { seed: String(seed) } },
      rootfs: { type: "layers", diff_ids: [layer.digest] },
    });
    const config = { ...this.blob(Buffer.from(text)), mediaType: mediaTypes.config };
    return this.document({ config, layers: [layer] }, mediaTypes.manifest, ...tags);
  }

  index(manifests: object[], ...tags: string[]) {
    return this.document({ manifests }, mediaTypes.index, ...tags);
  }

  answer({ target, method }: Asked): Response {
    const name = decodeURIComponent(target.split("/").at(-1) ?? "");
    if (method === "PUT" || method === "POST") return new Response(undefined, { status: 201 });
    if (target.includes("/blobs/")) {
      const bytes = this.blobs.get(name);
      return bytes === undefined ? refuse(404, "BLOB_UNKNOWN", "no") : new Response(new Uint8Array(bytes));
    }
    const found = this.documents.get(name);
    if (found === undefined) return refuse(404, "MANIFEST_UNKNOWN", "manifest unknown");
    return new Response(found.text, { headers: { "Content-Type": found.type } });
  }
}

const repositoryAt = (server: TestServer, path = "a/b") =>
  registriesFor().repository({ domain: server.host, path });

const onShelf = (shelf: Shelf) => serve((asked) => shelf.answer(asked));

async function imagesOf(server: TestServer, name: string, platform = amd64): Promise<Image[]> {
  const reference = parseReference(`${server.host}/a/b${name}`);
  const source = registrySource(repositoryAt(server), reference, { platform });
  return (await Array.fromAsync(source.images())).map(({ image }) => image);
}

describe("a name", () => {
  test("leads to the manifest that fits the platform, with its variants' order", async () => {
    const shelf = new Shelf();
    const [plain, v7, v6, arm64] = [1, 2, 3, 4].map((seed) => shelf.image(seed));
    const index = shelf.index(
      [
        { ...v6, platform: { os: "linux", architecture: "arm", variant: "v6" } },
        { ...v7, platform: { os: "linux", architecture: "arm", variant: "v7" } },
        { ...arm64, platform: { os: "linux", architecture: "arm64", variant: "v8" } },
        { ...plain, platform: amd64 },
        { ...plain, platform: { os: "unknown", architecture: "unknown" } },
      ],
      "many",
    );
    await using registry = onShelf(shelf);
    const repository = repositoryAt(registry);
    const chosen = async (architecture: string, variant?: string) => {
      const wanted = { os: "linux", architecture, ...(variant === undefined ? {} : { variant }) };
      return (await resolveImage(repository, "many", () => wanted)).manifest.digest;
    };
    expect<unknown>(await chosen("amd64")).toBe(plain?.digest);
    expect<unknown>(await chosen("arm64")).toBe(arm64?.digest);
    expect<unknown>(await chosen("arm", "v7")).toBe(v7?.digest);
    expect<unknown>(await chosen("arm", "v6")).toBe(v6?.digest);
    const resolved = await resolveImage(repository, "many", () => amd64);
    expect(resolved.descriptor).toEqual(index);
    expect(resolved.index?.digest).toBe(index.digest);
    expect(resolved.platform).toEqual(amd64);
    const failure = await failureOf(
      resolveImage(repository, "many", () => ({ os: "linux", architecture: "s390x" })),
    );
    expect(failure).toBeInstanceOf(NotFound);
    expect(failure.message).toBe("no matching manifest for linux/s390x in the manifest list entries");
  });

  test("may lead through an index in an index, but not through many, nor in a circle", async () => {
    const shelf = new Shelf();
    const image = shelf.image(1);
    let inner: object = { ...image, platform: amd64 };
    for (const depth of [1, 2, 3, 4, 5]) inner = shelf.index([inner], `depth${depth}`);
    await using registry = onShelf(shelf);
    const repository = repositoryAt(registry);
    for (const tag of ["depth1", "depth4"]) {
      expect((await resolveImage(repository, tag, () => amd64)).manifest.digest).toBe(image.digest);
    }
    expect((await failureOf(resolveImage(repository, "depth5", () => amd64))).message).toContain(
      "nested too deeply",
    );

    // A digest that names itself cannot be made, so the registry lies; that it lies is found.
    const circle = { mediaType: mediaTypes.index, digest: digestOf("circle"), size: 100, platform: amd64 };
    await using liar = serve(() =>
      json({ schemaVersion: 2, manifests: [circle] }, { type: mediaTypes.index }),
    );
    expect((await failureOf(resolveImage(repositoryAt(liar), "x", () => amd64))).message).toContain(
      "manifest verification failed",
    );
  });

  test("whose index has too many entries, or lies about sizes, is refused", async () => {
    const shelf = new Shelf();
    const image = shelf.image(1);
    shelf.index(
      Array.from({ length: 10_001 }, () => ({ ...image, platform: amd64 })),
      "crowd",
    );
    shelf.index([{ ...image, size: image.size + 1, platform: amd64 }], "liar");
    shelf.index([{ ...image, size: -1, platform: amd64 }], "negative");
    shelf.index([], "empty");
    await using registry = onShelf(shelf);
    const repository = repositoryAt(registry);
    const failure = async (tag: string) =>
      (await failureOf(resolveImage(repository, tag, () => amd64))).message;
    expect(await failure("crowd")).toContain("has more than 10000 items");
    expect(await failure("liar")).toContain(`its index says ${image.size + 1}`);
    expect(await failure("negative")).toContain("is not a size");
    expect(await failure("empty")).toContain("no matching manifest");
  });

  test("of an old or foreign kind is refused in words", async () => {
    await using old = serve(() =>
      json(
        { schemaVersion: 1, fsLayers: [] },
        { type: "application/vnd.docker.distribution.manifest.v1+prettyjws" },
      ),
    );
    expect((await failureOf(resolveImage(repositoryAt(old), "x", () => amd64))).message).toContain(
      "manifest schema version 1",
    );
    await using foreign = serve(() => json({ schemaVersion: 2 }, { type: "application/vnd.example+json" }));
    expect((await failureOf(resolveImage(repositoryAt(foreign), "x", () => amd64))).message).toBe(
      "unsupported manifest format: application/vnd.example+json",
    );
    await using garbage = serve(() => new Response("<html>"));
    expect((await failureOf(resolveImage(repositoryAt(garbage), "x", () => amd64))).message).toContain(
      "is not valid JSON",
    );
  });
});

describe("a registry as a source", () => {
  test("gives the image with its layers as streams, and fetches none before it is opened", async () => {
    const shelf = new Shelf();
    shelf.image(5, "latest");
    await using registry = onShelf(shelf);
    const [image] = await imagesOf(registry, "");
    expect(image?.config.value.config.Labels).toEqual({ seed: "5" });
    expect(registry.lines()).toHaveLength(2);
    const opened = image?.layers[0]?.open();
    if (opened === undefined || !(Symbol.asyncIterator in opened)) throw new Error("not a stream");
    expect<unknown>(digestOf(await collect(opened))).toBe(image?.layers[0]?.diffId);
  });

  test("is of one piece even when the tag moves between two requests", async () => {
    const shelves = [new Shelf(), new Shelf()];
    for (const [at, shelf] of shelves.entries()) shelf.image(10 + at, "latest");
    let requests = 0;
    await using registry = serve((asked) => {
      requests += asked.target.endsWith("/latest") ? 1 : 0;
      const moving = shelves[requests % 2]?.answer(asked);
      const answers = shelves.map((shelf) => shelf.answer(asked));
      const byTag = asked.target.endsWith("/latest") ? moving : answers.find(({ status }) => status === 200);
      return byTag ?? new Response(undefined, { status: 404 });
    });
    for (const _ of [1, 2, 3]) {
      const [image] = await imagesOf(registry, ":latest");
      const manifest = await image?.manifest();
      expect(manifest?.value.config.digest).toBe(image?.config.digest);
    }
    expect(requests).toBe(3);
  });

  test("refuses configs and layers that are no image's", async () => {
    const shelf = new Shelf();
    const layer = shelf.blob(sampleBytes(10));
    const text = JSON.stringify({
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: [layer.digest] },
    });
    const config = { ...shelf.blob(Buffer.from(text)), mediaType: mediaTypes.config };
    const put = (tag: string, value: object) => shelf.document(value, mediaTypes.manifest, tag);
    put("plugin", {
      config: { ...config, mediaType: "application/vnd.docker.plugin.v1+json" },
      layers: [layer],
    });
    put("chart", {
      config: { ...config, mediaType: "application/vnd.cncf.helm.config.v1+json" },
      layers: [layer],
    });
    for (const kind of ["image.rootfs.foreign.diff.tar.gzip"]) {
      const mediaType = `application/vnd.docker.${kind}`;
      put("foreign", { config, layers: [{ ...layer, mediaType, urls: ["http://127.0.0.1/x"] }] });
    }
    const nondistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    put("far", { config, layers: [{ ...layer, mediaType: nondistributable }] });
    put("strange", { config, layers: [{ ...layer, mediaType: "text/html" }] });
    put("two", { config, layers: [layer, layer] });
    put("missing", { config: { ...config, digest: digestOf("x") }, layers: [layer] });
    put("size", { config: { ...config, size: 7 }, layers: [layer] });
    put("layers", { config, layers: Array.from({ length: 10_000 }, () => layer) });
    await using registry = onShelf(shelf);
    const failure = async (tag: string) => (await failureOf(imagesOf(registry, `:${tag}`))).message;
    expect(await failure("plugin")).toBe(
      'Encountered remote "application/vnd.docker.plugin.v1+json"(plugin) when fetching',
    );
    expect(await failure("chart")).toContain("the manifest is not of an image");
    expect(await failure("foreign")).toContain("is a foreign layer");
    expect(await failure("far")).toContain("is a foreign layer");
    expect(await failure("strange")).toContain("unsupported layer media type: text/html");
    expect(await failure("two")).toContain("layers length mismatch");
    expect(await failure("missing")).toContain("blob unknown");
    expect(await failure("size")).toContain("its descriptor says 7");
    expect(await failure("layers")).toContain("items");
  });
});

describe("a registry as a sink", () => {
  const named = (image: Image, name: string) => ({ image, names: [parseReference(name)], parent: undefined });

  test("gets layers, config and last the manifest, and tells what became of each layer", async () => {
    const shelf = new Shelf();
    const manifest = shelf.image(1, "latest");
    await using from = onShelf(shelf);
    const [image] = await imagesOf(from, "");
    if (image === undefined) throw new Error("no image");
    await using to = serve((asked) => {
      if (asked.method === "HEAD") return new Response(undefined, { status: 404 });
      if (asked.method === "POST")
        return new Response(undefined, { status: 202, headers: { Location: "/v2/up" } });
      return new Response(undefined, { status: 201 });
    });
    const outcomes: LayerOutcome[] = [];
    const sink = registrySink(repositoryAt(to, "c"), { settled: (outcome) => outcomes.push(outcome) });
    await sink.put(named(image, `${to.host}/c:v1`));
    expect(to.lines().some((line) => line.includes("/manifests/"))).toBe(false);
    expect(await sink.commit()).toEqual([{ descriptor: manifest, tags: ["v1"] }]);
    expect(outcomes.map(({ outcome }) => outcome.kind)).toEqual(["uploaded"]);
    expect(to.lines().at(-1)).toBe("PUT /v2/c/manifests/v1");
    expect(digestOf(Buffer.from(to.asked.at(-1)?.body ?? "", "latin1"))).toBe(manifest.digest);
  });

  test("sends a blob that several layers are only once, and nothing that is there", async () => {
    const shelf = new Shelf();
    shelf.image(1, "latest");
    await using from = onShelf(shelf);
    const [image] = await imagesOf(from, "");
    const [layer] = image?.layers ?? [];
    if (image === undefined || layer === undefined) throw new Error("no image");
    const thrice: Image = { ...image, layers: [layer, layer, layer] };
    await using to = serve(
      (asked) => new Response(undefined, { status: asked.method === "HEAD" ? 200 : 201 }),
    );
    const outcomes: LayerOutcome[] = [];
    const sink = registrySink(repositoryAt(to, "c"), { settled: (outcome) => outcomes.push(outcome) });
    const source = {
      images: async function* () {
        yield named(thrice, `${to.host}/c:v1`);
      },
    };
    await copy(source, sink);
    expect(outcomes.map(({ outcome }) => outcome.kind)).toEqual(["exists", "exists", "exists"]);
    expect(to.lines().map((line) => line.split(" ")[0])).toEqual(["HEAD", "HEAD", "PUT"]);
  });

  test("puts no manifest when a layer failed, and stops the other layers", async () => {
    const shelf = new Shelf();
    shelf.image(1, "latest");
    await using from = onShelf(shelf);
    const [image] = await imagesOf(from, "");
    if (image === undefined) throw new Error("no image");
    await using to = serve((asked) =>
      asked.method === "HEAD" ? new Response(undefined, { status: 404 }) : refuse(403, "DENIED", "read only"),
    );
    const sink = registrySink(repositoryAt(to, "c"));
    const failure = await failureOf(sink.put(named(image, `${to.host}/c:v1`)));
    expect(failure.message).toBe("denied: read only");
    expect(failure).not.toBeInstanceOf(InvalidParameter);
    expect(await sink.commit()).toEqual([]);
    expect(to.lines().some((line) => line.includes("/manifests/"))).toBe(false);
  });
});
