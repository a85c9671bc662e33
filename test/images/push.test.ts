/** Push: what arrives in a real registry, and what is not sent again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import {
  type DockerRegistry,
  missingForDockerRegistry,
  startDockerRegistry,
} from "../harness/docker-registry.ts";
import { linesOf, noise, type TestEngine, testEngine } from "./pull-support.ts";
import { buildImage, dockerArchive, fileLayer, type ImageSpec, sha256, streamOf } from "./support.ts";

const missing = missingForDockerRegistry();
if (missing !== undefined) console.log(`push is not tried against docker-registry: ${missing}`);
const there = test.skipIf(missing !== undefined);

let registry: DockerRegistry | undefined;
beforeAll(async () => {
  if (missing === undefined) registry = await startDockerRegistry();
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
});

let repositories = 0;

/** A repository that no other test uses. */
function fresh(path = "app"): string {
  return `${registry?.host}/team-${++repositories}/${path}`;
}

async function load({ engine }: TestEngine, ...specs: ImageSpec[]): Promise<void> {
  await Array.fromAsync(engine.images.load(streamOf(dockerArchive(...specs))));
}

/** What the registry says of a tag. */
async function manifestOf(name: string, tag: string) {
  const path = name.slice(name.indexOf("/") + 1);
  const answer = await fetch(`http://${registry?.host}/v2/${path}/manifests/${tag}`, {
    headers: {
      accept: "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json",
    },
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  return { digest: `sha256:${sha256(bytes)}`, bytes, value: JSON.parse(bytes.toString()) };
}

const layers = [fileLayer("one", noise(3_000_000)), fileLayer("two", "2"), fileLayer("empty", "")];
const short = (digest: string) => digest.slice(7, 19);

there("a plain image travels compressed, and comes back the same", async () => {
  const name = fresh();
  const image = buildImage({ layers });
  await using here = await testEngine();
  await load(here, { layers, tags: [`${name}:1`] });
  const messages = await here.push(`${name}:1`);
  const lines = linesOf(messages);
  const ids = image.diffIds.map(short);
  expect(lines[0]).toBe(`The push refers to repository [${name}]`);
  expect(lines.slice(1, 4)).toEqual(ids.toReversed().map((id) => `${id}: Preparing`));
  expect(lines.slice(4, 7).sort()).toEqual(ids.map((id) => `${id}: Pushed`).sort());

  const { digest, bytes, value } = await manifestOf(name, "1");
  expect(lines[7]).toBe(`1: digest: ${digest} size: ${bytes.length}`);
  expect(messages.at(-1)?.aux).toEqual({ Tag: "1", Digest: digest, Size: bytes.length });
  for (const { mediaType } of value.layers) expect(mediaType).toEndWith("+gzip");
  expect((await here.engine.images.inspect(`${name}:1`)).RepoDigests).toEqual([`${name}@${digest}`]);

  await using other = await testEngine();
  await other.pull(`${name}:1`);
  const { Id, RootFS } = await other.engine.images.inspect(`${name}:1`);
  expect([Id, RootFS.Layers]).toEqual([image.id, image.diffIds]);
});

there("what is there is not sent or compressed again", async () => {
  const name = fresh();
  await using here = await testEngine();
  await load(
    here,
    { layers, tags: [`${name}:1`] },
    { layers: [...layers, fileLayer("four", "4")], tags: [`${name}:2`] },
  );
  await here.push(`${name}:1`);
  const first = await manifestOf(name, "1");
  const again = await here.push(`${name}:2`);
  const ids = buildImage({ layers }).diffIds.map(short);
  for (const id of ids) expect(linesOf(again)).toContain(`${id}: Layer already exists`);
  expect(again.map(({ status }) => status)).not.toContain("Compressing");
  const second = await manifestOf(name, "2");
  expect(second.value.layers.slice(0, 3)).toEqual(first.value.layers);

  const same = await here.push(`${name}:1`);
  expect(linesOf(same).at(-1)).toBe(`1: digest: ${first.digest} size: ${first.bytes.length}`);
  expect(same.map(({ status }) => status)).not.toContain("Pushing");
});

there(
  "an image that came from a registry goes to another byte for byte, and its layers are mounted",
  async () => {
    const [from, to] = [fresh("from"), fresh("to")];
    await using maker = await testEngine();
    await load(maker, { layers, pack: gzipSync, tags: [`${from}:1`] });
    await maker.push(`${from}:1`);
    const original = await manifestOf(from, "1");

    await using here = await testEngine();
    await here.pull(`${from}:1`);
    await here.engine.images.tag(`${from}:1`, `${to}:1`);
    const lines = linesOf(await here.push(`${to}:1`));
    const path = from.slice(from.indexOf("/") + 1);
    for (const diffId of buildImage({ layers }).diffIds) {
      expect(lines).toContain(`${short(diffId)}: Mounted from ${path}`);
    }
    expect((await manifestOf(to, "1")).bytes).toEqual(original.bytes);
  },
);

there("what a layer was said to become by another version is found out, and made anew", async () => {
  const [name, other] = [fresh(), fresh()];
  await using here = await testEngine();
  await load(here, { layers, tags: [`${name}:1`] });
  await here.push(`${name}:1`);
  const { Database } = await import("bun:sqlite");
  {
    using records = new Database(`${here.dataRoot}/davit.db`);
    records.run("UPDATE compressed_layers SET digest = ?1", [`sha256:${"0".repeat(64)}`]);
  }
  await here.engine.images.tag(`${name}:1`, `${other}:1`);
  await here.push(`${other}:1`);
  expect((await manifestOf(other, "1")).value.layers).toEqual((await manifestOf(name, "1")).value.layers);
});

there("all tags of a repository go with --all-tags", async () => {
  const name = fresh();
  await using here = await testEngine();
  await load(here, { layers: [fileLayer("a", "a")], tags: [`${name}:1`, `${name}:2`] });
  const lines = linesOf(await here.push(name, { all: true }));
  expect(lines.filter((line) => line.startsWith("The push refers"))).toHaveLength(1);
  expect((await manifestOf(name, "2")).digest).toBe((await manifestOf(name, "1")).digest);
  await expect(here.push(`${name}:1`, { all: true })).rejects.toThrow("tag can't be used");
});

there("the event of a push names what was pushed", async () => {
  const name = fresh();
  await using here = await testEngine();
  await load(here, { layers: [fileLayer("a", "a")], tags: [`${name}:1`] });
  await here.push(`${name}:1`);
  const until = Date.now() / 1000 + 1;
  const events = await Array.fromAsync(here.engine.system.events({ since: 0, until }));
  expect(events.filter(({ Action }) => Action === "push").map(({ Actor }) => Actor)).toEqual([
    { ID: `${name}:1`, Attributes: { name } },
  ]);
});

test("what is not here cannot be pushed, nor a digest", async () => {
  await using here = await testEngine();
  await expect(here.push("127.0.0.1:1/none:1")).rejects.toThrow(
    "An image does not exist locally with the tag: 127.0.0.1:1/none",
  );
  await expect(here.push(`127.0.0.1:1/none@sha256:${"0".repeat(64)}`)).rejects.toThrow(
    "cannot push a digest reference",
  );
});
