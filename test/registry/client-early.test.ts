/** A registry that is asked for the first manifest while it is looked for. */
import { describe, expect, test } from "bun:test";
import { NotFound, Unavailable } from "../../src/core/errors.ts";
import { digestOf, mediaTypes } from "../../src/images/manifest.ts";
import { deadHost, type Handler, registriesFor, serve } from "./client-support.ts";

const digest = digestOf(Buffer.from("a manifest"));
const headers = {
  "Content-Type": mediaTypes.manifest,
  "Docker-Content-Digest": digest,
  "Content-Length": "10",
};

/** HEAD of `a` is answered, to who has this header. */
const giving =
  (authorization: string | null): Handler =>
  ({ headers: given, target }) => {
    if (given.get("authorization") !== authorization) {
      return new Response(undefined, { status: 401, headers: { "WWW-Authenticate": 'Basic realm="x"' } });
    }
    return target === "/v2/a/manifests/1"
      ? new Response(undefined, { headers })
      : Response.json(
          { errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] },
          { status: 404 },
        );
  };

describe("what will be asked first", () => {
  test("is asked once, and in place of /v2/", async () => {
    await using registry = serve(giving(null), { root: true });
    const registries = registriesFor();
    registries.seek(registry.host, { path: "a", tag: "1" });
    const repository = registries.repository({ domain: registry.host, path: "a" });
    expect((await repository.resolve("1")).digest).toBe(digest);
    expect(registry.asked.map(({ method, target }) => `${method} ${target}`)).toEqual([
      "HEAD /v2/a/manifests/1",
    ]);
    // An answer is used once: the tag may have moved.
    expect((await repository.resolve("1")).digest).toBe(digest);
    expect(registry.asked).toHaveLength(2);
  });

  test("is asked again where it was another question", async () => {
    await using registry = serve(giving(null));
    const registries = registriesFor();
    registries.seek(registry.host, { path: "a", tag: "1" });
    const failure = await registries
      .repository({ domain: registry.host, path: "b" })
      .resolve("1")
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(NotFound);
    expect(registry.lines()).toEqual([
      "HEAD /v2/a/manifests/1",
      "HEAD /v2/b/manifests/1",
      "GET /v2/b/manifests/1",
    ]);
  });

  test("is asked without credentials, and again with them when they are wanted", async () => {
    const basic = `Basic ${btoa("alice:s3cret")}`;
    await using registry = serve(giving(basic));
    const registries = registriesFor();
    registries.seek(registry.host, { path: "a", tag: "1" });
    const auth = { username: "alice", password: "s3cret" };
    const repository = registries.repository({ domain: registry.host, path: "a" }, auth);
    expect((await repository.resolve("1")).digest).toBe(digest);
    expect(registry.asked.map(({ method, headers: given }) => [method, given.get("authorization")])).toEqual([
      ["HEAD", null],
      ["HEAD", basic],
    ]);
  });

  test("is no proof against a registry when it is refused with 400: then /v2/ is asked", async () => {
    let refusals = 0;
    await using registry = serve(
      (asked, request) => {
        if (asked.target === "/v2/") return new Response("{}");
        refusals += 1;
        return refusals === 1 ? new Response(undefined, { status: 400 }) : giving(null)(asked, request);
      },
      { root: true },
    );
    const registries = registriesFor();
    registries.seek(registry.host, { path: "a", tag: "1" });
    expect((await registries.repository({ domain: registry.host, path: "a" }).resolve("1")).digest).toBe(
      digest,
    );
    expect(registry.asked.map(({ target }) => target)).toEqual([
      "/v2/a/manifests/1",
      "/v2/",
      "/v2/a/manifests/1",
    ]);
  });

  test("of a registry that is not there: who asks it is told in Docker's words", async () => {
    const host = await deadHost();
    const registries = registriesFor();
    registries.seek(host, { path: "a", tag: "1" });
    const failure = await registries
      .repository({ domain: host, path: "a" })
      .resolve("1")
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Unavailable);
    expect(String(failure)).toContain(
      `Get "http://${host}/v2/": dial tcp ${host}: connect: connection refused`,
    );
  });
});
