/** Real clients push to and pull from davit's registry: docker, podman, skopeo; plain, with passwords, with TLS. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openHtpasswd } from "../../src/registry/server/index.ts";
import { type Dockerd, missingForDockerd, startDockerd } from "../harness/dockerd.ts";
import { busyboxArchive, busyboxImage } from "../harness/images.ts";
import { startRegistry, temporaryDirectory, type World } from "./server-world.ts";

setDefaultTimeout(60_000);

for (const missing of [
  ...["skopeo", "podman"]
    .filter((name) => Bun.which(name) === null)
    .map((name) => `${name} is not installed`),
  missingForDockerd(),
]) {
  if (missing !== undefined) console.error(`SKIPPED: davit's registry with real clients: ${missing}`);
}

/** Runs a client to its end. @throws with what it said when it fails. */
async function run(words: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const child = Bun.spawn([...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
  const [out, problem] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (child.exitCode !== 0) throw new Error(`${words.join(" ")}: ${problem}${out}`);
  return out.trim();
}

const kinds = ["plain", "with passwords and TLS"] as const;

/** A registry of this kind, and what its clients need to get in. */
async function startKind(kind: (typeof kinds)[number], directory: string) {
  if (kind === "plain") return { world: await startRegistry(), login: [] };
  const users = join(directory, "users");
  const hash = await Bun.password.hash("pass:word", { algorithm: "bcrypt", cost: 4 });
  writeFileSync(users, `anna:${hash}\n`);
  const files = { cert: join(directory, "ca.crt"), key: join(directory, "tls.key") };
  await run([
    ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
    ...["-keyout", files.key, "-out", files.cert],
  ]);
  const world = await startRegistry({
    authenticator: openHtpasswd(users),
    tls: { cert: readFileSync(files.cert, "utf8"), key: readFileSync(files.key, "utf8") },
  });
  return { world, login: ["anna", "pass:word"] };
}

for (const kind of kinds) {
  describe(`a registry ${kind}`, () => {
    let directory = "";
    let world: World;
    let login: readonly string[] = [];
    let host = "";

    beforeAll(async () => {
      directory = temporaryDirectory();
      ({ world, login } = await startKind(kind, directory));
      host = new URL(world.address).host;
    });
    afterAll(async () => {
      await world[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    });

    test.skipIf(Bun.which("skopeo") === null)("skopeo", async () => {
      const credentials = login.length === 0 ? [] : [login.join(":")];
      const flags = (side: string) => credentials.flatMap((text) => [`--${side}creds`, text]);
      const archive = `docker-archive:${await busyboxArchive()}`;
      const skopeo = ["skopeo", "--insecure-policy"];
      const image = `docker://${host}/skopeo/busybox:1`;
      await run([...skopeo, "copy", "--dest-tls-verify=false", ...flags("dest-"), archive, image]);
      const inspected = JSON.parse(
        await run([...skopeo, "inspect", "--tls-verify=false", ...flags(""), image]),
      );
      expect(inspected.RepoTags).toEqual(["1"]);
      await run([
        ...[...skopeo, "copy", "--src-tls-verify=false", "--dest-tls-verify=false"],
        ...[...flags("src-"), ...flags("dest-"), "--format", "oci"],
        ...[image, `docker://${host}/skopeo/again:2`],
      ]);
      await run([
        ...[...skopeo, "copy", "--src-tls-verify=false", ...flags("src-")],
        ...[`docker://${host}/skopeo/again:2`, `dir:${join(directory, "skopeo")}`],
      ]);
      await run([...skopeo, "delete", "--tls-verify=false", ...flags(""), `docker://${host}/skopeo/again:2`]);
    });

    test.skipIf(Bun.which("podman") === null)("podman", async () => {
      const store = join(directory, "podman");
      mkdirSync(store);
      const podman = [
        ...["podman", "--root", join(store, "root"), "--runroot", join(store, "run")],
        ...["--tmpdir", join(store, "tmp"), "--storage-driver", "vfs"],
      ];
      const credentials = login.length === 0 ? [] : ["--creds", login.join(":")];
      await run([...podman, "load", "-q", "-i", await busyboxArchive()]);
      const image = `${host}/podman/busybox:1`;
      const id = await run([...podman, "image", "inspect", "-f", "{{.Id}}", busyboxImage]);
      await run([...podman, "push", "-q", "--tls-verify=false", ...credentials, busyboxImage, image]);
      await run([...podman, "rmi", "-a", "-f"]);
      await run([...podman, "pull", "-q", "--tls-verify=false", ...credentials, image]);
      expect(await run([...podman, "image", "inspect", "-f", "{{.Id}}", image])).toBe(id);
    });

    test.skipIf(missingForDockerd() !== undefined)(
      "docker",
      async () => {
        await using dockerd: Dockerd = await startDockerd({ hostNetwork: true });
        const docker = ["docker", "--config", join(directory, "docker"), "-H", dockerd.host];
        const image = `${host}/docker/busybox:1`;
        const id = await run([...docker, "image", "inspect", "-f", "{{.Id}}", busyboxImage]);
        await run([...docker, "tag", busyboxImage, image]);
        const [user, password] = login;
        if (user !== undefined && password !== undefined) {
          await expect(run([...docker, "push", image])).rejects.toThrow("no basic auth credentials");
          await expect(run([...docker, "login", "-u", user, "-p", "wrong", host])).rejects.toThrow("401");
          await run([...docker, "login", "-u", user, "-p", password, host]);
        }
        const pushed = await run([...docker, "push", image]);
        const digest = /digest: (sha256:[0-9a-f]{64})/.exec(pushed)?.[1] ?? "";
        await run([...docker, "tag", image, `${host}/docker/other:1`]);
        // The second repository has its layers by mounting.
        expect(await run([...docker, "push", `${host}/docker/other:1`])).toContain(
          "Mounted from docker/busybox",
        );
        await run([...docker, "rmi", image, `${host}/docker/other:1`, busyboxImage]);
        await run([...docker, "pull", `${host}/docker/busybox@${digest}`]);
        await run([...docker, "pull", image]);
        expect(await run([...docker, "image", "inspect", "-f", "{{.Id}}", image])).toBe(id);
        const found = await run([...docker, "search", "--format", "{{.Name}}", `${host}/docker/`]);
        if (login.length === 0) expect(found.split("\n")).toContain("docker/busybox");
      },
      120_000,
    );
  });
}
