import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Unauthorized } from "../../src/core/errors.ts";
import { digestOf, mediaTypes } from "../../src/images/manifest.ts";
import {
  blobOf,
  collect,
  everythingOf,
  failureOf,
  type Handler,
  json,
  makeCertificates,
  missingForCertificates,
  noSuchDigest,
  refuse,
  registriesFor,
  sampleBytes,
  scratch,
  serve,
  serveRaw,
  sourceOf,
} from "./client-support.ts";

const user = { username: "alice", password: "s3cret-word" };
const basic = `Basic ${Buffer.from("alice:s3cret-word").toString("base64")}`;
const manifest = { schemaVersion: 2, mediaType: mediaTypes.manifest, config: {}, layers: [] };
const manifestAnswer = () => json(manifest, { type: mediaTypes.manifest });
const unauthorized = (challenge: string) =>
  refuse(401, "UNAUTHORIZED", "authentication required", { "WWW-Authenticate": challenge });

/** A registry that wants a bearer token of this token server. */
function bearerRegistry(realm: () => string, isGood: (token: string | null) => boolean): Handler {
  return (asked) =>
    isGood(asked.headers.get("authorization"))
      ? manifestAnswer()
      : unauthorized(`Bearer realm="${realm()}",service="test service"`);
}

describe("tokens", () => {
  test("an anonymous token is asked for with service and scope, and used", async () => {
    await using tokens = serve(() => json({ token: "anonymous-token" }));
    await using registry = serve(
      bearerRegistry(
        () => `${tokens.origin}/token`,
        (header) => header === "Bearer anonymous-token",
      ),
    );
    const repository = registriesFor().repository({ domain: registry.host, path: "library/thing" });
    expect((await repository.manifest("latest")).mediaType).toBe(mediaTypes.manifest);
    expect(tokens.lines()).toEqual([
      "GET /token?service=test+service&scope=repository%3Alibrary%2Fthing%3Apull",
    ]);
    expect(tokens.asked[0]?.headers.has("authorization")).toBe(false);
    await repository.manifest("latest");
    expect(tokens.asked).toHaveLength(1);
  });

  test("transfers side by side share one token; another scope has another", async () => {
    await using tokens = serve(async () => {
      await Bun.sleep(20);
      return json({ access_token: "one", expires_in: 300 });
    });
    await using registry = serve(
      bearerRegistry(
        () => `${tokens.origin}/token`,
        (header) => header === "Bearer one",
      ),
    );
    const registries = registriesFor();
    const repository = registries.repository({ domain: registry.host, path: "a" });
    await Promise.all(["a", "b", "c", "d"].map((tag) => repository.manifest(tag)));
    expect(tokens.asked).toHaveLength(1);
    const other = registries.repository({ domain: registry.host, path: "b" });
    await Promise.all(["b", "c", "d"].map((tag) => other.manifest(tag)));
    expect(tokens.lines().filter((line) => line.includes("repository%3Ab%3Apull"))).toHaveLength(1);
  });

  test("user and password go to the token server as Basic, and to the registry never", async () => {
    await using tokens = serve((asked) =>
      asked.headers.get("authorization") === basic
        ? json({ token: "for-alice" })
        : json({ details: "incorrect username or password" }, { status: 401 }),
    );
    await using registry = serve(
      bearerRegistry(
        () => `${tokens.origin}/token`,
        (header) => header === "Bearer for-alice",
      ),
    );
    const registries = registriesFor();
    await registries.repository({ domain: registry.host, path: "a" }, user).manifest("latest");
    expect(tokens.lines()[0]).toContain("account=alice");
    expect(registry.asked.map(({ headers }) => headers.get("authorization"))).toEqual([
      null,
      null,
      "Bearer for-alice",
    ]);

    const wrong = registries.repository(
      { domain: registry.host, path: "a" },
      { ...user, password: "guess-work" },
    );
    const failure = await failureOf(wrong.manifest("latest"));
    expect(failure).toBeInstanceOf(Unauthorized);
    expect(failure.message).toBe(
      `Head "${registry.origin}/v2/a/manifests/latest": unauthorized: incorrect username or password`,
    );
    expect(everythingOf(failure)).not.toContain("guess-work");
  });

  test("an identity token is sent as an OAuth2 refresh token, in a body", async () => {
    await using tokens = serve((asked) =>
      asked.method === "POST" && asked.body.includes("refresh_token=identity-1")
        ? json({ access_token: "by-refresh", expires_in: 300 })
        : refuse(400, "X", "x"),
    );
    await using registry = serve(
      bearerRegistry(
        () => `${tokens.origin}/token`,
        (header) => header === "Bearer by-refresh",
      ),
    );
    const auth = { identitytoken: "identity-1" };
    await registriesFor().repository({ domain: registry.host, path: "a" }, auth).manifest("latest");
    expect(tokens.lines()).toEqual(["POST /token"]);
    const form = Object.fromEntries(new URLSearchParams(tokens.asked[0]?.body));
    expect(form).toEqual({
      grant_type: "refresh_token",
      refresh_token: "identity-1",
      client_id: "davit",
      service: "test service",
      scope: "repository:a:pull",
    });
  });

  test("a token that the registry does not take any more is replaced once", async () => {
    let generation = 1;
    await using tokens = serve(() => json({ token: `token-${generation}` }));
    await using registry = serve(
      bearerRegistry(
        () => `${tokens.origin}/token`,
        (header) => header === `Bearer token-${generation}`,
      ),
    );
    const repository = registriesFor().repository({ domain: registry.host, path: "a" });
    await repository.manifest("latest");
    generation = 2;
    await repository.manifest("latest");
    expect(tokens.asked).toHaveLength(2);
  });

  test("a registry that never is content is asked twice, not for ever", async () => {
    await using tokens = serve(() => json({ token: "useless" }));
    await using registry = serve(
      bearerRegistry(
        () => `${tokens.origin}/token`,
        () => false,
      ),
    );
    const repository = registriesFor().repository({ domain: registry.host, path: "a" }, user);
    const failure = await failureOf(repository.manifest("latest"));
    expect(failure).toBeInstanceOf(Unauthorized);
    expect(failure.message).toContain("unauthorized: authentication required");
    expect(registry.lines()).toHaveLength(2);
  });

  test("pushing asks for pull and push; mounting also for pull from the other repository", async () => {
    await using tokens = serve(() => json({ token: "any" }));
    await using registry = serve((asked) => {
      if (asked.headers.get("authorization") !== "Bearer any")
        return unauthorized(`Bearer realm="${tokens.origin}/t"`);
      if (asked.method === "HEAD") return new Response(undefined, { status: 404 });
      return new Response(undefined, { status: 201 });
    });
    const repository = registriesFor().repository({ domain: registry.host, path: "mine" });
    const bytes = sampleBytes(100);
    const outcome = await repository.putBlob(blobOf(bytes), sourceOf(bytes), {
      mountFrom: ["mine", "other"],
    });
    expect(outcome).toEqual({ kind: "mounted", from: "other" });
    const scopes = tokens.asked.map(({ target }) => new URL(target, "http://x").searchParams.getAll("scope"));
    expect(scopes).toEqual([
      ["repository:mine:pull,push"],
      ["repository:mine:pull,push", "repository:other:pull"],
    ]);
  });

  test("a token that would break a header, no token, and garbage are refused", async () => {
    const answers = [
      { body: JSON.stringify({ token: "a\r\nHost: evil" }), words: "malformed token" },
      {
        body: JSON.stringify({ nothing: true }),
        words: "authorization server did not include a token in the response",
      },
      { body: "<html>", words: "is not valid JSON" },
      { body: JSON.stringify({ token: "x".repeat(2_000_000) }), words: "at most" },
    ];
    for (const { body, words } of answers) {
      await using tokens = serve(() => new Response(body));
      await using registry = serve(
        bearerRegistry(
          () => `${tokens.origin}/token`,
          () => false,
        ),
      );
      const repository = registriesFor().repository({ domain: registry.host, path: "a" });
      expect((await failureOf(repository.manifest("latest"))).message).toContain(words);
    }
  });
});

describe("credentials stay where they belong", () => {
  test("a token server that redirects to another host gets nothing sent there", async () => {
    await using thief = serve(() => json({ token: "stolen" }));
    for (const auth of [user, { identitytoken: "identity-9" }]) {
      await using tokens = serve(() => Response.redirect(`${thief.origin}/token`, 307));
      await using registry = serve(
        bearerRegistry(
          () => `${tokens.origin}/token`,
          () => false,
        ),
      );
      const repository = registriesFor().repository({ domain: registry.host, path: "a" }, auth);
      const failure = await failureOf(repository.manifest("latest"));
      expect(failure.message).toContain("redirects to another host; credentials are not sent there");
      expect(everythingOf(failure)).not.toMatch(/s3cret-word|identity-9|YWxpY2U6/);
    }
    expect(thief.asked).toEqual([]);
  });

  test("a token server that redirects in a circle is given up", async () => {
    await using tokens = serve((asked) =>
      Response.redirect(asked.target.startsWith("/a") ? "/b" : "/a", 302),
    );
    await using registry = serve(
      bearerRegistry(
        () => `${tokens.origin}/a`,
        () => false,
      ),
    );
    const repository = registriesFor().repository({ domain: registry.host, path: "a" }, user);
    expect((await failureOf(repository.manifest("latest"))).message).toContain("stopped after 5 redirects");
    expect(tokens.asked.length).toBeLessThan(10);
  });

  test("a realm that is no web address is refused", async () => {
    for (const realm of ["", "file:///etc/passwd", "not an address", "ftp://127.0.0.1/"]) {
      await using registry = serve(() => unauthorized(`Bearer realm="${realm}"`));
      const repository = registriesFor().repository({ domain: registry.host, path: "a" }, user);
      expect((await failureOf(repository.manifest("latest"))).message).toContain(
        "names no valid token server",
      );
    }
  });

  test("a blob on another host is fetched without Authorization", async () => {
    const bytes = sampleBytes(5000);
    await using storage = serve(() => new Response(bytes));
    await using registry = serve((asked) => {
      if (asked.headers.get("authorization") !== basic) return unauthorized('Basic realm="x"');
      return Response.redirect(`${storage.origin}/bucket?signature=query-secret`, 307);
    });
    const repository = registriesFor().repository({ domain: registry.host, path: "a" }, user);
    expect(await collect(repository.blob(blobOf(bytes)))).toEqual(Buffer.from(bytes));
    expect(storage.lines()).toEqual(["GET /bucket?signature=query-secret"]);
    expect(storage.asked[0]?.headers.has("authorization")).toBe(false);
  });

  test("an upload that goes on at another host goes without Authorization", async () => {
    const bytes = sampleBytes(5000);
    await using storage = serve(() => new Response(undefined, { status: 201 }));
    await using registry = serve((asked) => {
      if (asked.headers.get("authorization") !== basic) return unauthorized('Basic realm="x"');
      if (asked.method === "HEAD") return new Response(undefined, { status: 404 });
      return new Response(undefined, {
        status: 202,
        headers: { Location: `${storage.origin}/upload?state=1` },
      });
    });
    const repository = registriesFor().repository({ domain: registry.host, path: "a" }, user);
    await repository.putBlob(blobOf(bytes), sourceOf(bytes));
    expect(storage.lines()).toEqual([`PUT /upload?state=1&digest=${encodeURIComponent(digestOf(bytes))}`]);
    expect(storage.asked[0]?.headers.has("authorization")).toBe(false);
    expect(storage.asked[0]?.body.length).toBe(5000);
  });

  test("a signature in a redirect stands in no message", async () => {
    await using storage = serve(() => refuse(403, "DENIED", "no"));
    await using registry = serve(() =>
      Response.redirect(`${storage.origin}/bucket?signature=query-secret`, 307),
    );
    const repository = registriesFor().repository({ domain: registry.host, path: "a" }, user);
    const failure = await failureOf(
      collect(repository.blob({ mediaType: "", digest: noSuchDigest, size: 10 })),
    );
    expect(everythingOf(failure)).not.toMatch(/query-secret|s3cret-word/);
    await using dead = await serveRaw((socket) => socket.destroy());
    await using registry2 = serve(() =>
      Response.redirect(`http://${dead.host}/bucket?signature=query-secret`, 307),
    );
    const repository2 = registriesFor().repository({ domain: registry2.host, path: "a" }, user);
    const failure2 = await failureOf(
      collect(repository2.blob({ mediaType: "", digest: noSuchDigest, size: 10 })),
    );
    expect(everythingOf(failure2)).not.toMatch(/query-secret|s3cret-word/);
  });

  test("a 401 of another host does not make us send credentials there", async () => {
    await using storage = serve(() => unauthorized('Basic realm="thief"'));
    await using registry = serve((asked) =>
      asked.headers.get("authorization") === basic
        ? Response.redirect(`${storage.origin}/bucket`, 307)
        : unauthorized('Basic realm="x"'),
    );
    const repository = registriesFor().repository({ domain: registry.host, path: "a" }, user);
    await failureOf(repository.manifest("latest"));
    expect(storage.asked.every(({ headers }) => !headers.has("authorization"))).toBe(true);
  });

  test("Basic credentials that are missing or wrong are told apart", async () => {
    await using registry = serve((asked) =>
      asked.headers.get("authorization") === basic ? manifestAnswer() : unauthorized('Basic realm="x"'),
    );
    const registries = registriesFor();
    const without = await failureOf(
      registries.repository({ domain: registry.host, path: "a" }).manifest("latest"),
    );
    expect(without).toBeInstanceOf(Unauthorized);
    expect(without.message).toBe(
      `Head "${registry.origin}/v2/a/manifests/latest": no basic auth credentials`,
    );
    const wrong = { username: "alice", password: "guess-work" };
    const refused = await failureOf(
      registries.repository({ domain: registry.host, path: "a" }, wrong).manifest("latest"),
    );
    expect(refused).toBeInstanceOf(Unauthorized);
    expect(refused.message).toContain("unauthorized: authentication required");
    expect(everythingOf(refused)).not.toContain("guess-work");
    await registries.repository({ domain: registry.host, path: "a" }, user).manifest("latest");
    const encoded = { auth: Buffer.from("alice:s3cret-word").toString("base64") };
    await registries.repository({ domain: registry.host, path: "a" }, encoded).manifest("latest");
  });

  test("a registry token is sent as it is", async () => {
    await using registry = serve((asked) =>
      asked.headers.get("authorization") === "Bearer given"
        ? manifestAnswer()
        : unauthorized('Bearer realm="http://x/"'),
    );
    const auth = { registrytoken: "given" };
    await registriesFor().repository({ domain: registry.host, path: "a" }, auth).manifest("latest");
    expect(registry.lines()).toHaveLength(1);
  });
});

describe("login", () => {
  test("the registry's own token server is asked for a refresh token, which comes back", async () => {
    await using tokens = serve((asked) =>
      asked.headers.get("authorization") === basic
        ? json({ token: "good", refresh_token: "keep-me" })
        : json({ details: "incorrect username or password" }, { status: 401 }),
    );
    await using registry = serve(
      (asked) =>
        asked.headers.get("authorization") === "Bearer good"
          ? json({})
          : unauthorized(`Bearer realm="${tokens.origin}/token",service="s"`),
      { root: true },
    );
    const registries = registriesFor();
    expect(await registries.login({ ...user, serveraddress: registry.host })).toEqual({
      Status: "Login Succeeded",
      IdentityToken: "keep-me",
    });
    const query = new URL(tokens.asked[0]?.target ?? "", "http://x").searchParams;
    expect(Object.fromEntries(query)).toEqual({
      service: "s",
      offline_token: "true",
      client_id: "davit",
      account: "alice",
    });
    const failure = await failureOf(
      registries.login({
        username: "alice",
        password: "guess-work",
        serveraddress: `http://${registry.host}/v2/`,
      }),
    );
    expect(failure).toBeInstanceOf(Unauthorized);
    expect(failure.message).toBe(
      `Get "${registry.origin}/v2/": unauthorized: incorrect username or password`,
    );
    expect(everythingOf(failure)).not.toContain("guess-work");
  });

  test("Basic credentials that are refused are told in Docker's words", async () => {
    await using registry = serve(
      (asked) => (asked.headers.get("authorization") === basic ? json({}) : unauthorized('Basic realm="x"')),
      { root: true },
    );
    const registries = registriesFor();
    expect((await registries.login({ ...user, serveraddress: registry.host })).Status).toBe(
      "Login Succeeded",
    );
    const failure = await failureOf(
      registries.login({ username: "alice", password: "guess-work", serveraddress: registry.host }),
    );
    expect(failure).toBeInstanceOf(Unauthorized);
    expect(failure.message).toBe(
      `login attempt to ${registry.origin}/v2/ failed with status: 401 Unauthorized`,
    );
  });
});

const missing = missingForCertificates();
if (missing !== undefined) console.error(`SKIPPED: test/registry: the client and certificates: ${missing}`);

describe.skipIf(missing !== undefined)("certificates (openssl)", () => {
  /** A registry behind TLS that counts as secure would need a name that is not loopback, so the list is what makes the
   * difference here: the client's own directories. */
  test("the authority in certs.d vouches for a server; without it the server is unknown", async () => {
    using directory = scratch();
    const certificates = await makeCertificates(directory.path);
    const { Trust } = await import("../../src/registry/client/certificates.ts");
    const { Http } = await import("../../src/registry/client/http.ts");
    const { usualPatience } = await import("../../src/registry/client/patience.ts");
    await using server = serve(() => json({}), { tls: { cert: certificates.cert, key: certificates.key } });
    const places = join(directory.path, "certs.d");
    const httpWith = (certificateDirectories: string[]) =>
      new Http({
        proxies: {},
        trust: new Trust({ certificateDirectories }),
        userAgent: "davit/test",
        patience: usualPatience,
      });
    const request = { method: "GET" as const, url: new URL(`${server.origin}/x`), headers: {} };
    const unknown = await failureOf(httpWith([places]).send(request, true));
    expect(unknown.message).toBe(
      `Get "${server.origin}/x": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    );
    expect((await httpWith([places]).send(request, false)).status).toBe(200);
    mkdirSync(join(places, server.host), { recursive: true });
    writeFileSync(join(places, server.host, "ca.crt"), certificates.authority);
    expect((await httpWith([places]).send(request, true)).status).toBe(200);
    // A connection that was made without looking is not taken for one that was checked.
    expect((await failureOf(httpWith([]).send(request, true))).message).toContain("unknown authority");
  });

  test("a client certificate is shown to the registry that wants one", async () => {
    using directory = scratch();
    const certificates = await makeCertificates(directory.path);
    const { cert, key, authority } = certificates;
    await using server = serve(() => manifestAnswer(), { tls: { cert, key, ca: authority } });
    const places = join(directory.path, "certs.d");
    const own = join(places, server.host);
    mkdirSync(own, { recursive: true });
    const repository = (config: { certificateDirectories: string[] }) =>
      registriesFor(config, { attempts: 1 }).repository({ domain: server.host, path: "a" });
    await failureOf(repository({ certificateDirectories: [places] }).manifest("latest"));
    expect(server.asked).toEqual([]);
    writeFileSync(join(own, "client.cert"), certificates.clientCert);
    const noKey = await failureOf(repository({ certificateDirectories: [places] }).manifest("latest"));
    expect(noKey.message).toBe(
      "missing key client.key for client certificate client.cert. CA certificates must use the extension .crt",
    );
    writeFileSync(join(own, "client.key"), certificates.clientKey);
    await repository({ certificateDirectories: [places] }).manifest("latest");
    expect(server.lines()).toEqual(["GET /v2/a/manifests/latest"]);
  });

  test("SSL_CERT_FILE replaces the machine's authorities", async () => {
    using directory = scratch();
    const certificates = await makeCertificates(directory.path);
    const { Trust } = await import("../../src/registry/client/certificates.ts");
    const trust = new Trust({ certificateDirectories: [], certificateFile: join(directory.path, "ca.crt") });
    expect(trust.for("registry.example", true).ca).toEqual([certificates.authority]);
  });

  test("a registry over HTTPS cannot send us to a token server or a storage in the clear", async () => {
    using directory = scratch();
    const certificates = await makeCertificates(directory.path);
    const { Authorizer } = await import("../../src/registry/client/authorizer.ts");
    const { Http } = await import("../../src/registry/client/http.ts");
    const { Session } = await import("../../src/registry/client/session.ts");
    const { Trust } = await import("../../src/registry/client/certificates.ts");
    const { usualPatience } = await import("../../src/registry/client/patience.ts");
    await using plain = serve(() => json({ token: "stolen" }));
    const answers = [
      { answer: () => unauthorized(`Bearer realm="${plain.origin}/token"`), words: "over plain HTTP" },
      {
        answer: () => Response.redirect(`${plain.origin}/blob`, 302),
        words: "redirected from HTTPS to plain HTTP",
      },
    ];
    for (const { answer, words } of answers) {
      await using server = serve(answer, { tls: { cert: certificates.cert, key: certificates.key } });
      const trust = new Trust({
        certificateDirectories: [],
        certificateFile: join(directory.path, "ca.crt"),
      });
      const http = new Http({ proxies: {}, trust, userAgent: "davit/test", patience: usualPatience });
      // As for a registry that is not on loopback and in no list.
      const isInsecure = async () => false;
      const endpoint = { base: new URL(`${server.origin}/`), verify: true, isMirror: false };
      const authorizer = new Authorizer({ http, registry: endpoint.base, auth: user, isInsecure });
      const session = new Session({ endpoint, http, authorizer, isInsecure });
      const request = {
        method: "GET" as const,
        target: "v2/a/manifests/x",
        scopes: ["repository:a:pull"],
        expect: [200],
      };
      expect((await failureOf(session.request(request))).message).toContain(words);
    }
    expect(plain.asked).toEqual([]);
  });
});

test.skipIf(missingForCertificates() !== undefined)(
  "a registry over HTTPS is reached through a tunnel",
  async () => {
    using directory = scratch();
    const { cert, key } = await makeCertificates(directory.path);
    await using registry = serve(() => manifestAnswer(), { tls: { cert, key } });
    await using proxy = await serveRaw((socket, head) => {
      const [, target] = /^CONNECT (\S+) /.exec(head) ?? [];
      if (target !== "registry.invalid:443") {
        socket.destroy();
        return;
      }
      const far = connect(Number(registry.host.split(":")[1]), "127.0.0.1");
      far.on("error", () => socket.destroy());
      far.on("connect", () => {
        socket.removeAllListeners("data");
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        socket.pipe(far).pipe(socket);
      });
    });
    const config = {
      insecure: ["registry.invalid"],
      proxies: { https: `http://carol:proxy-word@${proxy.host}` },
    };
    const repository = registriesFor(config).repository({ domain: "registry.invalid", path: "a" }, user);
    expect((await repository.manifest("latest")).mediaType).toBe(mediaTypes.manifest);
    expect(registry.lines()).toEqual(["GET /v2/a/manifests/latest"]);
    expect(proxy.heads[0]).toContain(`Basic ${btoa("carol:proxy-word")}`);
    expect(registry.asked.every(({ headers }) => !headers.has("proxy-authorization"))).toBe(true);
  },
);

test("a proxy is used as the settings say, whatever the environment of the process says", async () => {
  await using proxy = serve(() => manifestAnswer());
  await using registry = serve(() => manifestAnswer());
  const before = process.env.HTTP_PROXY;
  process.env.HTTP_PROXY = `http://127.0.0.1:1`;
  try {
    await registriesFor().repository({ domain: registry.host, path: "a" }).manifest("latest");
    expect(registry.lines()).toEqual(["GET /v2/a/manifests/latest"]);
    expect(process.env.HTTP_PROXY).toBe("http://127.0.0.1:1");
    const viaProxy = registriesFor({ insecure: ["registry.invalid"], proxies: { http: proxy.origin } });
    await viaProxy.repository({ domain: "registry.invalid", path: "a" }).manifest("latest");
    expect(proxy.lines().at(-1)).toContain("/v2/a/manifests/latest");
    expect(proxy.asked.at(-1)?.headers.get("host")).toBe("registry.invalid");
  } finally {
    if (before === undefined) delete process.env.HTTP_PROXY;
    else process.env.HTTP_PROXY = before;
  }
});
