/** What davit has and docker has not: layers, diff, copy between places, and the check of the store. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  type DockerRegistry,
  missingForDockerRegistry,
  startDockerRegistry,
} from "../harness/docker-registry.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";

const missing = missingForDockerRegistry();
if (missing !== undefined) console.error(`SKIPPED: copies from and to a registry: ${missing}`);
setDefaultTimeout(60_000);

const image = "davit-busybox";
let davit: DavitInstance;

beforeAll(async () => {
  davit = await newInstance();
  // Two images that differ in what they hold: one file more, one larger, one less.
  const root = (name: string, files: Record<string, string>) => {
    const directory = join(davit.directory, name);
    mkdirSync(directory);
    for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text);
    const archive = `${directory}.tar`;
    Bun.spawnSync(["tar", "-cf", archive, "-C", directory, "."]);
    return archive;
  };
  await davit.output(["import", root("one", { same: "x", grows: "1", goes: "12345" }), "one:1"]);
  await davit.output(["import", root("two", { same: "x", grows: "1234", comes: "123" }), "two:1"]);
});

afterAll(async () => {
  await davit?.[Symbol.asyncDispose]();
});

test("image layers tells what each layer holds", async () => {
  const lines = (await davit.output(["image", "layers", "one:1"])).split("\n");
  expect(lines[0]).toMatch(/^LAYER +SIZE +UNPACKED +ADDED +CHANGED +REMOVED +WASTED +CREATED BY$/);
  expect(lines[1]).toMatch(/^[0-9a-f]{12} +[\d.]+k?B +7B +\d +0 +0 +0B /);
  expect(lines.slice(2)).toEqual([
    "",
    expect.stringMatching(/^1 layer, .*, 7B unpacked, 0B of it wasted \(0%\)$/),
  ]);
  expect(await davit.output(["image", "layers", "-q", "--no-trunc", "one:1"])).toMatch(
    /^sha256:[0-9a-f]{64}$/,
  );
  expect(await davit.output(["image", "layers", "--format", "{{.UnpackedSize}}", "one:1"])).toBe("7B");
  const json: unknown = JSON.parse(await davit.output(["image", "layers", "--format", "json", "one:1"]));
  expect(json).toMatchObject({ Wasted: "0B", UnpackedSize: "7B" });
  expect(await davit.run(["image", "layers", "nosuch"])).toEqual({
    code: 1,
    stdout: "",
    stderr: "Error response from daemon: No such image: nosuch:latest\n",
  });
});

test("image diff tells the paths in which two images differ", async () => {
  expect(await davit.output(["image", "diff", "one:1", "two:1"])).toBe(
    "A /comes +3\nD /goes -5\nC /grows +3",
  );
  expect(await davit.output(["image", "diff", "one:1", "one:1"])).toBe("");
  const table = (await davit.output(["image", "diff", "--format", "table", "one:1", "two:1"])).split("\n");
  expect(table.map((line) => line.split(/ {2,}/))).toEqual([
    ["KIND", "PATH", "BEFORE", "AFTER"],
    ["added", "/comes", "0B", "3B"],
    ["removed", "/goes", "5B", "0B"],
    ["changed", "/grows", "1B", "4B"],
  ]);
});

test("image copy moves an image between any two places", async () => {
  const at = (name: string) => join(davit.directory, name);
  const copy = (...args: string[]) => davit.output(["image", "copy", "-q", ...args]);
  const digest = await copy(image, `oci:${at("layout")}:1`);
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(await copy(`oci:${at("layout")}:1`, `oci-archive:${at("oci.tar")}`)).toBe(digest);
  await copy(`oci-archive:${at("oci.tar")}`, `docker-archive:${at("docker.tar")}:back:1`);
  await copy(`docker-archive:${at("docker.tar")}`, "back:1");
  const ids = await davit.output(["inspect", "-f", "{{.Id}}", image, "back:1"]);
  expect(new Set(ids.split("\n")).size).toBe(1);
  await davit.output(["rmi", "back:1"]);
});

test("image copy packs nothing on its way to and from this engine", async () => {
  const at = (name: string) => join(davit.directory, name);
  const env = { TMPDIR: at("scratch") };
  const digest = await davit.output(["image", "copy", "-q", image, `dir:${at("direct")}`], { env });
  expect(await davit.output(["image", "copy", "-q", `dir:${at("direct")}`, "direct:1"], { env })).toBe(
    digest,
  );
  expect(existsSync(at("scratch"))).toBe(false);
  const ids = await davit.output(["inspect", "-f", "{{.Id}}", image, "direct:1"]);
  expect(new Set(ids.split("\n")).size).toBe(1);
  await davit.output(["rmi", "direct:1"]);
});

test.skipIf(missing !== undefined)("image copy reaches registries, and says how far it is", async () => {
  await using registry: DockerRegistry = await startDockerRegistry();
  const name = `${registry.host}/tools/busybox:1`;
  const copied = await davit.output(["image", "copy", image, `docker://${name}`]);
  expect(copied).toMatch(/^[0-9a-f]{12}: Copied\nCopied sha256:[0-9a-f]{64}$/);
  const [digest] = copied.match(/sha256:[0-9a-f]{64}/) ?? [];
  expect(await davit.output(["pull", name])).toContain(`Digest: ${digest}\n`);
  await davit.output(["rmi", name]);
});

test.each([
  [["nosuch", "oci:/nonexistent/x"], "No such image: nosuch:latest\n"],
  [["--format", "x", "a", "b"], 'invalid format "x": must be "oci" or "docker"\n'],
  [
    ["--all", "--platform", "linux/amd64", "a", "b"],
    "conflicting options: cannot specify both --all and --platform\n",
  ],
  [["docker:busybox", "b"], 'docker: image reference "busybox" does not start with //\n'],
])("image copy %j is refused in words", async (args, words) => {
  expect(await davit.run(["image", "copy", ...args])).toEqual({ code: 1, stdout: "", stderr: words });
});

test("system check names a damaged blob and who needs it, until it is whole again", async () => {
  expect(await davit.output(["system", "check"])).toMatch(
    /^Checked \d+ blobs and \d+ layers, .*: no damage found$/,
  );
  const [layer = ""] = (await davit.output(["image", "layers", "-q", "--no-trunc", "two:1"])).split("\n");
  const blob = join(davit.instance.dataRoot, "content", "blobs", "sha256", layer.replace("sha256:", ""));
  expect(readdirSync(join(blob, ".."))).toContain(layer.replace("sha256:", ""));
  const before = readFileSync(blob);
  truncateSync(blob, statSync(blob).size - 1);
  const found = await davit.run(["system", "check"]);
  expect(found.code).toBe(1);
  expect(found.stdout).toContain(`blob ${layer}: `);
  expect(found.stdout).toContain("needed by two:1\n");
  expect(found.stdout).toMatch(/: 1 damaged\n$/);
  const json = await davit.run(["system", "check", "--format", "json"]);
  expect(JSON.parse(json.stdout)).toMatchObject({ Faults: [{ Kind: "blob", ID: layer, Repaired: false }] });
  writeFileSync(blob, before);
  expect((await davit.run(["system", "check", "--repair"])).code).toBe(0);
});

test.skipIf(missing !== undefined)(
  "image prune -a takes what was pulled by all its names, and spares what is used",
  async () => {
    await using registry: DockerRegistry = await startDockerRegistry();
    const name = `${registry.host}/tools/busybox:1`;
    await davit.output(["tag", image, name]);
    await davit.output(["push", "-q", name]);
    await davit.output(["rmi", name, image]);
    await davit.output(["pull", "-q", name]);
    await davit.output(["create", "--name", "user", "one:1", "x"]);
    const pruned = await davit.output(["image", "prune", "-af"]);
    expect(pruned).toMatch(/^Deleted Images:\n/);
    expect(pruned).toContain(`\nuntagged: ${name}\n`);
    expect(await davit.output(["images", "--format", "{{.Repository}}:{{.Tag}}"])).toBe("one:1");
    await davit.output(["rm", "user"]);
  },
);
