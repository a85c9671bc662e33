/** Who may do what: passwords, tokens, TLS; and the pages for people. */
import { describe, expect, test } from "bun:test";
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  openHtpasswd,
  openTokenAuthentication,
  type RequestRecord,
} from "../../src/registry/server/index.ts";
import {
  bytesOf,
  codeOf,
  digestOf,
  pushBlob,
  pushImage,
  putManifest,
  startRegistry,
  temporaryDirectory,
} from "./server-world.ts";

function basic(user: string, password: string): { headers: { Authorization: string } } {
  return { headers: { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` } };
}

async function withUsers(act: (path: string) => Promise<void>): Promise<void> {
  const directory = temporaryDirectory();
  try {
    const path = join(directory, "users");
    const hash = await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 });
    // As htpasswd -B writes it.
    writeFileSync(path, `# people\nanna:${hash.replace("$2b$", "$2y$")}\n\n`);
    await act(path);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe("passwords", () => {
  test("are asked for everywhere, and wrong ones refused", async () => {
    await withUsers(async (path) => {
      await using world = await startRegistry({ authenticator: openHtpasswd(path, "test realm") });
      for (const place of [
        "/v2/",
        "/v2/_catalog",
        "/v1/search?q=x",
        "/",
        "/v2/a/tags/list",
        "/repositories/a",
      ]) {
        const response = await world.call(place);
        expect([place, response.status, await codeOf(response)]).toEqual([place, 401, "UNAUTHORIZED"]);
        expect(response.headers.get("www-authenticate")).toBe('Basic realm="test realm"');
      }
      for (const [user, password] of [
        ["anna", "wrong"],
        ["nobody", "secret"],
        ["anna", ""],
        ["", "secret"],
        ["anna", "secret\0"],
      ] as const) {
        expect((await world.call("/v2/", basic(user, password))).status).toBe(401);
      }
      for (const authorization of ["Basic", "Basic %%%", "Bearer abc", "anna:secret"]) {
        expect((await world.call("/v2/", { headers: { Authorization: authorization } })).status).toBe(401);
      }
      expect((await world.call("/v2/", basic("anna", "secret"))).status).toBe(200);
      const push = await world.call("/v2/a/blobs/uploads/", { method: "POST", ...basic("anna", "secret") });
      expect(push.status).toBe(202);
    });
  });

  test("a changed file counts at once", async () => {
    await withUsers(async (path) => {
      await using world = await startRegistry({ authenticator: openHtpasswd(path) });
      expect((await world.call("/v2/", basic("anna", "secret"))).status).toBe(200);
      const hash = await Bun.password.hash("other", { algorithm: "bcrypt", cost: 4 });
      writeFileSync(path, `anna:${hash}\nbert:${hash}\n`);
      expect((await world.call("/v2/", basic("anna", "secret"))).status).toBe(401);
      expect((await world.call("/v2/", basic("bert", "other"))).status).toBe(200);
    });
  });

  test("a file with other hashes than bcrypt is refused, with the line and the way out", async () => {
    await withUsers(async (path) => {
      writeFileSync(path, `${readFileSync(path, "utf8")}carl:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n`);
      expect(() => openHtpasswd(path)).toThrow(/line 4 is not user:bcrypt.*htpasswd -B/);
    });
  });

  test("never stand in the log", async () => {
    await withUsers(async (path) => {
      const records: RequestRecord[] = [];
      await using world = await startRegistry({
        authenticator: openHtpasswd(path),
        log: (record) => records.push(record),
      });
      await world.call("/v2/_catalog?n=1\nforged", basic("anna", "secret"));
      expect(records).toHaveLength(1);
      expect(records[0]).toMatchObject({ user: "anna", status: 400, method: "GET", remote: "127.0.0.1" });
      const text = JSON.stringify(records);
      expect(text).not.toContain("secret");
      expect(text).not.toContain(Buffer.from("anna:secret").toString("base64"));
    });
  });
});

interface TokenFields {
  header?: object;
  claims?: object;
  key: KeyObject;
  algorithm?: "RS256" | "ES256";
}

function token({ header = {}, claims = {}, key, algorithm = "ES256" }: TokenFields): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const head = encode({ alg: algorithm, typ: "JWT", ...header });
  const body = encode({ iss: "issuer", aud: "registry", exp: now + 300, nbf: now - 10, ...claims });
  const data = Buffer.from(`${head}.${body}`);
  const signature =
    algorithm === "RS256"
      ? sign("sha256", data, key)
      : sign("sha256", data, { key, dsaEncoding: "ieee-p1363" });
  return `${head}.${body}.${signature.toString("base64url")}`;
}

function bearer(text: string) {
  return { headers: { Authorization: `Bearer ${text}` } };
}

function access(name: string, ...actions: string[]) {
  return { access: [{ type: "repository", name, actions }] };
}

describe("tokens", () => {
  const elliptic = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keySet = JSON.stringify({
    keys: [
      { ...elliptic.publicKey.export({ format: "jwk" }), kid: "ec" },
      { ...rsa.publicKey.export({ format: "jwk" }), kid: "rsa" },
    ],
  });
  const authenticator = () =>
    openTokenAuthentication({
      realm: "https://auth.example.com/token",
      service: "registry",
      issuer: "issuer",
      keySet,
    });

  test("are asked for with the scope that is needed", async () => {
    await using world = await startRegistry({ authenticator: authenticator() });
    const challenge = async (path: string, method = "GET") =>
      (await world.call(path, { method })).headers.get("www-authenticate");
    const realm = 'Bearer realm="https://auth.example.com/token",service="registry"';
    expect(await challenge("/v2/")).toBe(realm);
    expect(await challenge("/v2/a/b/manifests/1")).toBe(`${realm},scope="repository:a/b:pull"`);
    expect(await challenge("/v2/a/b/blobs/uploads/", "POST")).toBe(
      `${realm},scope="repository:a/b:pull,push"`,
    );
    expect(await challenge("/v2/a/b/manifests/1", "DELETE")).toBe(`${realm},scope="repository:a/b:delete"`);
    expect(await challenge("/v2/_catalog")).toBe(`${realm},scope="registry:catalog:*"`);
  });

  test("allow what they say and nothing else", async () => {
    await using world = await startRegistry({ authenticator: authenticator() });
    for (const [algorithm, key, kid] of [
      ["ES256", elliptic.privateKey, "ec"],
      ["RS256", rsa.privateKey, "rsa"],
    ] as const) {
      const may = bearer(token({ key, algorithm, header: { kid }, claims: access("mine", "pull", "push") }));
      expect((await world.call("/v2/", may)).status).toBe(200);
      expect((await world.call("/v2/mine/blobs/uploads/", { method: "POST", ...may })).status).toBe(202);
      for (const [path, method] of [
        ["/v2/yours/tags/list", "GET"],
        ["/v2/mine/manifests/1", "DELETE"],
        ["/v2/_catalog", "GET"],
      ] as const) {
        const refused = await world.call(path, { method, ...may });
        expect(refused.status).toBe(401);
        expect(refused.headers.get("www-authenticate")).toContain('error="insufficient_scope"');
      }
    }
    const catalog = { access: [{ type: "registry", name: "catalog", actions: ["*"] }] };
    const lists = bearer(token({ key: elliptic.privateKey, claims: catalog }));
    expect((await world.call("/v2/_catalog", lists)).status).toBe(200);
  });

  test("that are forged, old, early or for others are refused", async () => {
    await using world = await startRegistry({ authenticator: authenticator() });
    const now = Math.floor(Date.now() / 1000);
    const key = elliptic.privateKey;
    const good = token({ key });
    expect((await world.call("/v2/", bearer(good))).status).toBe(200);
    const [head, body, signature] = good.split(".");
    const none = Buffer.from('{"alg":"none"}').toString("base64url");
    const hs256 = Buffer.from('{"alg":"HS256","kid":"rsa"}').toString("base64url");
    const mac = createHash("sha256").update(`${hs256}.${body}`).digest("base64url");
    const bad = [
      token({ key: stranger.privateKey }),
      token({ key: stranger.privateKey, header: { kid: "ec" } }),
      token({ key, header: { kid: "unknown" } }),
      token({ key, header: { kid: "rsa" } }),
      token({ key, claims: { exp: now - 100 } }),
      token({ key, claims: { exp: undefined } }),
      token({ key, claims: { nbf: now + 100 } }),
      token({ key, claims: { iss: "other" } }),
      token({ key, claims: { aud: ["other"] } }),
      token({ key, claims: { access: "all" } }),
      token({ key, header: { x5c: ["AAAA"] } }),
      `${none}.${body}.`,
      `${none}.${body}.AA`,
      `${hs256}.${body}.${mac}`,
      `${head}.${body}`,
      `${head}.${Buffer.from('{"iss":"issuer"}').toString("base64url")}.${signature}`,
      "x".repeat(20_000).slice(0, 9000),
      "..",
    ];
    for (const text of bad) {
      const response = await world.call("/v2/", bearer(text));
      expect([text.slice(0, 40), response.status]).toEqual([text.slice(0, 40), 401]);
    }
  });

  test("are verified by certificates: by key id, and by the chain in the token", async () => {
    const directory = temporaryDirectory();
    try {
      const openssl = (...words: string[]) => {
        const run = Bun.spawnSync(["openssl", ...words], { cwd: directory });
        if (run.exitCode !== 0) throw new Error(run.stderr.toString());
      };
      const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
      openssl("req", "-x509", ...ec, "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=root");
      openssl(
        "req",
        ...ec.slice(0, 4),
        "-nodes",
        "-keyout",
        "leaf.key",
        "-out",
        "leaf.csr",
        "-subj",
        "/CN=leaf",
      );
      openssl(
        ...["x509", "-req", "-in", "leaf.csr", "-CA", "root.pem", "-CAkey", "root.key"],
        ...["-CAcreateserial", "-days", "2", "-out", "leaf.pem"],
      );
      openssl("req", "-x509", ...ec, "-keyout", "other.key", "-out", "other.pem", "-subj", "/CN=root");
      const read = (name: string) => readFileSync(join(directory, name), "utf8");
      const der = (name: string) =>
        read(name)
          .replace(/-----[^-]+-----/g, "")
          .replace(/\s/g, "");
      const { createPrivateKey } = await import("node:crypto");
      await using world = await startRegistry({
        authenticator: openTokenAuthentication({
          realm: "https://auth.example.com",
          service: "registry",
          issuer: "issuer",
          rootCertificates: read("root.pem"),
        }),
      });
      const ask = async (keyFile: string, header: object) => {
        const key = createPrivateKey(read(keyFile));
        return (await world.call("/v2/", bearer(token({ key, header })))).status;
      };
      expect(await ask("root.key", {})).toBe(200);
      expect(await ask("leaf.key", { x5c: [der("leaf.pem")] })).toBe(200);
      expect(await ask("leaf.key", { x5c: [der("leaf.pem"), der("root.pem")] })).toBe(200);
      expect(await ask("leaf.key", {})).toBe(401);
      expect(await ask("root.key", { x5c: [der("leaf.pem")] })).toBe(401);
      expect(await ask("other.key", { x5c: [der("other.pem")] })).toBe(401);
      expect(await ask("leaf.key", { x5c: [der("leaf.pem"), der("other.pem")] })).toBe(401);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test("a blob is mounted only from where the token may pull", async () => {
    await using world = await startRegistry();
    const digest = await pushBlob(world, "private", bytesOf("theirs"));
    await world.restart({ authenticator: authenticator() });
    const both = [
      { type: "repository", name: "mine", actions: ["pull", "push"] },
      { type: "repository", name: "private", actions: ["pull"] },
    ];
    const mount = async (claims: object, query: string) => {
      const may = bearer(token({ key: elliptic.privateKey, claims }));
      return (await world.call(`/v2/mine/blobs/uploads/?${query}`, { method: "POST", ...may })).status;
    };
    const mine = access("mine", "pull", "push");
    expect(await mount(mine, `mount=${digest}&from=private`)).toBe(202);
    expect(await mount(mine, `mount=${digest}`)).toBe(202);
    expect(await mount({ access: both }, `mount=${digest}&from=private`)).toBe(201);
  });
});

describe("pages", () => {
  test("show repositories, tags and layers, escaped, with nothing from elsewhere", async () => {
    await using world = await startRegistry();
    await pushImage(world, "team/web", "v1", [new Uint8Array(2_500_000)]);
    const evil = '<script>alert("x")</script>';
    const config = bytesOf("{}");
    await pushBlob(world, "team/web", config);
    const manifest = JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: `application/${evil}`, digest: digestOf(config), size: 2 },
      layers: [],
    });
    const type = "application/vnd.oci.image.manifest.v1+json";
    expect((await putManifest(world, "team/web", "evil", manifest, type)).status).toBe(201);
    const read = async (path: string) => {
      const response = await world.call(path);
      expect(response.headers.get("content-type")).toBe("text/html;charset=utf-8");
      expect(response.headers.get("content-security-policy")).toStartWith("default-src 'none'");
      const text = await response.text();
      expect(text).not.toContain("<script");
      expect(text).not.toMatch(/(src|href)="(https?:)?\/\//);
      return text;
    };
    expect(await read("/")).toContain('<a href="/repositories/team/web">team/web</a>');
    const repository = await read("/repositories/team/web");
    expect(repository).toContain('<a href="/repositories/team/web:v1">v1</a>');
    expect(repository).toContain("2.50 MB");
    expect(await read("/repositories/team/web:v1")).toContain("application/vnd.oci.image.layer.v1.tar");
    expect(await read("/repositories/team/web:evil")).toContain("&#60;script&#62;");
    expect((await world.call("/repositories/nobody")).status).toBe(404);
    expect((await world.call("/repositories/team/web:none")).status).toBe(404);
  });
});
