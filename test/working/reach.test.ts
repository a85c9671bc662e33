/** What reaches registries (`--authfile`, `--cert-dir`), lists of images, terminals, `unshare`, and disk usage. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openHtpasswd } from "../../src/registry/server/index.ts";
import { makeCertificates, missingForCertificates } from "../registry/client-support.ts";
import { startRegistry, type World } from "../registry/server-world.ts";
import { openWorkbench, type Workbench } from "./workbench.ts";

setDefaultTimeout(60_000);

const image = "davit-busybox";
let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench();
  await bench.output("from", "--name", "keeper", image);
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

let count = 0;
async function container(base = image): Promise<string> {
  count += 1;
  return await bench.output("from", "--name", `reach-${count}`, base);
}

interface Index {
  readonly manifests: { readonly digest: string; readonly platform: { readonly architecture: string } }[];
}

/** What a name leads to, as it would go out. */
async function indexOf(name: string): Promise<Index> {
  const directory = join(mkdtempSync(join(bench.davit.directory, "layout-")), "oci");
  await bench.davit.output(["image", "copy", "--all", name, `oci:${directory}`]);
  const read = (path: string) => JSON.parse(readFileSync(join(directory, path), "utf8"));
  const [root] = read("index.json").manifests;
  return read(`blobs/sha256/${root.digest.slice("sha256:".length)}`);
}

describe("commit --manifest", () => {
  test("makes a list, and adds each image with its platform", async () => {
    const work = await container("scratch");
    const first = await bench.output("commit", "-q", "--manifest", "list:1", work, "member:1");
    await bench.output("config", "--arch", "arm64", work);
    await bench.output("commit", "-q", "--manifest", "list:1", work);
    const { manifests } = await indexOf("list:1");
    expect(manifests.map(({ platform }) => platform.architecture)).toEqual(["amd64", "arm64"]);
    const [found] = JSON.parse(await bench.davit.output(["image", "inspect", "member:1"]));
    expect(found.Id).toBe(`sha256:${first}`);
    expect((await bench.davit.run(["system", "check"])).stdout).toContain("no damage found");
  });

  test("adds all of several commits at the same time, and none twice", async () => {
    const works = await Promise.all([1, 2, 3].map(() => container("scratch")));
    for (const work of works) await bench.output("config", "--label", `name=${work}`, work);
    const commit = (work: string) =>
      bench.output("commit", "-q", "--timestamp", "0", "--manifest", "list:2", work);
    await Promise.all(works.map(commit));
    await commit(works[0] ?? "");
    expect((await indexOf("list:2")).manifests).toHaveLength(3);
  });

  test("takes no image for a list, and no image elsewhere", async () => {
    const work = await container("scratch");
    await bench.output("commit", "-q", work, "plain:1");
    for (const [words, message] of [
      [["--manifest", "plain:1", work], 'image name "docker.io/library/plain:1" is already associated with'],
      [["--manifest", "same:1", work, "same:1"], "cannot be the image and the list that it is in"],
      [["--manifest", "list:3", work, "oci:x"], "only an image that is here can be in a manifest list"],
    ] as const) {
      const { code, stderr } = await bench.run(["commit", "-q", ...words]);
      expect([code, stderr]).toEqual([125, expect.stringContaining(message)]);
    }
  });
});

describe("run --terminal without a terminal", () => {
  test("makes one: what comes in is typed, and its end ends the input", async () => {
    const work = await container();
    const words = [
      "run",
      "--network",
      "none",
      "-t",
      work,
      "--",
      "sh",
      "-c",
      "tty; read x; echo got $x; cat; sleep 1",
    ];
    const { code, stdout } = await bench.run(words, { stdin: "hi\nthere\n" });
    expect(code).toBe(0);
    expect(stdout).toContain("/dev/pts/0\r\n");
    expect(stdout).toContain("got hi\r\n");
    expect(stdout).not.toContain("not a tty");
  });

  test("shows everything, and exits with the program's status", async () => {
    const work = await container();
    const words = [
      "run",
      "--network",
      "none",
      "--tty",
      work,
      "--",
      "sh",
      "-c",
      "seq 1 20000; sleep 1; exit 4",
    ];
    const { code, stdout, stderr } = await bench.run(words, { stdin: "" });
    expect(code).toBe(4);
    const all = Array.from({ length: 20_000 }, (_, at) => `${at + 1}\r\n`).join("");
    expect(stdout.endsWith(all)).toBe(true);
    expect(stderr).toContain("Error: while running runtime: exit status 4");
  });
});

describe("unshare", () => {
  test("runs a command with our rights, and exits as it does", async () => {
    const { code, stdout } = await bench.run(["unshare", "--", "sh", "-c", "id -u; exit 3"]);
    expect([code, stdout]).toEqual([3, "0\n"]);
    expect((await bench.run(["unshare", "sh", "-c", "kill -9 $$"])).code).toBe(137);
    expect((await bench.run(["unshare", "/nonexistent"])).code).toBe(1);
  });

  test("mounts containers meanwhile", async () => {
    const work = await container();
    const script = 'echo "$ROOT"; test -e "$ROOT/bin/busybox"';
    const path = await bench.output("unshare", "--mount", `ROOT=${work}`, "sh", "-c", script);
    expect(path).toStartWith("/");
    expect(await bench.output("mount")).not.toContain(work);
    const { code, stderr } = await bench.run(["unshare", "-m", "nobody", "true"]);
    expect([code, stderr]).toEqual([125, 'Error: reading build container "nobody": container not known\n']);
  });

  test("leaves mounted what was mounted", async () => {
    const work = await container();
    const root = await bench.output("mount", work);
    expect(await bench.output("unshare", "-m", `X=${work}`, "sh", "-c", "echo $X")).toBe(root);
    expect(await bench.output("mount")).toContain(root);
    await bench.output("umount", work);
  });
});

test("system df counts what working containers have added", async () => {
  const work = await container();
  const root = await bench.output("mount", work);
  writeFileSync(join(root, "large"), Buffer.alloc(3_000_000, 1));
  await bench.output("umount", work);
  const rows = (await bench.davit.output(["system", "df", "--format", "json"])).split("\n");
  const row = rows.map((line) => JSON.parse(line)).find(({ Type }) => Type === "Containers");
  expect(Number(row.TotalCount)).toBeGreaterThanOrEqual(2);
  expect(Number.parseFloat(row.Size)).toBeGreaterThanOrEqual(3);
  expect(row.Size).toEndWith("MB");
  expect(await bench.davit.output(["system", "df", "-v"])).toContain(work);
});

/** A registry that knows one user. */
async function privateRegistry(): Promise<{ world: World; host: string }> {
  const file = join(mkdtempSync(join(bench.davit.directory, "users-")), "htpasswd");
  writeFileSync(file, `user:${Bun.password.hashSync("secret", { algorithm: "bcrypt", cost: 4 })}\n`);
  const world = await startRegistry({ authenticator: openHtpasswd(file) });
  return { world, host: new URL(world.address).host };
}

function authFile(auths: Record<string, string>): string {
  const path = join(mkdtempSync(join(bench.davit.directory, "auth-")), "auth.json");
  const entries = Object.entries(auths).map(([key, text]) => [key, { auth: btoa(text) }]);
  writeFileSync(path, JSON.stringify({ auths: Object.fromEntries(entries) }));
  return path;
}

describe("--authfile", () => {
  test("has the credentials for push, commit, pull and from", async () => {
    const { world, host } = await privateRegistry();
    await using _world = world;
    const file = authFile({ [host]: "user:secret" });
    const work = await container();
    expect((await bench.run(["push", image, `docker://${host}/team/one:1`])).code).toBe(125);
    await bench.output("push", "-q", "--authfile", file, image, `docker://${host}/team/one:1`);
    await bench.output("commit", "-q", "--authfile", file, work, `docker://${host}/team/two:1`);
    await bench.output("pull", "-q", "--authfile", file, `${host}/team/one:1`);
    // In the clear as well, which davit's own copy does.
    await bench.output("pull", "-q", "--tls-verify=false", "--authfile", file, `${host}/team/one:1`);
    expect((await bench.run(["from", "--pull=always", `${host}/team/two:1`])).code).toBe(125);
    const made = await bench.output("from", "-q", "--authfile", file, `${host}/team/two:1`);
    expect(made).toBe("two-working-container");
    const env = { REGISTRY_AUTH_FILE: file };
    expect((await bench.run(["pull", "-q", `${host}/team/two:1`], { env })).code).toBe(0);
  });

  test("may have other credentials for parts of a registry", async () => {
    const { world, host } = await privateRegistry();
    await using _world = world;
    const push = (file: string, name: string) =>
      bench.run(["push", "-q", "--authfile", file, image, `docker://${host}/${name}`]);
    const parts = authFile({ [host]: "user:wrong", [`${host}/team`]: "user:secret" });
    expect((await push(parts, "team/one:1")).code).toBe(0);
    expect((await push(parts, "teammate/one:1")).code).toBe(125);
    const only = authFile({ [`${host}/team/one`]: "user:secret" });
    expect((await push(only, "team/one:2")).code).toBe(0);
    expect((await push(only, "team/other:1")).code).toBe(125);
  });
});

const missing = missingForCertificates();
if (missing !== undefined) console.error(`SKIPPED: --cert-dir is not tried: ${missing}`);

describe.skipIf(missing !== undefined)("--cert-dir", () => {
  test("has the certificate that we show, for push, commit, pull and from", async () => {
    await using world = await startRegistry();
    const made = mkdtempSync(join(bench.davit.directory, "certificates-"));
    const { authority, cert, key } = await makeCertificates(made);
    const directory = mkdtempSync(join(bench.davit.directory, "cert-dir-"));
    for (const [name, from] of [
      ["ca.crt", "ca.crt"],
      ["client.cert", "client.crt"],
      ["client.key", "client.key"],
    ] as const) {
      writeFileSync(join(directory, name), readFileSync(join(made, from)));
    }
    // Asks whoever comes for a certificate.
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert, key, ca: authority, requestCert: true, rejectUnauthorized: true },
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        const { method, headers } = request;
        const body = ["GET", "HEAD"].includes(method) ? null : await request.arrayBuffer();
        return world.call(`${pathname}${search}`, { method, headers, body });
      },
    });
    try {
      const host = `127.0.0.1:${server.port}`;
      const work = await container();
      const flags = ["-q", "--cert-dir", directory];
      expect((await bench.run(["push", "-q", image, `docker://${host}/one:1`])).code).toBe(125);
      await bench.output("push", ...flags, image, `docker://${host}/one:1`);
      await bench.output("commit", ...flags, work, `docker://${host}/two:1`);
      await bench.output("pull", ...flags, `${host}/one:1`);
      expect(await bench.output("from", ...flags, `${host}/two:1`)).toStartWith("two-working-container");
    } finally {
      await server.stop(true);
    }
  });
});
