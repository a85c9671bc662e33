/** `copyImage` from any place to any other, with skopeo, Docker and Debian's registry as the other side. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRemoteEngine } from "../../src/api/client/index.ts";
import { type CopyRequest, type CopyResult, copyImage } from "../../src/engine/transports/copy.ts";
import { inspectImage } from "../../src/images/inspect.ts";
import { listImages } from "../../src/images/list.ts";
import { parsePlatform } from "../../src/images/platform.ts";
import { removeImage } from "../../src/images/remove.ts";
import { allPlatformsOf, imageFor } from "../../src/images/variants.ts";
import { openRegistries } from "../../src/registry/client/index.ts";
import {
  type DockerRegistry,
  missingForDockerRegistry,
  startDockerRegistry,
} from "../harness/docker-registry.ts";
import { type Dockerd, missingForDockerd, startDockerd } from "../harness/dockerd.ts";
import { amd64, arm64, Blobs, type Entry, s390x, tagged } from "./layouts.ts";
import { expectEmpty, sha256, type TestStore, testStore } from "./support.ts";

let root = "";
let registry: DockerRegistry;
let dockerd: Dockerd | undefined;
const missingSkopeo = Bun.which("skopeo") === null ? "not installed: skopeo (Debian: skopeo)" : undefined;
const missing = missingSkopeo ?? missingForDockerRegistry();
if (missing !== undefined) console.warn(`SKIPPED: images between places: ${missing}`);
const missingDocker = missingForDockerd();
if (missingDocker !== undefined) console.warn(`SKIPPED: images to and from docker-daemon: ${missingDocker}`);

/** amd64, arm64 and s390x with an attestation, in an OCI index; the same in Docker's words. */
const blobs = new Blobs();
const manifests = [amd64, arm64, s390x].map((platform) => blobs.image(platform));
const index = blobs.index([...manifests, ...manifests.slice(0, 1).map((entry) => blobs.attestation(entry))]);
const dockerManifests = [amd64, arm64].map((platform) => blobs.image(platform, "docker"));
const dockerIndex = blobs.index(dockerManifests, "docker");
const single = blobs.image(amd64, "oci", "alone");
const ownArch = process.arch === "x64" ? amd64.architecture : process.arch;
const [, ofArm64 = single] = manifests;
const own = manifests.find(({ platform }) => platform?.architecture === ownArch) ?? single;

let files = 0;
const fresh = (name: string) => join(root, `${++files}-${name}`);

async function copying(
  store: TestStore,
  from: string,
  to: string,
  options: Partial<CopyRequest> = {},
): Promise<CopyResult> {
  const registries = openRegistries(
    { mirrors: [], insecure: [], certificateDirectories: [], proxies: {} },
    { userAgent: "davit-test" },
  );
  try {
    return await copyImage(
      { from, to, ...options },
      {
        registries,
        credentials: async () => undefined,
        local: { stores: store },
        openDaemon: async () => {
          if (dockerd === undefined) throw new Error("no dockerd");
          return await openRemoteEngine(dockerd.host);
        },
        scratch: join(root, "scratch"),
      },
    );
  } finally {
    registries.close();
  }
}

async function run(...command: string[]): Promise<string> {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [out, fault] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${fault}`);
  return out;
}

const skopeo = (...command: string[]) => run("skopeo", "--insecure-policy", ...command);
const plainHttp = ["--src-tls-verify=false", "--dest-tls-verify=false"];

/** A registry seen through a proxy that counts the requests with a blob's bytes, since it was last asked. */
function watchUploads(host: string) {
  let count = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { pathname, search } = new URL(request.url);
      const body = await request.bytes();
      if (pathname.includes("/blobs/uploads/") && body.length > 0) count += 1;
      return await fetch(`http://${host}${pathname}${search}`, {
        method: request.method,
        // Host stays: the registry builds the addresses of uploads from it.
        headers: request.headers,
        redirect: "manual",
        ...(body.length === 0 ? {} : { body }),
      });
    },
  });
  return {
    host: `127.0.0.1:${server.port}`,
    uploads: () => {
      const since = count;
      count = 0;
      return since;
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** What skopeo sees at a place: the digest of the raw manifest or index. */
async function digestAt(place: string): Promise<string> {
  const tls = place.startsWith("docker://") ? ["--tls-verify=false"] : [];
  return `sha256:${sha256(await skopeo("inspect", "--raw", ...tls, place))}`;
}

let layout = "";
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "davit-test-transports-"));
  layout = join(root, "layout");
  blobs.write(layout, [
    tagged(index, "multi"),
    tagged(dockerIndex, "docker-multi"),
    tagged(single, "single"),
  ]);
  if (missing === undefined) registry = await startDockerRegistry();
  if (missing === undefined && missingDocker === undefined) dockerd = await startDockerd();
}, 120_000);
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await dockerd?.[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

describe.skipIf(missing !== undefined)("places that keep digests", () => {
  const targets: [string, (name: string) => string][] = [
    ["a registry", (name) => `docker://${registry.host}/${name}:v1`],
    ["an OCI layout", (name) => `oci:${fresh(name)}:v1`],
    ["an OCI archive", (name) => `oci-archive:${fresh(name)}.tar:v1`],
    ["skopeo's directory form", (name) => `dir:${fresh(name)}`],
  ];
  for (const [what, target] of targets) {
    test(`${what} gets an image and gives it back as it was`, async () => {
      await using store = testStore();
      const place = target("single");
      expect((await copying(store, `oci:${layout}:single`, place)).digest).toBe(single.digest);
      expect(await digestAt(place)).toBe(single.digest);
      const back = fresh("back");
      expect((await copying(store, place, `oci:${back}:x`)).digest).toBe(single.digest);
      expect(await digestAt(`oci:${back}:x`)).toBe(single.digest);
    });

    test(`${what} gets a whole index, to the byte, with what is no image`, async () => {
      await using store = testStore();
      const place = target("multi");
      expect((await copying(store, `oci:${layout}:multi`, place, { all: true })).digest).toBe(index.digest);
      expect(await digestAt(place)).toBe(index.digest);
      // skopeo reads all of it: every manifest, config and layer.
      const copy = fresh("by-skopeo");
      await skopeo("copy", "--all", ...plainHttp, place, `oci:${copy}:x`);
      expect(await digestAt(`oci:${copy}:x`)).toBe(index.digest);
      // And davit what skopeo wrote.
      const again = target("again");
      expect((await copying(store, `oci:${copy}:x`, again, { all: true })).digest).toBe(index.digest);
      expect(await digestAt(again)).toBe(index.digest);
    });

    test(`of an index ${what} gets the platform that is asked for, or this machine's`, async () => {
      await using store = testStore();
      const arm = await copying(store, `oci:${layout}:multi`, target("arm"), { platform: "linux/arm64" });
      expect(arm.digest).toBe(ofArm64.digest);
      const host = await copying(store, `oci:${layout}:multi`, target("host"));
      expect(host.digest).toBe(own.digest);
      await expect(
        copying(store, `oci:${layout}:multi`, target("none"), { platform: "linux/riscv64" }),
      ).rejects.toThrow("no matching manifest for linux/riscv64 in the manifest list entries");
    });
  }

  test("what skopeo puts into a registry and into archives, davit reads", async () => {
    await using store = testStore();
    const name = `docker://${registry.host}/by-skopeo:1`;
    await skopeo("copy", "--all", ...plainHttp, `oci:${layout}:multi`, name);
    expect((await copying(store, name, `oci:${fresh("a")}:x`, { all: true })).digest).toBe(index.digest);
    const archive = fresh("skopeo.tar");
    await skopeo("copy", `oci:${layout}:single`, `docker-archive:${archive}:some/name:1`);
    const seen = await copying(store, `docker-archive:${archive}`, `oci:${fresh("b")}:x`);
    const config = JSON.parse(await skopeo("inspect", "--config", `docker-archive:${archive}`));
    expect(config.config.Labels).toEqual({ platform: "amd64" });
    expect(seen.digest).toMatch(/^sha256:/);
  });

  test("skopeo and Docker's format read davit's docker-archive", async () => {
    await using store = testStore();
    const archive = fresh("docker.tar");
    await copying(store, `oci:${layout}:single`, `docker-archive:${archive}:some/name:1`);
    const config = JSON.parse(await skopeo("inspect", "--config", `docker-archive:${archive}:some/name:1`));
    expect(config.config.Labels).toEqual({ platform: "amd64" });
    await skopeo("copy", `docker-archive:${archive}:some/name:1`, `oci:${fresh("from-docker")}:x`);
    // The manifest is in it too, so davit gets the very image back.
    const back = await copying(store, `docker-archive:${archive}:some/name:1`, `oci:${fresh("back")}:x`);
    expect(back.digest).toBe(single.digest);
    await expect(copying(store, `oci:${layout}:single`, `docker-archive:${archive}:b:1`)).rejects.toThrow(
      "docker-archive doesn't support modifying existing images",
    );
    await expect(
      copying(store, `docker-archive:${archive}:other:1`, `oci:${fresh("none")}:x`),
    ).rejects.toThrow(`tag "other:1" not found in ${archive}`);
  });

  test("Docker's manifests stay Docker's in a registry and become OCI's in a layout, as with skopeo", async () => {
    await using store = testStore();
    const name = `docker://${registry.host}/docker-multi:1`;
    expect((await copying(store, `oci:${layout}:docker-multi`, name, { all: true })).digest).toBe(
      dockerIndex.digest,
    );
    expect(await digestAt(name)).toBe(dockerIndex.digest);
    const converted = fresh("converted");
    const result = await copying(store, name, `oci:${converted}:x`, { all: true });
    expect(result.mediaType).toBe("application/vnd.oci.image.index.v1+json");
    const raw = JSON.parse(await skopeo("inspect", "--raw", `oci:${converted}:x`));
    expect(raw.manifests.map(({ mediaType }: Entry) => mediaType)).toEqual([
      "application/vnd.oci.image.manifest.v1+json",
      "application/vnd.oci.image.manifest.v1+json",
    ]);
    expect(raw.manifests.map(({ platform }: Entry) => platform)).toEqual([amd64, arm64]);
    // The same image: skopeo copies it and finds the same config.
    const config = JSON.parse(await skopeo("inspect", "--config", `oci:${converted}:x`));
    expect(config.rootfs.type).toBe("layers");
    await skopeo("copy", "--all", `oci:${converted}:x`, `oci:${fresh("checked")}:x`);
    await expect(
      copying(store, name, `oci:${fresh("kept")}:x`, { all: true, preserveDigests: true }),
    ).rejects.toThrow("has to be converted to oci");
    // And back again, by wish.
    const docker = await copying(store, `oci:${converted}:x`, `docker://${registry.host}/back:1`, {
      all: true,
      format: "docker",
    });
    expect(docker.mediaType).toBe("application/vnd.docker.distribution.manifest.list.v2+json");
    await skopeo("copy", "--all", ...plainHttp, `docker://${registry.host}/back:1`, `dir:${fresh("dir")}`);
  });

  test("what the target has, or another repository of its registry, is not sent", async () => {
    await using store = testStore();
    await using watched = watchUploads(registry.host);
    const from = `docker://${watched.host}/mount/a:1`;
    await copying(store, `oci:${layout}:multi`, from, { all: true });
    expect(watched.uploads()).toBeGreaterThan(0);
    const to = `docker://${watched.host}/mount/b:1`;
    expect((await copying(store, from, to, { all: true })).digest).toBe(index.digest);
    expect((await copying(store, `oci:${layout}:multi`, to, { all: true })).digest).toBe(index.digest);
    expect(watched.uploads()).toBe(0);
    expect(await digestAt(to)).toBe(index.digest);
  });

  test("a target named by digest takes that digest only", async () => {
    await using store = testStore();
    const from = `docker://${registry.host}/mount/source:1`;
    await copying(store, `oci:${layout}:multi`, from, { all: true });
    const byDigest = `docker://${registry.host}/mount/c@${single.digest}`;
    await copying(store, `oci:${layout}:single`, byDigest);
    expect(await digestAt(byDigest)).toBe(single.digest);
    await expect(copying(store, from, byDigest)).rejects.toThrow("as the target's name says");
  });
});

describe.skipIf(missing !== undefined)("the local store", () => {
  test("takes all platforms of an index under one name and gives the index back to the byte", async () => {
    await using store = testStore();
    const result = await copying(store, `oci:${layout}:multi`, "multi:1", { all: true });
    expect(result.digest).toBe(index.digest);
    expect(allPlatformsOf(store, "multi:1").map(({ platform }) => platform.architecture)).toEqual([
      "amd64",
      "arm64",
      "s390x",
    ]);
    expect((await inspectImage(store, "multi:1")).Architecture).toBe(ownArch);
    expect((await inspectImage(store, "multi:1", { platform: "linux/arm64" })).Architecture).toBe("arm64");
    expect(imageFor(store, "multi:1", parsePlatform("s390x")).platform).toEqual(s390x);
    const rows = await listImages(store, { manifests: true });
    expect(rows.map(({ RepoTags }) => RepoTags)).toEqual([["multi:1"]]);
    expect(rows[0]?.Descriptor?.digest).toBe(index.digest);
    expect(rows[0]?.Manifests?.map(({ Kind, Available }) => [Kind, Available])).toEqual([
      ["image", true],
      ["image", true],
      ["image", true],
      ["attestation", true],
    ]);
    // With what is attested: a registry takes an index only when all that it lists is there.
    const name = `docker://${registry.host}/whole:1`;
    expect((await copying(store, "multi:1", name, { all: true })).digest).toBe(index.digest);
    const out = fresh("out");
    expect((await copying(store, "davit:multi:1", `oci:${out}:x`, { all: true })).digest).toBe(index.digest);
    expect(await digestAt(`oci:${out}:x`)).toBe(index.digest);
    await removeImage(store, "multi:1");
    await expectEmpty(store);
  });

  test("takes one platform, and gives it to any place", async () => {
    await using store = testStore();
    await copying(store, `oci:${layout}:multi`, "one:1", { platform: "linux/arm64" });
    expect((await inspectImage(store, "one:1")).Architecture).toBe("arm64");
    for (const place of [`docker://${registry.host}/one:1`, `oci:${fresh("one")}:x`]) {
      await copying(store, "one:1", place, { platform: "linux/arm64" });
      expect(await digestAt(place)).toBe(ofArm64.digest);
    }
    // Nobody asked for a platform, and there is but one.
    expect((await copying(store, "one:1", `oci:${fresh("only")}:x`)).digest).toBe(ofArm64.digest);
    await expect(
      copying(store, "one:1", `oci:${fresh("two")}:x`, { platform: "linux/s390x" }),
    ).rejects.toThrow("does not match the specified platform (linux/s390x)");
  });
});

describe.skipIf(missing !== undefined || missingDocker !== undefined)("docker-daemon", () => {
  test("gets an image and gives it back", async () => {
    await using store = testStore();
    await copying(store, `oci:${layout}:single`, "docker-daemon:from-davit:1");
    const id = (
      await run("docker", "-H", dockerd?.host ?? "", "image", "inspect", "-f", "{{.Id}}", "from-davit:1")
    ).trim();
    // Docker takes the one platform that its half of the archive names.
    await copying(store, `oci:${layout}:multi`, "docker-daemon:multi:1", { all: true });
    await copying(store, "docker-daemon:multi:1", "davit:multi:1");
    expect((await inspectImage(store, "multi:1")).Architecture).toBe(ownArch);
    await copying(store, "docker-daemon:from-davit:1", "davit:from-docker:1");
    expect((await inspectImage(store, "from-docker:1")).Id).toBe(id);
    await copying(store, "from-docker:1", `docker://${registry.host}/from-docker:1`);
    expect(
      JSON.parse(
        await skopeo("inspect", "--tls-verify=false", "--config", `docker://${registry.host}/from-docker:1`),
      ).config.Labels,
    ).toEqual({
      platform: "amd64",
    });
  });
});

describe("a layout", () => {
  test("keeps the entries of several writers, and a tag leads to what was written last", async () => {
    await using store = testStore();
    const target = fresh("shared");
    await Promise.all(
      Array.from({ length: 8 }, (_, at) => copying(store, `oci:${layout}:single`, `oci:${target}:t${at}`)),
    );
    const read = () => JSON.parse(readFileSync(join(target, "index.json"), "utf8"));
    const tags = read().manifests.map(
      (entry: Entry) => entry.annotations?.["org.opencontainers.image.ref.name"],
    );
    expect(tags.sort()).toEqual(Array.from({ length: 8 }, (_, at) => `t${at}`));
    await copying(store, `oci:${layout}:multi`, `oci:${target}:t3`, { platform: "linux/s390x" });
    const entry = read().manifests.find(
      ({ annotations }: Entry) => annotations?.["org.opencontainers.image.ref.name"] === "t3",
    );
    expect(entry.digest).toBe(manifests[2]?.digest);
    expect(readdirSync(target).sort()).toEqual(["blobs", "index.json", "oci-layout"]);
  });

  test("is rid of what a killed writer left with the next copy into it", async () => {
    await using store = testStore();
    const target = fresh("killed");
    await copying(store, `oci:${layout}:single`, `oci:${target}:a`);
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    // No process has this start time: the pid is another's by now.
    mkdirSync(join(target, `.davit-${bootId}.1.999999999.0`));
    mkdirSync(join(target, ".davit-another-machine.1.5.0"));
    await copying(store, `oci:${layout}:single`, `oci:${target}:b`);
    expect(readdirSync(target).sort()).toEqual([
      ".davit-another-machine.1.5.0",
      "blobs",
      "index.json",
      "oci-layout",
    ]);
  });

  test("shows nothing of a copy that failed", async () => {
    await using store = testStore();
    const broken = fresh("broken");
    const bad = new Blobs();
    const image = bad.image(amd64);
    bad.write(broken, [tagged(image, "x")]);
    const manifest = JSON.parse(Buffer.from(bad.all.get(image.digest) ?? []).toString());
    const layer = join(broken, "blobs/sha256", manifest.layers[1].digest.slice(7));
    writeFileSync(layer, Buffer.from(readFileSync(layer)).fill(7, 20));
    const target = fresh("target");
    for (const place of [
      `oci:${target}:x`,
      `oci-archive:${target}.tar`,
      `docker-archive:${target}-docker.tar`,
      "broken:1",
    ]) {
      await expect(copying(store, `oci:${broken}:x`, place)).rejects.toThrow();
    }
    expect(readdirSync(join(target, "blobs/sha256"))).toEqual([]);
    expect(existsSync(join(target, "index.json"))).toBe(false);
    expect(readdirSync(root).filter((name) => name.includes("target"))).toEqual([
      target.slice(root.length + 1),
    ]);
    await expectEmpty(store);
  });

  test("that leads out of itself, waits for ever, or lies about sizes is refused", async () => {
    await using store = testStore();
    const secret = fresh("secret");
    writeFileSync(secret, "secret");
    const hostile = fresh("hostile");
    const bad = new Blobs();
    const image = bad.image(amd64);
    bad.write(hostile, [tagged(image, "x")]);
    const path = join(hostile, "blobs/sha256", image.digest.slice(7));
    rmSync(path);
    await run("ln", "-s", `/proc/self/root${secret}`, path);
    await expect(copying(store, `oci:${hostile}:x`, `oci:${fresh("t")}:x`)).rejects.toThrow(
      /not found|no such file/,
    );
    rmSync(path);
    await run("mkfifo", path);
    await expect(copying(store, `oci:${hostile}:x`, `oci:${fresh("t")}:x`)).rejects.toThrow(
      "no regular file",
    );
    rmSync(path);
    writeFileSync(path, Buffer.concat([bad.all.get(image.digest) ?? Buffer.of(), Buffer.from(" ")]));
    await expect(copying(store, `oci:${hostile}:x`, `oci:${fresh("t")}:x`)).rejects.toThrow(
      "its descriptor says",
    );
  });

  test("with an index inside itself, or too deep, is refused", async () => {
    await using store = testStore();
    const deep = new Blobs();
    let entry = deep.index([deep.image(amd64)]);
    for (let level = 0; level < 5; level += 1) entry = deep.index([entry]);
    const target = fresh("deep");
    deep.write(target, [tagged(entry, "x")]);
    await expect(copying(store, `oci:${target}:x`, `oci:${fresh("t")}:x`)).rejects.toThrow(
      "nested too deeply",
    );
  });
});

test.each([
  ["docker:busybox", "does not start with //"],
  ["sif:/tmp/x", 'transport "sif" is not supported'],
  ["oci:", "a name or path is missing"],
  ["docker-archive:f:@x", "invalid source index"],
  ["docker://BAD", "must be lowercase"],
])("%s is no place", async (place, message) => {
  await using store = testStore();
  await expect(copying(store, place, "x:1")).rejects.toThrow(message);
});

describe("skopeo's directory form", () => {
  test("is replaced as a whole, and only where there is one already", async () => {
    await using store = testStore();
    const target = fresh("replaced");
    await copying(store, `oci:${layout}:multi`, `dir:${target}`, { all: true });
    expect(readFileSync(join(target, "version"), "latin1")).toBe("Directory Transport Version: 1.1\n");
    await copying(store, `oci:${layout}:single`, `dir:${target}`);
    const { config, layers }: { config: Entry; layers: Entry[] } = JSON.parse(
      readFileSync(join(target, "manifest.json"), "utf8"),
    );
    const names = [config, ...layers].map(({ digest }) => digest.slice(7));
    expect(readdirSync(target).sort()).toEqual(["manifest.json", "version", ...names].sort());

    const precious = fresh("precious");
    mkdirSync(precious);
    writeFileSync(join(precious, "thesis.txt"), "three years of work");
    await expect(copying(store, `oci:${layout}:single`, `dir:${precious}`)).rejects.toThrow(
      "not a containers image directory, don't want to overwrite important data",
    );
    expect(readdirSync(precious)).toEqual(["thesis.txt"]);
  });

  test("that is not what it says, or leads out of itself, is refused", async () => {
    await using store = testStore();
    const whole = fresh("whole");
    await copying(store, `oci:${layout}:single`, `dir:${whole}`);
    const { layers }: { layers: Entry[] } = JSON.parse(readFileSync(join(whole, "manifest.json"), "utf8"));
    const layer = layers[0]?.digest.slice(7) ?? "";
    for (const [spoil, words] of [
      [(at: string) => writeFileSync(join(at, layer), "short"), /has 5 bytes|has the content of/],
      [(at: string) => writeFileSync(join(at, "manifest.json"), "{}"), /./],
      [(at: string) => writeFileSync(join(at, "version"), "Directory Transport Version: 2.0\n"), /version/],
      [
        (at: string) => {
          rmSync(join(at, layer));
          symlinkSync(join(whole, layer), join(at, layer));
        },
        /./,
      ],
      [(at: string) => rmSync(join(at, layer)), /not found/],
    ] as const) {
      const spoilt = fresh("spoilt");
      cpSync(whole, spoilt, { recursive: true });
      spoil(spoilt);
      const target = fresh("from-spoilt");
      await expect(copying(store, `dir:${spoilt}`, `oci:${target}:x`)).rejects.toThrow(words);
      expect(existsSync(join(target, "index.json"))).toBe(false);
    }
  });
});
