import { expect, test } from "bun:test";
import { digestOf, mediaTypes } from "../../src/images/manifest.ts";
import {
  blobOf,
  collect,
  noSuchDigest,
  registriesFor,
  sampleBytes,
  sourceOf,
  unreliableWay,
} from "./client-support.ts";
import { startRegistry } from "./server-world.ts";

test("an upload to davit's own registry goes on after each break where it ended", async () => {
  await using registry = await startRegistry();
  const { host } = new URL(registry.address);
  const bytes = sampleBytes(20_000_000, 4);
  await using way = await unreliableWay(host, [8_000_000, 6_000_000], "up");
  const sent: number[] = [];
  const progress = (count: number) => sent.push(count);
  const repository = registriesFor().repository({ domain: way.host, path: "a/b" });
  await repository.putBlob(blobOf(bytes), sourceOf(bytes), { progress });
  expect(way.cuts()).toBe(2);
  // Each new start, but for the first, is in the middle.
  const starts = sent.filter((count, at) => at === 0 || count < (sent[at - 1] ?? 0));
  expect(starts[0]).toBe(0);
  expect(starts.slice(1).every((count) => count > 1_000_000)).toBe(true);
  expect(starts.length).toBeGreaterThan(1);
  expect(digestOf(await collect(repository.blob(blobOf(bytes))))).toBe(blobOf(bytes).digest);
});

test("davit's own registry and its client agree on tags, referrers and search", async () => {
  await using registry = await startRegistry();
  const { host } = new URL(registry.address);
  const registries = registriesFor();
  const repository = registries.repository({ domain: host, path: "tools/thing" });
  const empty = Buffer.from("{}");
  await repository.putBlob(blobOf(empty), sourceOf(empty));
  const config = { ...blobOf(empty), mediaType: "application/vnd.oci.empty.v1+json" };
  const put = async (tag: string, more: object) => {
    const value = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: [], ...more };
    const bytes = Buffer.from(JSON.stringify(value));
    await repository.putManifest(tag, { bytes, mediaType: mediaTypes.manifest });
    return { mediaType: mediaTypes.manifest, digest: digestOf(bytes), size: bytes.length };
  };
  const subject = await put("v1", {});
  await put("signature", { subject, artifactType: "a/signature" });
  const tags = (await Array.fromAsync(repository.tags())).sort();
  expect(tags).toEqual(["signature", "v1"]);
  expect(await repository.referrers(subject.digest, "a/signature")).toHaveLength(1);
  expect(await repository.referrers(subject.digest, "a/other")).toEqual([]);
  expect(await repository.referrers(noSuchDigest)).toEqual([]);
  expect((await registries.search(`${host}/thing`)).map(({ name }) => name)).toEqual(["tools/thing"]);
  await repository.removeManifest("signature");
  expect(await Array.fromAsync(repository.tags())).toEqual(["v1"]);
});
