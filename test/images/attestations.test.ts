/** What is attested of images stays with them: in the store, in archives, on the way to and from registries. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ImageManifestSummary } from "../../src/core/objects.ts";
import {
  type DockerRegistry,
  missingForDockerRegistry,
  startDockerRegistry,
} from "../harness/docker-registry.ts";
import { amd64, arm64, Blobs, type Entry } from "./layouts.ts";
import { shelf as emptyShelf, type TestEngine, testEngine } from "./pull-support.ts";
import { streamOf } from "./support.ts";

const missing = missingForDockerRegistry();
if (missing !== undefined) console.warn(`SKIPPED: attestations in a registry: ${missing}`);
const withRegistry = test.skipIf(missing !== undefined);

/** Two platforms, each with an attestation; and the same with a manifest that is nowhere. */
const blobs = new Blobs();
const images = [amd64, arm64].map((platform) => blobs.image(platform));
const attestations = images.map((image) => blobs.attestation(image));
const index = blobs.index([...images, ...attestations]);
const own = images.find(({ platform }) => platform?.architecture === hostArchitecture()) ?? index;
const ownAttestation = attestations[images.indexOf(own)] ?? index;

function hostArchitecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}

let root = "";
let registry: DockerRegistry | undefined;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "davit-test-attestations-"));
  if (missing === undefined) registry = await startDockerRegistry();
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

/** The layout as an archive, its index under a name. */
function archiveOf(entry: Entry, name: string): Uint8Array {
  const directory = mkdtempSync(join(root, "layout-"));
  const annotations = { ...entry.annotations, "io.containerd.image.name": name };
  blobs.write(directory, [{ ...entry, annotations }]);
  const packed = Bun.spawnSync(["tar", "-C", directory, "-c", "."]);
  return packed.stdout;
}

async function load({ engine }: TestEngine, archive: Uint8Array, platforms?: string[]): Promise<void> {
  const options = platforms === undefined ? {} : { platforms };
  for await (const { error } of engine.images.load(streamOf(archive), options)) {
    if (error !== undefined) throw new Error(error);
  }
}

async function manifestsOf({ engine }: TestEngine, name: string): Promise<ImageManifestSummary[]> {
  const rows = await engine.images.list({ manifests: true });
  return rows.find(({ RepoTags }) => RepoTags.includes(name))?.Manifests ?? [];
}

const seen = (manifests: readonly ImageManifestSummary[]) =>
  manifests.map(({ Kind, Available, AttestationData, Descriptor }) => [
    Kind,
    Available,
    AttestationData?.For ?? Descriptor.platform?.architecture,
  ]);

const blobsIn = ({ dataRoot }: TestEngine) => readdirSync(join(dataRoot, "content/blobs/sha256"));

const digestIn = async (host: string, path: string, tag: string) =>
  (
    await fetch(`http://${host}/v2/${path}/manifests/${tag}`, {
      headers: { accept: "application/vnd.oci.image.index.v1+json" },
    })
  ).headers.get("docker-content-digest");

test("an archive's attestations are loaded with its images, and told of by list and inspect", async () => {
  await using here = await testEngine();
  await load(here, archiveOf(index, "docker.io/library/proven:1"));
  const manifests = await manifestsOf(here, "proven:1");
  const expected = [
    ["image", true, "amd64"],
    ["image", true, "arm64"],
    ["attestation", true, images[0]?.digest],
    ["attestation", true, images[1]?.digest],
  ];
  expect(seen(manifests)).toEqual(expected);
  for (const { Size } of manifests.slice(2)) expect(Size.Total).toBeGreaterThan(attestations[0]?.size ?? 0);
  const inspected = await here.engine.images.inspect("proven:1", { manifests: true });
  expect(seen(inspected.Manifests ?? [])).toEqual(expected);
  expect(inspected.Descriptor?.digest).toBe(index.digest);
  expect((await here.engine.images.inspect("proven:1")).Manifests).toBeUndefined();
  await expect(
    here.engine.images.inspect("proven:1", { manifests: true, platform: "linux/arm64" }),
  ).rejects.toThrow("conflicting options: manifests and platform options cannot both be set");
});

test("what is saved brings them along, also to an engine that asks for one platform", async () => {
  await using here = await testEngine();
  await load(here, archiveOf(index, "docker.io/library/proven:1"));
  const saved = Buffer.concat(await Array.fromAsync(here.engine.images.save(["proven:1"])));
  await using there = await testEngine();
  await load(there, saved);
  expect(seen(await manifestsOf(there, "proven:1"))).toEqual(seen(await manifestsOf(here, "proven:1")));
  await using partly = await testEngine();
  await load(partly, saved, [`linux/${hostArchitecture()}`]);
  const available = (await manifestsOf(partly, "proven:1")).filter(({ Available }) => Available);
  expect(available.map(({ ID }) => ID)).toEqual([own.digest, ownAttestation.digest]);
});

test("they go with their image, and nothing of them stays", async () => {
  await using here = await testEngine();
  await load(here, archiveOf(index, "docker.io/library/proven:1"));
  await here.engine.images.remove("proven:1", { platforms: ["linux/arm64"] });
  const left = (await manifestsOf(here, "proven:1")).filter(({ Available }) => Available);
  expect(left.map(({ ID }) => ID)).toEqual([images[0]?.digest, attestations[0]?.digest].map(String));
  expect(blobsIn(here)).not.toContain(attestations[1]?.digest.slice(7));
  await here.engine.images.remove("proven:1");
  expect(blobsIn(here)).toEqual([]);
});

withRegistry(
  "a pull brings those of its platform, and a push of all that the index lists is the same index",
  async () => {
    const name = `${registry?.host}/attested/app`;
    await using here = await testEngine();
    await load(here, archiveOf(index, `${name}:1`));
    await here.push(`${name}:1`);
    expect(await digestIn(registry?.host ?? "", "attested/app", "1")).toBe(index.digest);

    await using there = await testEngine();
    await there.pull(`${name}:1`);
    const first = (await manifestsOf(there, `${name}:1`)).filter(({ Available }) => Available);
    expect(first.map(({ ID }) => ID)).toEqual([own.digest, ownAttestation.digest]);
    // Again: it is all here, and nothing is lost by looking.
    await there.pull(`${name}:1`);
    for (const { platform } of images) {
      await there.pull(`${name}:1`, { platform: `linux/${platform?.architecture}` });
    }
    expect(seen(await manifestsOf(there, `${name}:1`)).every(([, available]) => available === true)).toBe(
      true,
    );
    await there.engine.images.tag(`${name}:1`, `${registry?.host}/attested/again:1`);
    await there.push(`${registry?.host}/attested/again:1`);
    expect(await digestIn(registry?.host ?? "", "attested/again", "1")).toBe(index.digest);
  },
);

withRegistry(
  "one platform of several goes to a registry by itself, without what is attested of it",
  async () => {
    const name = `${registry?.host}/attested/single:1`;
    await using here = await testEngine();
    await load(here, archiveOf(index, name));
    await here.push(name, { platform: "linux/arm64" });
    const answer = await fetch(`http://${registry?.host}/v2/attested/single/manifests/1`, {
      headers: { accept: "application/vnd.oci.image.manifest.v1+json" },
    });
    expect(answer.headers.get("docker-content-digest")).toBe(String(images[1]?.digest));
  },
);

test("the check of the store reads them, and a damaged one is dropped where nobody has it any more", async () => {
  await using here = await testEngine();
  await load(here, archiveOf(index, "docker.io/library/proven:1"));
  const check = async (repair: boolean) => {
    const { Faults } = await here.engine.system.check({ repair });
    return Faults.map(({ Kind, ID }) => `${Kind} ${ID}`);
  };
  expect(await check(false)).toEqual([]);
  const blob = attestations[0]?.digest ?? "";
  writeFileSync(join(here.dataRoot, "content/blobs/sha256", blob.slice(7)), "{}");
  // Its own config and statement are of no use without it.
  const found = await check(true);
  expect(found).toContain(`blob ${blob}`);
  expect(found).toHaveLength(3);
  // Without it the images are whole.
  expect(await check(false)).toEqual([]);
  expect((await manifestsOf(here, "proven:1")).filter(({ Available }) => Available)).toHaveLength(3);
});

test("an index that calls other things attestations and indexes harms nobody", async () => {
  const hostile = new Blobs();
  const image = hostile.image(amd64);
  const manifest: { config: Entry } = JSON.parse(Buffer.from(hostile.all.get(image.digest) ?? "").toString());
  const { digest, size } = manifest.config;
  const annotations = {
    "vnd.docker.reference.type": "attestation-manifest",
    "vnd.docker.reference.digest": image.digest,
  };
  const top = hostile.index([
    image,
    // The image's own config, by other names.
    { ...image, digest, size, annotations },
    { mediaType: "application/vnd.oci.image.index.v1+json", digest, size },
  ]);
  const missingOne = { ...annotations, "vnd.docker.reference.digest": digest };
  const strange = hostile.index([image, { ...image, annotations: missingOne }]);
  await using shelf = emptyShelf();
  for (const [key, bytes] of hostile.all) {
    shelf.blobs.set(key, bytes);
    shelf.manifests.set(key, { bytes, type: image.mediaType });
  }
  for (const [tag, entry] of [
    ["hostile", top],
    ["strange", strange],
  ] as const) {
    shelf.manifests.set(tag, { bytes: hostile.all.get(entry.digest) ?? Buffer.of(), type: entry.mediaType });
  }
  await using here = await testEngine();
  const messages = await here.pull(`${shelf.name}:hostile`, { platform: "linux/amd64" });
  expect(messages.map(({ status }) => status).join("\n")).toContain(`Attestation ${digest} is left out`);
  await here.pull(`${shelf.name}:strange`, { platform: "linux/amd64" });
  expect((await here.engine.system.check()).Faults).toEqual([]);
  expect(seen(await manifestsOf(here, `${shelf.name}:hostile`)).slice(0, 2)).toEqual([
    ["image", true, "amd64"],
    ["attestation", false, image.digest],
  ]);
  await here.engine.images.remove(`${shelf.name}:hostile`);
  await here.engine.images.remove(`${shelf.name}:strange`);
  for (const { RepoDigests } of await here.engine.images.list()) {
    for (const name of RepoDigests) await here.engine.images.remove(name);
  }
  expect(blobsIn(here)).toEqual([]);
});
