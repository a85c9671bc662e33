import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { InvalidParameter } from "../../src/core/errors.ts";
import { openCredentials } from "../../src/registry/credentials/index.ts";
import { failureOf, scratch } from "./client-support.ts";

const searchPath = process.env.PATH ?? "/usr/bin:/bin";
const alice = { username: "alice", password: "s3cret:word" };
const encoded = Buffer.from("alice:s3cret:word").toString("base64");

function room(config?: unknown) {
  const directory = scratch();
  const configDirectory = join(directory.path, "docker");
  const path = join(configDirectory, "config.json");
  if (config !== undefined) {
    mkdirSync(configDirectory);
    writeFileSync(path, typeof config === "string" ? config : JSON.stringify(config));
  }
  const open = (more = searchPath) => openCredentials({ configDirectory, searchPath: more });
  return {
    directory: directory.path,
    path,
    open,
    contents: () => JSON.parse(readFileSync(path, "utf8")),
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

describe("config.json", () => {
  test("keeps what is stored, for the owner's eyes only, as Docker writes it", async () => {
    using at = room();
    const credentials = at.open();
    expect(await credentials.get("localhost:5000")).toBeUndefined();
    expect(await credentials.store({ ...alice, serveraddress: "localhost:5000" })).toEqual({
      kind: "file",
      path: at.path,
    });
    expect(at.contents()).toEqual({ auths: { "localhost:5000": { auth: encoded } } });
    expect(statSync(at.path).mode & 0o777).toBe(0o600);
    expect(await at.open().get("localhost:5000")).toEqual({ ...alice, serveraddress: "localhost:5000" });
    expect(readdirSync(join(at.path, ".."))).toEqual(["config.json"]);
  });

  test("has Docker Hub under its index' address, whatever it is called", async () => {
    using at = room();
    const credentials = at.open();
    await credentials.store(alice);
    expect(Object.keys(at.contents().auths)).toEqual(["https://index.docker.io/v1/"]);
    for (const name of [
      "docker.io",
      "index.docker.io",
      "https://index.docker.io/v1/",
      "registry-1.docker.io",
    ]) {
      expect((await credentials.get(name))?.username).toBe("alice");
    }
    expect(await credentials.erase("docker.io")).toBe(true);
    expect(await credentials.erase("docker.io")).toBe(false);
    expect(await credentials.get("docker.io")).toBeUndefined();
  });

  test("keeps everything else that stands in it", async () => {
    const other = {
      HttpHeaders: { "X-Meta": "1" },
      proxies: { default: { httpProxy: "x" } },
      psFormat: "table {{.ID}}",
    };
    using at = room({ ...other, auths: { "other.example": { auth: encoded, email: "a@b" } } });
    await at.open().store({ ...alice, serveraddress: "localhost:5000" });
    await at.open().erase("localhost:5000");
    expect(at.contents()).toEqual({ ...other, auths: { "other.example": { auth: encoded, email: "a@b" } } });
  });

  test("an identity token takes the password's place", async () => {
    using at = room();
    await at.open().store({ ...alice, identitytoken: "refresh-1", serveraddress: "registry.example" });
    expect(at.contents().auths["registry.example"]).toEqual({
      auth: Buffer.from("alice:").toString("base64"),
      identitytoken: "refresh-1",
    });
    expect(await at.open().get("registry.example")).toEqual({
      username: "alice",
      password: "",
      identitytoken: "refresh-1",
      serveraddress: "registry.example",
    });
  });

  test("entries that old clients wrote with scheme and path are found by host", async () => {
    using at = room({ auths: { "https://registry.example/v1/": { auth: encoded } } });
    expect((await at.open().get("registry.example"))?.password).toBe("s3cret:word");
    expect((await at.open().get("https://registry.example/v2/"))?.password).toBe("s3cret:word");
    expect(await at.open().get("registry.example:5000")).toBeUndefined();
    expect(await at.open().erase("registry.example")).toBe(true);
    expect(at.contents()).toEqual({ auths: {} });
  });

  test("a symbolic link stays one", async () => {
    using at = room({});
    const real = join(at.directory, "real.json");
    writeFileSync(real, "{}");
    chmodSync(real, 0o644);
    await Bun.file(at.path).delete();
    symlinkSync(real, at.path);
    await at.open().store({ ...alice, serveraddress: "registry.example" });
    expect(JSON.parse(readFileSync(real, "utf8")).auths["registry.example"].auth).toBe(encoded);
    expect(statSync(real).mode & 0o777).toBe(0o600);
  });

  test("that is broken is told by file, line and column, and left as it is", async () => {
    using at = room('{\n  "auths": {\n    "x": {,}\n  }\n}');
    const failure = await failureOf(at.open().get("x"));
    expect(failure).toBeInstanceOf(InvalidParameter);
    expect(failure.message).toStartWith(`${at.path}:3:11: not valid JSON`);
    await failureOf(at.open().store({ ...alice, serveraddress: "x" }));
    expect(readFileSync(at.path, "utf8")).toContain("{,}");
    using wrong = room({ auths: { x: { auth: Buffer.from("no colon").toString("base64") } } });
    expect((await failureOf(wrong.open().get("x"))).message).toContain("Invalid auth configuration file");
    using list = room({ auths: [] });
    expect((await failureOf(list.open().get("x"))).message).toBe(`${list.path}: auths is not an object`);
  });

  test("names of registries are no paths into the object", async () => {
    using at = room({ auths: {} });
    expect(await at.open().get("__proto__")).toBeUndefined();
    expect(await at.open().get("constructor")).toBeUndefined();
    await at.open().store({ ...alice, serveraddress: "__proto__" });
    expect((await at.open().get("__proto__"))?.username).toBe("alice");
  });
});

/** A helper that keeps its credentials in files of a directory, one a server; it speaks the real protocol. */
function installHelper(directory: string, name: string): string {
  const bin = join(directory, "bin");
  const store = join(directory, `store-${name}`);
  mkdirSync(bin, { recursive: true });
  mkdirSync(store, { recursive: true });
  const script = `#!${process.execPath}
const { readFileSync, writeFileSync, rmSync, readdirSync, existsSync } = require("node:fs");
const input = readFileSync(0, "utf8");
const file = (server) => ${JSON.stringify(store)} + "/" + encodeURIComponent(server);
const missing = (server) => {
  if (!existsSync(file(server))) { console.log("credentials not found in native keychain"); process.exit(1); }
};
switch (process.argv[2]) {
  case "store": { const given = JSON.parse(input); writeFileSync(file(given.ServerURL), input); break; }
  case "get": missing(input.trim()); console.log(readFileSync(file(input.trim()), "utf8")); break;
  case "erase": missing(input.trim()); rmSync(file(input.trim())); break;
  case "list": console.log(JSON.stringify(Object.fromEntries(readdirSync(${JSON.stringify(store)}).map((name) =>
    [decodeURIComponent(name), JSON.parse(readFileSync(${JSON.stringify(store)} + "/" + name, "utf8")).Username])))); break;
  default: console.log("unknown verb"); process.exit(2);
}
`;
  writeFileSync(join(bin, `docker-credential-${name}`), script, { mode: 0o755 });
  return `${bin}:${searchPath}`;
}

describe("credential helpers", () => {
  test("keep what is stored, and nothing of it stands in the file", async () => {
    using at = room({ credsStore: "vault" });
    const credentials = at.open(installHelper(at.directory, "vault"));
    expect(await credentials.get("registry.example")).toBeUndefined();
    const place = await credentials.store({ ...alice, serveraddress: "registry.example" });
    expect(place).toEqual({ kind: "helper", program: "docker-credential-vault" });
    expect(at.contents()).toEqual({ credsStore: "vault", auths: { "registry.example": {} } });
    expect(await credentials.get("registry.example")).toEqual({
      ...alice,
      serveraddress: "registry.example",
    });
    expect(await credentials.all()).toEqual({
      "registry.example": { ...alice, serveraddress: "registry.example" },
    });
    expect(await credentials.erase("registry.example")).toBe(true);
    expect(await credentials.erase("registry.example")).toBe(false);
    expect(at.contents()).toEqual({ credsStore: "vault", auths: {} });
    expect(await credentials.get("registry.example")).toBeUndefined();
  });

  test("keep identity tokens under the user <token>", async () => {
    using at = room({ credsStore: "vault" });
    const credentials = at.open(installHelper(at.directory, "vault"));
    await credentials.store({
      username: "alice",
      identitytoken: "refresh-1",
      serveraddress: "registry.example",
    });
    const [file = ""] = readdirSync(join(at.directory, "store-vault"));
    expect(JSON.parse(readFileSync(join(at.directory, "store-vault", file), "utf8"))).toEqual({
      ServerURL: "registry.example",
      Username: "<token>",
      Secret: "refresh-1",
    });
    expect(await credentials.get("registry.example")).toEqual({
      identitytoken: "refresh-1",
      serveraddress: "registry.example",
    });
  });

  test("of a registry's own come before the general one, and the file serves the rest", async () => {
    using at = room({
      credHelpers: { "special.example": "vault" },
      auths: { "plain.example": { auth: encoded } },
    });
    const credentials = at.open(installHelper(at.directory, "vault"));
    await credentials.store({ username: "bob", password: "b", serveraddress: "special.example" });
    await credentials.store({ username: "carol", password: "c", serveraddress: "other.example" });
    expect((await credentials.get("special.example"))?.username).toBe("bob");
    expect((await credentials.get("plain.example"))?.username).toBe("alice");
    expect(readdirSync(join(at.directory, "store-vault"))).toEqual(["special.example"]);
    expect(Object.keys(await credentials.all()).sort()).toEqual([
      "other.example",
      "plain.example",
      "special.example",
    ]);
  });

  test("that are missing or fail are named, without what they said of secrets", async () => {
    using at = room({ credsStore: "nowhere" });
    expect((await failureOf(at.open().get("x"))).message).toBe(
      'error getting credentials - err: exec: "docker-credential-nowhere": executable file not found in $PATH, out: ``',
    );
    using evil = room({ credsStore: "../../bin/sh" });
    expect((await failureOf(evil.open().get("x"))).message).toContain("invalid name of a credential helper");
    using bad = room({ credsStore: "bad" });
    const bin = join(bad.directory, "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "docker-credential-bad"), "#!/bin/sh\necho 'secret-in-clear'\n", { mode: 0o755 });
    const failure = await failureOf(bad.open(`${bin}:${searchPath}`).get("x"));
    expect(failure.message).toBe("docker-credential-bad gave something that is not JSON");
    writeFileSync(join(bin, "docker-credential-bad"), "#!/bin/sh\necho 'vault is locked'\nexit 1\n", {
      mode: 0o755,
    });
    expect((await failureOf(bad.open(`${bin}:${searchPath}`).get("x"))).message).toBe(
      "error getting credentials - err: exit status 1, out: `vault is locked`",
    );
  });
});

describe.skipIf(!existsSync("/usr/bin/docker"))("real Docker's command line", () => {
  test("logs out of what we stored", async () => {
    using at = room();
    await at.open().store({ ...alice, serveraddress: "registry.example" });
    const logout = Bun.spawn(["/usr/bin/docker", "logout", "registry.example"], {
      env: { PATH: searchPath, DOCKER_CONFIG: join(at.path, "..") },
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await logout.stdout.text()).toContain("Removing login credentials for registry.example");
    expect(await at.open().get("registry.example")).toBeUndefined();
  });
});
