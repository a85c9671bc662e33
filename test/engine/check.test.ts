/** `system check --repair` with a real registry: what is damaged is fetched from where the image came from. */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describeInstance } from "../../src/core/instance.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { openLocalEngine } from "../../src/engine/local/index.ts";
import { digestOf, mediaTypes } from "../../src/images/manifest.ts";
import { parseReference } from "../../src/images/references.ts";
import { openRegistries, type Repository } from "../../src/registry/client/index.ts";
import {
  openHtpasswd,
  openRegistryServer,
  type RegistryServerOptions,
} from "../../src/registry/server/index.ts";
import { dockerArchive, fileLayer, streamOf } from "../images/support.ts";

interface World extends AsyncDisposable {
  engine: Engine;
  /** `127.0.0.1:5123` */
  registry: string;
  blob(digest: string): string;
  /** Loads the image again, from an archive. */
  load(): Promise<void>;
  /** Digests by what they are. */
  digests: { manifest: string; config: string; layer: string };
}

const account = { username: "me", password: "secret" };

/** An engine that has an image of a registry, which has it too. */
async function world(options: Partial<RegistryServerOptions> = {}): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-"));
  const server = await openRegistryServer({
    root: join(directory, "registry"),
    listen: { hostname: "127.0.0.1", port: 0 },
    ...options,
  });
  const registry = `127.0.0.1:${server.port}`;
  const instance = describeInstance(join(directory, "data"), join(directory, "exec"));
  const engine = await openLocalEngine({ instance, self: [process.execPath], searchPath: "" });
  const blob = (digest: string) => join(instance.dataRoot, "content/blobs", digest.replace(":", "/"));
  const name = `${registry}/team/app:1`;
  const archive = dockerArchive({
    layers: [fileLayer("f", "f".repeat(10_000))],
    pack: gzipSync,
    tags: [name],
  });
  async function* once(): AsyncGenerator<Uint8Array> {
    yield archive;
  }
  const load = async () => {
    await Array.fromAsync(engine.images.load(once()));
  };
  await load();
  const { Id } = await engine.images.inspect(name);
  const index: { manifests: { digest: string }[] } = JSON.parse(
    readFileSync(join(instance.dataRoot, "content/index.json"), "utf8"),
  );
  const manifest = index.manifests[0]?.digest ?? "";
  const { layers }: { layers: { digest: string }[] } = JSON.parse(readFileSync(blob(manifest), "utf8"));
  const digests = { manifest, config: Id, layer: layers[0]?.digest ?? "" };
  await send(name, Object.values(digests).map(blob));
  return {
    engine,
    registry,
    blob,
    digests,
    load,
    [Symbol.asyncDispose]: async () => {
      await engine.close();
      await server.close(0);
      rmSync(directory, { recursive: true });
    },
  };
}

async function withRepository(name: string, work: (repository: Repository) => Promise<void>): Promise<void> {
  const registries = openRegistries(
    { mirrors: [], insecure: [], certificateDirectories: [], proxies: {} },
    { userAgent: "davit-test" },
  );
  try {
    await work(registries.repository(parseReference(name), account));
  } finally {
    registries.close();
  }
}

/** Puts indexes into a registry: the last under the name, the others under their digests. */
async function putDocuments(name: string, documents: Buffer[]): Promise<void> {
  await withRepository(name, async (repository) => {
    for (const [at, bytes] of documents.entries()) {
      const where = at === documents.length - 1 ? (parseReference(name).tag ?? "") : digestOf(bytes);
      await repository.putManifest(where, { bytes, mediaType: mediaTypes.index });
    }
  });
}

/** Puts blobs, of which the first is the manifest, into a registry. */
async function send(name: string, [manifest = "", ...blobs]: string[]): Promise<void> {
  await withRepository(name, async (repository) => {
    for (const path of blobs) {
      const bytes = readFileSync(path);
      await repository.putBlob({ digest: digestOf(bytes), size: bytes.length }, () => ({ path }));
    }
    const bytes = readFileSync(manifest);
    const { mediaType }: { mediaType: string } = JSON.parse(bytes.toString());
    await repository.putManifest(parseReference(name).tag ?? "latest", { bytes, mediaType });
  });
}

for (const what of ["manifest", "config", "layer"] as const) {
  test(`a damaged ${what} is fetched from the image's registry`, async () => {
    await using davit = await world();
    const { engine, blob, digests, registry } = davit;
    const digest = digests[what];
    const before = readFileSync(blob(digest));
    const damaged = Buffer.from(before);
    damaged[20] = (damaged[20] ?? 0) ^ 1;
    writeFileSync(blob(digest), damaged);

    const found = await engine.system.check();
    expect(found.Faults.filter(({ Kind }) => Kind === "blob")).toEqual([
      {
        Kind: "blob",
        ID: digest,
        Problem: expect.stringMatching(/^its \d+ bytes have the digest sha256:/),
        Images: [`${registry}/team/app:1`],
        Repaired: false,
      },
    ]);
    const repaired = await engine.system.check({ repair: true });
    expect(repaired.Faults.map(({ ID, Repaired }) => ({ ID, Repaired }))).toEqual([
      { ID: digest, Repaired: true },
    ]);
    expect(readFileSync(blob(digest)).equals(before)).toBe(true);
    expect(await engine.system.check()).toMatchObject({ Blobs: 3, Layers: 1, Faults: [] });
  });
}

test("credentials are asked for once for each registry, and used", async () => {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-"));
  using _directory = { [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
  const users = join(directory, "htpasswd");
  writeFileSync(
    users,
    `${account.username}:${await Bun.password.hash(account.password, { algorithm: "bcrypt", cost: 4 })}\n`,
  );
  await using davit = await world({ authenticator: openHtpasswd(users) });
  let asked = 0;
  const { engine, blob, digests } = davit;
  for (const digest of [digests.config, digests.layer]) writeFileSync(blob(digest), "damaged");
  const refused = await engine.system.check({ repair: true });
  expect(refused.Faults.filter(({ Repaired }) => Repaired)).toEqual([]);
  const repaired = await engine.system.check({
    repair: true,
    credentials: async (registry) => {
      asked += 1;
      expect(registry).toBe(davit.registry);
      return account;
    },
  });
  expect(repaired.Faults.map(({ Repaired }) => Repaired)).toEqual([true, true]);
  expect(asked).toBe(1);
});

for (const what of ["manifest", "config", "layer"] as const) {
  test(`loading an image again repairs its ${what}`, async () => {
    await using davit = await world();
    const { engine, blob, digests } = davit;
    const before = readFileSync(blob(digests[what]));
    const damaged = Buffer.from(before);
    damaged[20] = (damaged[20] ?? 0) ^ 1;
    writeFileSync(blob(digests[what]), damaged);
    await davit.load();
    expect(readFileSync(blob(digests[what])).equals(before)).toBe(true);
    expect((await engine.system.check()).Faults).toEqual([]);
  });

  test(`pulling an image again brings back a ${what} that is missing or was cut short`, async () => {
    await using davit = await world();
    const { engine, blob, digests, registry } = davit;
    const path = blob(digests[what]);
    const before = readFileSync(path);
    for (const damage of [() => rmSync(path), () => truncateSync(path, 10)]) {
      damage();
      await Array.fromAsync(engine.images.pull(`${registry}/team/app:1`));
      expect(readFileSync(path).equals(before)).toBe(true);
    }
    expect((await engine.system.check()).Faults).toEqual([]);
  });
}

test("of a name with several platforms, index, manifests and layers are checked, kept and repaired", async () => {
  await using davit = await world();
  const { engine, registry, blob } = davit;
  const name = `${registry}/team/multi:1`;
  const members: { architecture: string; manifest: string }[] = [];
  for (const architecture of ["amd64", "arm64"]) {
    const one = `${registry}/team/multi:${architecture}`;
    const spec = { layers: [fileLayer("f", architecture)], pack: gzipSync, tags: [one] };
    await Array.fromAsync(engine.images.load(streamOf(dockerArchive(spec))));
    await Array.fromAsync(engine.images.push(one));
    const { RepoDigests } = await engine.images.inspect(one);
    members.push({ architecture, manifest: RepoDigests[0]?.split("@")[1] ?? "" });
  }
  const documents = members.map(({ architecture, manifest }) => {
    const bytes = readFileSync(blob(manifest));
    const { mediaType }: { mediaType: string } = JSON.parse(bytes.toString());
    return { mediaType, digest: manifest, size: bytes.length, platform: { os: "linux", architecture } };
  });
  const inner = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: documents }),
  );
  const nested = { mediaType: mediaTypes.index, digest: digestOf(inner), size: inner.length };
  const outer = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [nested] }),
  );
  await putDocuments(name, [inner, outer]);
  for (const { architecture } of members) {
    await engine.images.remove(`${registry}/team/multi:${architecture}`);
  }
  for (const platform of ["linux/arm64", "linux/amd64"]) {
    await Array.fromAsync(engine.images.pull(name, { platform }));
  }
  expect((await engine.system.check({ repair: true })).Faults).toEqual([]);
  for (const digest of [digestOf(inner), digestOf(outer)]) expect(existsSync(blob(digest))).toBe(true);

  for (const digest of [digestOf(outer), digestOf(inner), ...members.map(({ manifest }) => manifest)]) {
    writeFileSync(blob(digest), "damaged");
    const found = (await engine.system.check()).Faults.filter(({ Kind }) => Kind === "blob");
    expect(found.map(({ ID }) => ID)).toEqual([digest]);
    expect(found[0]?.Images[0]).toBe(name);
    const repaired = await engine.system.check({ repair: true });
    expect(repaired.Faults.map(({ Repaired }) => Repaired)).toEqual([true]);
  }
  expect((await engine.system.check()).Faults).toEqual([]);
});
