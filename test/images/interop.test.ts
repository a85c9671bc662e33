/** Archives travel between davit, Docker, Podman and skopeo in every direction, and stay the same images. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { inspectImage } from "../../src/images/inspect.ts";
import { saveImages } from "../../src/images/save.ts";
import { type Dockerd, missingForDockerd, startDockerd } from "../harness/dockerd.ts";
import { buildImage, dockerArchive, load, type TestStore, testStore } from "./support.ts";
import { tar } from "./tar.ts";

const layers = [
  tar([
    { name: "etc/", type: "5" },
    { name: "etc/motd", data: "hello" },
    { name: "bin/", type: "5" },
    { name: "bin/sh", data: "#!", mode: 0o4755 },
    { name: "bin/ash", type: "1", link: "bin/sh" },
    { name: "sh", type: "2", link: "/bin/sh" },
  ]),
  tar([{ name: "etc/.wh.motd" }, { name: "etc/issue", data: "davit" }]),
];
const config = { Env: ["A=b"], Labels: { a: "b" }, ExposedPorts: { "80/tcp": {} } };
const plain = { layers, tags: ["interop:1", "localhost:5000/x/interop:2"], config };
const { id } = buildImage(plain);

async function save(store: TestStore, path: string, ...references: string[]): Promise<void> {
  await Bun.write(path, Buffer.concat(await Array.fromAsync(saveImages(store, references))));
}

async function run(...command: string[]): Promise<string> {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [out, fault] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${fault}`);
  return out.trim();
}

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "davit-test-interop-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const missingDocker = missingForDockerd();
if (missingDocker !== undefined) console.warn(`SKIPPED: archives to and from Docker: ${missingDocker}`);
describe.skipIf(missingDocker !== undefined)("Docker", () => {
  let dockerd: Dockerd;
  const docker = (...command: string[]) => run("docker", "-H", dockerd.host, ...command);
  beforeAll(async () => {
    dockerd = await startDockerd();
  }, 90_000);
  afterAll(async () => {
    await dockerd?.[Symbol.asyncDispose]();
  });

  for (const [name, pack] of [
    ["plain", undefined],
    // zstd too, but only since version 23: Podman and skopeo stand in below.
    ["gzip", gzipSync],
  ] as const) {
    test(`loads what davit saves with ${name} layers, and davit what Docker saves of it`, async () => {
      await using here = testStore();
      await using there = testStore();
      await load(
        here,
        dockerArchive(pack === undefined ? plain : { ...plain, pack: (layer) => pack(layer) }),
      );
      const [ours, theirs] = [join(directory, `${name}-ours.tar`), join(directory, `${name}-theirs.tar`)];
      await save(here, ours, ...plain.tags);
      expect((await docker("load", "-i", ours)).split("\n").sort()).toEqual(
        plain.tags.map((tag) => `Loaded image: ${tag}`).sort(),
      );
      expect(await docker("image", "inspect", "--format", "{{.Id}}", plain.tags[1] ?? "")).toBe(id);
      await docker("save", "-o", theirs, ...plain.tags);
      expect(await load(there, readFileSync(theirs))).toEqual(
        plain.tags.map((tag) => `Loaded image: ${tag}`),
      );
      expect((await inspectImage(there, "interop:1")).Id).toBe(id);
      await docker("rmi", ...plain.tags);
    });
  }
});

const missingPodman = ["podman", "skopeo"].filter((program) => Bun.which(program) === null);
if (missingPodman.length > 0)
  console.warn(`SKIPPED: archives to and from ${missingPodman.join(", ")}: not installed`);
describe.skipIf(missingPodman.length > 0)("Podman and skopeo", () => {
  const podman = (...command: string[]) =>
    run(
      "podman",
      ...["--root", join(directory, "root"), "--runroot", join(directory, "run"), "--storage-driver", "vfs"],
      ...command,
    );

  test("load what davit saves, and davit what Podman saves in either format", async () => {
    await using here = testStore();
    await load(here, dockerArchive(plain));
    const ours = join(directory, "podman-ours.tar");
    await save(here, ours, "interop:1");
    await podman("load", "-i", ours);
    expect(`sha256:${await podman("image", "inspect", "--format", "{{.Id}}", "interop:1")}`).toBe(id);
    for (const format of ["oci-archive", "docker-archive"]) {
      await using there = testStore();
      const theirs = join(directory, `podman-${format}.tar`);
      await podman("save", "--format", format, "-o", theirs, "interop:1");
      const [line = ""] = await load(there, readFileSync(theirs));
      expect(line).toMatch(/^Loaded image: (docker\.io\/library\/|localhost\/)?interop:1$/);
      const image = await inspectImage(there, line.slice("Loaded image: ".length));
      expect(image.RootFS.Layers).toEqual(buildImage(plain).diffIds);
      expect(image.Config).toMatchObject({ Cmd: ["sh"], ...config });
    }
    await podman("rmi", "--all", "--force");
  });

  test("skopeo reads an archive of davit as OCI and as docker-archive, and davit what skopeo writes", async () => {
    await using here = testStore();
    await using there = testStore();
    await load(here, dockerArchive({ ...plain, pack: (layer) => zstdCompressSync(layer) }));
    const ours = join(directory, "skopeo-ours.tar");
    await save(here, ours, "interop:1");
    for (const source of [`oci-archive:${ours}`, `docker-archive:${ours}:interop:1`]) {
      const image = JSON.parse(await run("skopeo", "inspect", "--config", source));
      expect(image.rootfs.diff_ids).toEqual(buildImage(plain).diffIds);
    }
    const theirs = join(directory, "skopeo-theirs.tar");
    await run("skopeo", "copy", `oci-archive:${ours}`, `oci-archive:${theirs}:docker.io/library/copied:3`);
    expect(await load(there, readFileSync(theirs))).toEqual(["Loaded image: copied:3"]);
    expect((await inspectImage(there, "copied:3")).Id).toBe(id);
  });

  test("the content store itself is an OCI layout that skopeo reads", async () => {
    await using here = testStore();
    await load(here, dockerArchive({ layers, tags: ["interop:7"], config }));
    const image = JSON.parse(await run("skopeo", "inspect", "--config", `oci:${here.content.path}:7`));
    expect(image.rootfs.diff_ids).toEqual(buildImage(plain).diffIds);
  });
});
