/** `--output` with the form that an image is to have: compression, media types, a directory instead of an archive. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openRegistryServer, type RegistryServer } from "../../src/registry/server/index.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

setDefaultTimeout(60_000);

let workshop: Workshop;
let registry: RegistryServer;
let context: string;
beforeAll(async () => {
  workshop = await openWorkshop();
  registry = await openRegistryServer({
    root: join(workshop.davit.directory, "registry"),
    listen: { hostname: "127.0.0.1", port: 0 },
  });
  // More than the members that gzip is made of, and not all zeros.
  const big = "RUN dd if=/dev/urandom bs=1M count=3 of=/random && dd if=/dev/zero bs=1M count=12 of=/zeros";
  context = workshop.context({ Dockerfile: `FROM davit-busybox\n${big}\nCOPY f /\n`, f: "1" });
  await workshop.davit.output(["build", context]);
});
afterAll(async () => {
  await registry?.close(0);
  await workshop[Symbol.asyncDispose]();
});

interface Manifest {
  mediaType: string;
  config: { mediaType: string };
  layers: { mediaType: string; digest: string; size: number }[];
}

const directory = () => mkdtempSync(join(workshop.davit.directory, "out-"));
const built = (...flags: string[]) => workshop.davit.output(["build", "-q", ...flags, context]);

function unpacked(archive: string): string {
  const into = directory();
  Bun.spawnSync(["tar", "-xf", archive, "-C", into]);
  return into;
}

function blob(layout: string, digest: string): Buffer {
  return readFileSync(join(layout, "blobs", "sha256", digest.slice("sha256:".length)));
}

function manifestIn(layout: string): Manifest {
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  return JSON.parse(blob(layout, index.manifests[0].digest).toString());
}

/** Short names of the layers' media types. */
function types({ layers }: Manifest): string[] {
  return layers.map(({ mediaType }) => mediaType.replace(/^application\/vnd\.(oci|docker)\.image\./, ""));
}

async function archived(...words: string[]): Promise<string> {
  const file = join(directory(), "image.tar");
  await built("-o", [`type=oci,dest=${file}`, ...words].join(","));
  return unpacked(file);
}

/** Digests of what a layout's layers decompress to. */
function diffIds(layout: string): string[] {
  return manifestIn(layout).layers.map(({ digest, mediaType }) => {
    const bytes = new Uint8Array(blob(layout, digest));
    const plain = mediaType.endsWith("zstd")
      ? Bun.spawnSync(["zstd", "-dc"], { stdin: bytes, maxBuffer: 64 << 20 }).stdout
      : mediaType.endsWith("gzip")
        ? Bun.spawnSync(["gzip", "-dc"], { stdin: bytes, maxBuffer: 64 << 20 }).stdout
        : bytes;
    return `sha256:${new Bun.CryptoHasher("sha256").update(plain).digest("hex")}`;
  });
}

function configIn(layout: string): { rootfs: { diff_ids: string[] } } {
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const manifest = JSON.parse(blob(layout, index.manifests[0].digest).toString());
  return JSON.parse(blob(layout, manifest.config.digest).toString());
}

describe("an archive", () => {
  test("holds gzip by default, and what was asked for else", async () => {
    const [gzip, zstd, plain] = await Promise.all([
      archived(),
      archived("compression=zstd"),
      archived("compression=uncompressed"),
    ]);
    // The base came uncompressed out of its archive.
    expect(types(manifestIn(gzip))).toEqual(Array(3).fill("layer.v1.tar+gzip"));
    expect(types(manifestIn(zstd))).toEqual(Array(3).fill("layer.v1.tar+zstd"));
    expect(types(manifestIn(plain))).toEqual(Array(3).fill("layer.v1.tar"));
    for (const layout of [gzip, zstd, plain]) {
      expect(diffIds(layout)).toEqual(configIn(layout).rootfs.diff_ids);
    }
  });

  test("is smaller at a higher level, and the same each time", async () => {
    const size = (layout: string) => manifestIn(layout).layers.reduce((sum, layer) => sum + layer.size, 0);
    const fast = await archived("compression=gzip", "compression-level=1");
    const small = await archived("compression=gzip", "compression-level=9");
    const again = await archived("compression=gzip", "compression-level=9");
    expect(size(small)).toBeLessThan(size(fast));
    expect(manifestIn(again)).toEqual(manifestIn(small));
  });

  test("keeps a base's compression, unless it is forced", async () => {
    const base = `127.0.0.1:${registry.port}/base:1`;
    await workshop.davit.output(["tag", "davit-busybox", base]);
    await workshop.davit.output(["push", "-q", base]);
    await workshop.davit.output(["rmi", base]);
    const child = workshop.context({ Dockerfile: `FROM ${base}\nCOPY f /\n`, f: "1" });
    const layout = async (words: string) => {
      const file = join(directory(), "image.tar");
      const output = `type=oci,dest=${file},compression=zstd${words}`;
      await workshop.davit.output(["build", "--pull", "-q", "-o", output, child]);
      return types(manifestIn(unpacked(file)));
    };
    // The same layer is here uncompressed: that image goes, so that the one that is pulled keeps its own blobs.
    expect(await layout(",force-compression=true")).toEqual(["layer.v1.tar+zstd", "layer.v1.tar+zstd"]);
    expect((await layout("")).at(-1)).toBe("layer.v1.tar+zstd");
  });

  test("has Docker's media types if they are asked for, but not with zstd", async () => {
    const docker = manifestIn(await archived("oci-mediatypes=false"));
    expect(docker.mediaType).toBe("application/vnd.docker.distribution.manifest.v2+json");
    expect(types(docker)).toEqual(Array(3).fill("rootfs.diff.tar.gzip"));
    const zstd = manifestIn(await archived("oci-mediatypes=false", "compression=zstd"));
    expect(zstd.mediaType).toBe("application/vnd.oci.image.manifest.v1+json");
  });

  test("of Docker's kind can be loaded", async () => {
    const file = join(directory(), "image.tar");
    const id = await built("-t", "travelled:1", "-o", `type=docker,dest=${file},compression=zstd`);
    await using other = await openWorkshop();
    await other.davit.output(["load", "-q", "-i", file]);
    expect((await other.engine.images.inspect("travelled:1")).Id).toBe(id);
    expect(await other.run("travelled:1", "cat", "/f")).toBe("1");
  });
});

test("a layout in a directory takes several images", async () => {
  const layout = join(directory(), "layout");
  await built("-t", "one:1", "-o", `type=oci,tar=false,dest=${layout}`);
  await built("-t", "one:2", "-o", `type=oci,tar=false,dest=${layout},compression=zstd`);
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const tags = index.manifests.map(
    ({ annotations }: { annotations: Record<string, string> }) =>
      annotations["org.opencontainers.image.ref.name"],
  );
  expect(tags).toEqual(["1", "2"]);
});

describe("an image", () => {
  test("is kept, and pushed, in the form that it was given", async () => {
    for (const [compression, type] of [
      ["zstd", "layer.v1.tar+zstd"],
      ["uncompressed", "layer.v1.tar"],
      ["gzip", "layer.v1.tar+gzip"],
    ]) {
      const name = `127.0.0.1:${registry.port}/formed:${compression}`;
      const id = await built("-o", `type=image,name=${name},push=true,compression=${compression}`);
      // The base keeps the form that it came in.
      expect(types(await pushed("formed", `${compression}`)).slice(1)).toEqual([`${type}`, `${type}`]);
      expect((await workshop.engine.images.inspect(name)).Id).toBe(id);
      expect(await workshop.run(name, "cat", "/f")).toBe("1");
    }
    expect((await workshop.davit.run(["system", "check"])).stdout).toContain("no damage found");
  });

  test("is only pushed with store=false", async () => {
    const name = `127.0.0.1:${registry.port}/away:1`;
    const fresh = workshop.context({ Dockerfile: "FROM davit-busybox\nRUN echo away > /away\n" });
    const output = `type=registry,name=${name},store=false,compression=zstd`;
    const id = await workshop.davit.output(["build", "-q", "-o", output, fresh]);
    expect(types(await pushed("away", "1")).at(-1)).toBe("layer.v1.tar+zstd");
    expect(await workshop.davit.output(["images", "-q", "--no-trunc"])).not.toContain(id);
  });
});

test("a word that an output does not know is refused, and nothing is written", async () => {
  const into = directory();
  for (const [output, message] of [
    [`type=oci,dest=${into}/a,level=3`, 'unexpected key "level" in "level=3" of a type=oci output'],
    [`type=tar,dest=${into}/b,compression=gzip`, 'unexpected key "compression"'],
    [`type=oci,dest=${into}/c,compression=lz4`, 'unsupported compression type "lz4"'],
    [`type=oci,dest=${into}/d,compression-level=x`, "non-integer value x specified for compression-level"],
    [`type=oci,dest=${into}/e,compression-level=10`, "compression-level 10 is not supported by gzip"],
    [`type=oci,dest=${into}/f,tar=maybe`, "non-bool value maybe specified for tar"],
    ["type=oci,tar=false", "dest is required for oci output with tar=false"],
    ["type=zip", 'output type "zip" is not supported by davit'],
    ["dest=x", "type is required for output"],
  ]) {
    const good = `type=oci,dest=${into}/good`;
    const { code, stderr } = await workshop.davit.run(["build", "-o", good, "-o", `${output}`, context]);
    expect(code).toBe(1);
    expect(stderr).toContain(`ERROR: ${message}`);
  }
  expect(readdirSync(into)).toEqual([]);
});

test("cacheonly builds, and makes nothing of it", async () => {
  const only = workshop.context({ Dockerfile: "FROM davit-busybox\nRUN echo only > /only\n" });
  const before = await workshop.davit.output(["images", "-qa", "--no-trunc"]);
  await workshop.davit.output(["build", "-o", "type=cacheonly", only]);
  expect(await workshop.davit.output(["images", "-qa", "--no-trunc"])).toBe(before);
  const { stderr } = await workshop.davit.run(["build", "--progress=plain", only]);
  expect(stderr).toContain("[2/2] RUN echo only > /only\n");
  expect(stderr).toMatch(/#\d+ \[2\/2\] RUN echo only > \/only\n#\d+ CACHED/);
  expect(existsSync(join(only, "only"))).toBe(false);
});

async function pushed(repository: string, tag: string): Promise<Manifest> {
  const url = `http://127.0.0.1:${registry.port}/v2/${repository}/manifests/${tag}`;
  const accept =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
  const answer = await fetch(url, { headers: { accept } });
  return (await answer.json()) as Manifest;
}

test("a word that a cache does not know is refused", async () => {
  for (const [flag, message] of [
    [
      "--cache-to=type=gha,scope=x",
      "cache type gha is not supported by davit: use registry, local or inline",
    ],
    ["--cache-from=type=disk", "unknown cache type: disk"],
    ["--cache-from=type=inline", "unknown cache type: inline"],
    ["--cache-to=ref=x", 'type required form> "ref=x"'],
    ["--cache-to=type=local", "dest is required for local cache exporter"],
    ["--cache-from=type=local", "src is required for local cache importer"],
    ["--cache-to=type=registry", "ref is required for registry cache exporter"],
    ["--cache-to=x:y,mode=max", "type required form>"],
    ["--cache-to=type=registry,ref=x,mode=all", "invalid cache export mode: all"],
    [
      "--cache-to=type=registry,ref=x,scope=y",
      'unexpected key "scope" in "scope=y" of a type=registry cache',
    ],
    [
      "--cache-to=type=local,dest=x,ignore-error=perhaps",
      "non-bool value perhaps specified for ignore-error",
    ],
  ]) {
    const { code, stderr } = await workshop.davit.run(["build", `${flag}`, context]);
    expect(code).toBe(1);
    expect(stderr).toContain(`ERROR: ${message}`);
  }
});
