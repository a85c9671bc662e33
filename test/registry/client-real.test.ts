import { describe, expect, test } from "bun:test";
import { createSign, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { NotFound, Unauthorized } from "../../src/core/errors.ts";
import { randomId } from "../../src/core/ids.ts";
import { digestOf, mediaTypes } from "../../src/images/manifest.ts";
import type { Repository } from "../../src/registry/client/index.ts";
import { htpasswd, missingForRegistry, startDockerRegistry } from "./client-docker-registry.ts";
import {
  blobOf,
  collect,
  failureOf,
  json,
  makeCertificates,
  missingForCertificates,
  noSuchDigest,
  registriesFor,
  sampleBytes,
  serve,
  sourceOf,
  unreliableWay,
} from "./client-support.ts";

const missing = missingForRegistry();
if (missing !== undefined)
  console.error(`SKIPPED: test/registry: the client against a real registry: ${missing}`);

/** Puts an image with one layer. @returns its manifest */
async function putImage(repository: Repository, tag: string, seed = 1) {
  const layer = sampleBytes(3_000_000, seed);
  const config = Buffer.from(
    JSON.stringify({ architecture: "amd64", os: "linux", seed, rootfs: { diff_ids: [] } }),
  );
  for (const bytes of [layer, config]) await repository.putBlob(blobOf(bytes), sourceOf(bytes));
  const value = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { ...blobOf(config), mediaType: mediaTypes.config },
    layers: [blobOf(layer)],
  };
  const bytes = Buffer.from(JSON.stringify(value));
  await repository.putManifest(tag, { bytes, mediaType: mediaTypes.manifest });
  return { digest: digestOf(bytes), bytes, layer };
}

describe.skipIf(missing !== undefined)("against docker-registry", () => {
  test("an image goes up and comes down, by tag and digest", async () => {
    await using registry = await startDockerRegistry();
    const repository = registriesFor().repository({ domain: registry.host, path: "some/thing" });
    const { digest, bytes, layer } = await putImage(repository, "v1");
    const described = { mediaType: mediaTypes.manifest, digest, size: bytes.length };
    expect(await repository.resolve("v1")).toEqual(described);
    expect(await repository.resolve(digest)).toEqual(described);
    expect(Buffer.from((await repository.manifest(digest)).bytes)).toEqual(bytes);
    expect(digestOf(await collect(repository.blob(blobOf(layer))))).toBe(blobOf(layer).digest);
    const rest = await collect(repository.blob(blobOf(layer), { offset: 2_999_990 }));
    expect(rest).toEqual(Buffer.from(layer.subarray(2_999_990)));
    expect(await repository.hasBlob(blobOf(layer).digest)).toBe(layer.length);
    expect(await repository.hasBlob(noSuchDigest)).toBeUndefined();
    expect(await repository.referrers(digest)).toEqual([]);
  });

  test("blobs that are there are not sent, and those of another repository are mounted", async () => {
    await using registry = await startDockerRegistry();
    const registries = registriesFor();
    const first = registries.repository({ domain: registry.host, path: "first" });
    const { layer } = await putImage(first, "v1");
    const never = () => {
      throw new Error("this must not be read");
    };
    expect(await first.putBlob(blobOf(layer), never)).toEqual({ kind: "exists" });
    const second = registries.repository({ domain: registry.host, path: "second" });
    expect(await second.putBlob(blobOf(layer), never, { mountFrom: ["nothing/here", "first"] })).toEqual({
      kind: "mounted",
      from: "first",
    });
    const third = registries.repository({ domain: registry.host, path: "third" });
    expect(await third.putBlob(blobOf(layer), sourceOf(layer), { mountFrom: ["nothing/here"] })).toEqual({
      kind: "uploaded",
    });
  });

  test("tags are listed over several pages, and manifests removed", async () => {
    await using registry = await startDockerRegistry();
    const repository = registriesFor().repository({ domain: registry.host, path: "a" });
    const { digest, bytes } = await putImage(repository, "t0");
    const document = { bytes, mediaType: mediaTypes.manifest };
    const names = Array.from({ length: 12 }, (_, at) => `t${at}`);
    for (const tag of names) await repository.putManifest(tag, document);
    expect((await Array.fromAsync(repository.tags())).sort()).toEqual(names.sort());
    await repository.removeManifest(digest);
    const failure = await failureOf(repository.manifest("t3"));
    expect(failure).toBeInstanceOf(NotFound);
    expect(failure.message).toBe(
      `manifest for ${registry.host}/a:t3 not found: manifest unknown: manifest unknown`,
    );
  });

  test("what is not there is told in the words of Docker", async () => {
    await using registry = await startDockerRegistry();
    const repository = registriesFor().repository({ domain: registry.host, path: "none/such" });
    expect((await failureOf(repository.resolve("tag"))).message).toBe(
      `manifest for ${registry.host}/none/such:tag not found: manifest unknown: manifest unknown`,
    );
    expect((await failureOf(repository.resolve(noSuchDigest))).message).toBe(
      `manifest for ${registry.host}/none/such@${noSuchDigest} not found: manifest unknown: manifest unknown`,
    );
    expect((await failureOf(Array.fromAsync(repository.tags()))).message).toBe(
      `repository ${registry.host}/none/such not found: name unknown: repository name not known to registry`,
    );
    expect((await failureOf(registriesFor().search(`${registry.host}/x`))).message).toBe(
      "Unexpected status code 404",
    );
  });

  test("a blob with the wrong digest is refused by the registry, and that is told", async () => {
    await using registry = await startDockerRegistry();
    const repository = registriesFor().repository({ domain: registry.host, path: "a" });
    const bytes = sampleBytes(1000);
    const failure = await failureOf(
      repository.putBlob({ digest: noSuchDigest, size: 1000 }, sourceOf(bytes)),
    );
    expect(failure.message).toContain("digest invalid: provided digest did not match uploaded content");
  });

  test("a way that breaks again and again delays a transfer, and changes nothing of it", async () => {
    await using registry = await startDockerRegistry();
    const bytes = sampleBytes(20_000_000, 9);
    await using up = await unreliableWay(registry.host, [5_000_000, 6_000_000, 3_000_000], "up");
    const sent: number[] = [];
    const progress = (count: number) => sent.push(count);
    await registriesFor()
      .repository({ domain: up.host, path: "a" })
      .putBlob(blobOf(bytes), sourceOf(bytes), { progress });
    expect(up.cuts()).toBe(3);
    expect(sent.at(-1)).toBe(bytes.length);
    await using down = await unreliableWay(registry.host, [7_000_000, 1_000_000, 9_000_000], "down");
    const repository = registriesFor().repository({ domain: down.host, path: "a" });
    expect(digestOf(await collect(repository.blob(blobOf(bytes))))).toBe(blobOf(bytes).digest);
    expect(down.cuts()).toBe(3);
  });

  test.skipIf(missingForCertificates() !== undefined)(
    "HTTPS with an unknown certificate is taken on loopback",
    async () => {
      await using registry = await startDockerRegistry(undefined, true);
      const repository = registriesFor().repository({ domain: registry.host, path: "a" });
      const { digest } = await putImage(repository, "v1");
      expect((await repository.resolve("v1")).digest).toBe(digest);
      const failure = await failureOf(repository.resolve("v2"));
      expect(failure.message).toContain("manifest unknown");
    },
  );

  test("users of htpasswd come in, others do not", async () => {
    await using registry = await startDockerRegistry((directory) =>
      htpasswd(directory, "alice", "s3cret-word"),
    );
    const registries = registriesFor();
    const alice = { username: "alice", password: "s3cret-word" };
    await putImage(registries.repository({ domain: registry.host, path: "a" }, alice), "v1");
    const nobody = await failureOf(
      registries.repository({ domain: registry.host, path: "a" }).resolve("latest"),
    );
    expect(nobody).toBeInstanceOf(Unauthorized);
    expect(nobody.message).toBe(
      `Head "http://${registry.host}/v2/a/manifests/latest": no basic auth credentials`,
    );
    const push = registries.repository({ domain: registry.host, path: "a" });
    const bytes = sampleBytes(10);
    const unpushed = await failureOf(push.putBlob(blobOf(bytes), sourceOf(bytes)));
    expect(unpushed).toBeInstanceOf(Unauthorized);
    expect(unpushed.message).toBe("no basic auth credentials");
    expect(await registries.login({ ...alice, serveraddress: registry.host })).toEqual({
      Status: "Login Succeeded",
      IdentityToken: "",
    });
    const wrong = { username: "alice", password: "wrong", serveraddress: registry.host };
    const failure = await failureOf(registries.login(wrong));
    expect(failure).toBeInstanceOf(Unauthorized);
    expect(failure.message).toBe(
      `login attempt to http://${registry.host}/v2/ failed with status: 401 Unauthorized`,
    );
  });

  test.skipIf(missingForCertificates() !== undefined)(
    "tokens of a token server let in to their scope only",
    async () => {
      const issued: string[][] = [];
      const secret: { directory?: string; key?: string; certificate?: string } = {};
      await using tokens = serve((asked) => {
        const { searchParams } = new URL(asked.target, "http://x");
        issued.push(searchParams.getAll("scope"));
        if (asked.headers.get("authorization") !== `Basic ${btoa("alice:s3cret-word")}`) {
          return json({ details: "incorrect username or password" }, { status: 401 });
        }
        const access = searchParams.getAll("scope").map((scope) => {
          const [type, name, actions = ""] = scope.split(":");
          // Alice may read and write what is hers, and read what is public.
          const granted = actions
            .split(",")
            .filter((action) => name?.startsWith("alice/") || action === "pull");
          return { type, name, actions: granted };
        });
        return json({ token: signToken(access, secret.key ?? "", secret.certificate ?? "") });
      });
      await using registry = await startDockerRegistry(async (directory) => {
        const { key, cert } = await makeCertificates(directory);
        Object.assign(secret, { key, certificate: cert });
        const bundle = join(directory, "server.crt");
        return `auth: {token: {realm: "${tokens.origin}/token", service: test, issuer: test, rootcertbundle: ${bundle}}}`;
      });
      const registries = registriesFor();
      const alice = { username: "alice", password: "s3cret-word" };
      const mine = registries.repository({ domain: registry.host, path: "alice/a" }, alice);
      const { layer } = await putImage(mine, "v1");
      expect(issued).toEqual([["repository:alice/a:pull,push"]]);
      await mine.resolve("v1");
      expect(issued.slice(1)).toEqual([["repository:alice/a:pull"]]);
      const second = registries.repository({ domain: registry.host, path: "alice/b" }, alice);
      expect(await second.putBlob(blobOf(layer), sourceOf(layer), { mountFrom: ["alice/a"] })).toEqual({
        kind: "mounted",
        from: "alice/a",
      });
      const other = registries.repository({ domain: registry.host, path: "bob/x" }, alice);
      const denied = await failureOf(other.putBlob(blobOf(layer), sourceOf(layer)));
      expect(denied.message).toContain("denied");
      const stranger = { username: "alice", password: "wrong" };
      const refused = await failureOf(
        registries.repository({ domain: registry.host, path: "alice/a" }, stranger).resolve("v1"),
      );
      expect(refused).toBeInstanceOf(Unauthorized);
      expect(refused.message).toBe(
        `Head "http://${registry.host}/v2/alice/a/manifests/v1": unauthorized: incorrect username or password`,
      );
    },
  );
});

/** A token as distribution's specification has it: a JWT with the certificate of its key. */
function signToken(access: object[], key: string, certificate: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const x5c = [new X509Certificate(certificate).raw.toString("base64")];
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: "test",
    sub: "alice",
    aud: "test",
    exp: now + 300,
    nbf: now - 10,
    iat: now,
    jti: randomId(),
    access,
  };
  const text = `${part({ typ: "JWT", alg: "ES256", x5c })}.${part(claims)}`;
  const signature = createSign("SHA256").update(text).sign({ key, dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}
