/** Commands that speak with registries say what docker's say, against the same dockerd and the same registry. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type DockerRegistry,
  missingForDockerRegistry,
  startDockerRegistry,
} from "../harness/docker-registry.ts";
import { type Dockerd, missingForDockerd, startDockerd } from "../harness/dockerd.ts";
import { busyboxArchive } from "../harness/images.ts";
import { both, missingForOracle, runCommand } from "./oracle.ts";

const missing = missingForDockerd() ?? missingForOracle() ?? missingForDockerRegistry();
if (missing !== undefined) console.error(`SKIPPED: registries, compared with the docker CLI: ${missing}`);

const image = "davit-busybox";
const user = { name: "alice", password: "secret word" };
const unknownDigest = `sha256:${"a".repeat(64)}`;
setDefaultTimeout(60_000);

let dockerd: Dockerd;
let open: DockerRegistry;
let guarded: DockerRegistry;
let index: Bun.Server<undefined>;
let directory: string;
let archive: string;

interface Example {
  args: readonly string[];
  stdin?: string;
  /** Commands in docker's hands before each of the two. */
  before?: readonly (readonly string[])[];
}

/** `OPEN`, `GUARDED` and `INDEX` stand for the registries' hosts. */
const examples: readonly Example[] = [
  { args: ["push", "OPEN/bb"], before: [["push", "OPEN/bb"]] },
  { args: ["push", "-q", "OPEN/bb:2"] },
  { args: ["push", "-a", "OPEN/bb"] },
  { args: ["push", "-a", "-q", "OPEN/bb"] },
  { args: ["push", "-a", "OPEN/bb:2"] },
  {
    args: ["push", "OPEN/other/name:1"],
    before: [
      ["tag", image, "OPEN/other/name:1"],
      ["push", "OPEN/other/name:1"],
    ],
  },
  { args: ["push", "OPEN/nosuch"] },
  { args: ["push", `OPEN/bb@${unknownDigest}`] },
  { args: ["push", "--platform", "linux/amd64", "OPEN/bb"] },
  { args: ["push", "--disable-content-trust", "OPEN/bb"] },
  { args: ["push", "Foo"] },
  { args: ["push", ""] },
  { args: ["push", "GUARDED/bb"] },
  { args: ["push", "127.0.0.1:1/bb"] },
  { args: ["pull", "OPEN/bb"], before: [["rmi", "OPEN/bb"]] },
  { args: ["pull", "OPEN/bb"] },
  { args: ["pull", "-q", "OPEN/bb:2"] },
  { args: ["pull", "-a", "OPEN/bb"] },
  { args: ["pull", "-a", "-q", "OPEN/bb"] },
  { args: ["pull", "-a", "OPEN/bb:2"] },
  { args: ["pull", "--platform", "linux/amd64", "OPEN/bb"] },
  { args: ["pull", "--platform", "linux/arm64", "OPEN/bb"] },
  { args: ["pull", "--platform", "x/y/z/a", "OPEN/bb"] },
  { args: ["pull", "OPEN/bb:nosuch"] },
  { args: ["pull", "OPEN/nosuch"] },
  { args: ["pull", "-q", "OPEN/nosuch"] },
  { args: ["pull", `OPEN/bb@${unknownDigest}`] },
  { args: ["pull", `OPEN/bb:2@${unknownDigest}`] },
  { args: ["pull", "GUARDED/bb"] },
  { args: ["pull", "127.0.0.1:1/bb"] },
  { args: ["pull", "Foo"] },
  { args: ["pull", ""] },
  { args: ["pull"] },
  { args: ["pull", "a", "b"] },
  { args: ["run", "--rm", "--network", "none", "OPEN/bb", "echo", "hi"], before: [["rmi", "OPEN/bb"]] },
  { args: ["run", "-q", "--rm", "--network", "none", "OPEN/bb", "echo"], before: [["rmi", "OPEN/bb"]] },
  { args: ["run", "--pull", "always", "--rm", "--network", "none", "OPEN/bb", "echo", "hi"] },
  { args: ["run", "--pull", "never", "OPEN/nosuch"] },
  { args: ["run", "--pull", "bogus", "OPEN/bb"] },
  { args: ["run", "OPEN/nosuch"] },
  { args: ["run", "-q", "OPEN/nosuch"] },
  { args: ["run", "GUARDED/bb"] },
  { args: ["run", "--rm", "--network", "none", "--platform", "linux/arm64", "OPEN/bb"] },
  { args: ["create", "--pull", "always", "--network", "none", "OPEN/bb"] },
  { args: ["create", "OPEN/nosuch"] },
  { args: ["login", "GUARDED"] },
  { args: ["login", "-u", "alice", "-p", "wrong", "GUARDED"] },
  { args: ["login", "-u", "alice", "-p", user.password, "GUARDED"], before: [["logout", "GUARDED"]] },
  { args: ["login", "-u", "alice", "-p", user.password, "GUARDED"] },
  { args: ["login", "GUARDED"] },
  { args: ["login", "-u", "alice", "-p", user.password, "https://GUARDED/v2/"] },
  { args: ["login", "-u", "alice", "--password-stdin", "GUARDED"], stdin: `${user.password}\r\n` },
  { args: ["login", "-u", "alice", "--password-stdin", "GUARDED"], stdin: "wrong" },
  { args: ["login", "-u", "alice", "--password-stdin", "GUARDED"], stdin: "" },
  { args: ["login", "-u", "bob", "-p", "x", "OPEN"], before: [["logout", "OPEN"]] },
  { args: ["login", "--password-stdin", "GUARDED"] },
  { args: ["login", "-p", "x", "--password-stdin", "GUARDED"] },
  { args: ["login", "-p", "x", "GUARDED"] },
  { args: ["login", "-u", "x", "GUARDED"] },
  { args: ["login", "-u", "x", "-p", "", "GUARDED"] },
  { args: ["login", "-u", "a", "-p", "b", "127.0.0.1:1"] },
  { args: ["login"] },
  { args: ["push", "GUARDED/bb"], before: [["push", "GUARDED/bb"]] },
  { args: ["pull", "GUARDED/bb"] },
  { args: ["logout", "GUARDED"], before: [["login", "-u", "alice", "-p", user.password, "GUARDED"]] },
  { args: ["logout", "GUARDED"] },
  { args: ["logout", "http://GUARDED/v2/"] },
  { args: ["logout"] },
  { args: ["pull", "GUARDED/bb"] },
  { args: ["search", "INDEX/tools"] },
  { args: ["search", "--no-trunc", "INDEX/tools"] },
  { args: ["search", "--limit", "2", "INDEX/tools"] },
  { args: ["search", "--filter", "is-official=true", "INDEX/tools"] },
  { args: ["search", "-f", "stars=5", "INDEX/tools"] },
  { args: ["search", "--format", "{{.Name}}: {{.StarCount}} {{.IsOfficial}} {{.Description}}", "INDEX/t"] },
  { args: ["search", "--format", "table {{.Name}}\t{{.StarCount}}", "INDEX/tools"] },
  { args: ["search", "--format", "{{.Foo}}", "INDEX/tools"] },
  { args: ["search", "--format", "{{json .}}", "INDEX/tools"] },
  { args: ["search", "--limit", "101", "INDEX/tools"] },
  { args: ["search", "-f", "x=y", "INDEX/tools"] },
  { args: ["search", "-f", "stars=a", "INDEX/tools"] },
  { args: ["search", "OPEN/tools"] },
  { args: ["search"] },
  { args: ["image", "prune"] },
  { args: ["image", "prune"], stdin: "n\n" },
  { args: ["image", "prune", "-f"] },
  { args: ["image", "prune", "-f", "--filter", "until=x"] },
  { args: ["image", "prune", "-f", "--filter", "foo=x"] },
  { args: ["image", "prune", "-a", "x"] },
  {
    args: ["image", "prune", "-a"],
    stdin: "y\n",
    before: [
      ["rm", "-f", "all"],
      ["image", "prune", "-af"],
      ["load", "-qi", "ARCHIVE"],
      ["tag", image, "OPEN/bb:3"],
    ],
  },
];

describe.skipIf(missing !== undefined)("registries, against the docker CLI", () => {
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "davit-test-oracle-"));
    archive = await busyboxArchive();
    [dockerd, open, guarded] = await Promise.all([
      startDockerd({ hostNetwork: true }),
      startDockerRegistry(),
      startDockerRegistry({ user }),
    ]);
    index = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answerSearch });
    for (const name of [`${open.host}/bb`, `${open.host}/bb:2`, `${guarded.host}/bb`]) {
      await docker("tag", image, name);
    }
  }, 120_000);

  afterAll(async () => {
    await index?.stop(true);
    await Promise.all([dockerd, open, guarded].map((it) => it?.[Symbol.asyncDispose]()));
    if (directory !== undefined) rmSync(directory, { recursive: true });
  }, 60_000);

  for (const { args, stdin, before = [] } of examples) {
    test(`${args.join(" ")} says the same`, async () => {
      const options = {
        env: { DOCKER_CONFIG: join(directory, "config") },
        ...(stdin === undefined ? {} : { stdin }),
      };
      const prepare = async () => {
        for (const words of before) await docker(...words.map(filled));
      };
      const outcomes = await both(dockerd.host, args.map(filled), options, prepare);
      expect(outcomes.davit).toEqual(outcomes.docker);
    });
  }

  test("config.json is written as docker writes it, and read by either", async () => {
    const config = (name: string) => ({ env: { DOCKER_CONFIG: join(directory, name) } });
    const args = ["login", "-u", user.name, "-p", user.password, guarded.host];
    for (const name of ["by-docker", "by-davit"]) {
      writeFileSync(join(directory, `${name}.json`), "");
    }
    await docker("--config", join(directory, "by-docker"), ...args);
    const written = await both(dockerd.host, args, config("by-davit"), async () => {
      rmSync(join(directory, "by-davit"), { recursive: true, force: true });
    });
    expect(written.davit).toEqual(written.docker);
    const read = (name: string) => readFileSync(join(directory, name, "config.json"), "utf8");
    expect(read("by-davit")).toBe(read("by-docker"));
    const used = await both(dockerd.host, ["login", guarded.host], config("by-davit"));
    expect(used.docker.stdout).toBe("Login Succeeded\n");
    expect(used.davit).toEqual(used.docker);
  });
});

/** @throws when docker fails, unless there was nothing to be taken away */
async function docker(...args: string[]): Promise<void> {
  const environment = { env: { DOCKER_CONFIG: join(directory, "config") } };
  if (args[0] === "rm") {
    const listed = await runCommand(["docker", "-H", dockerd.host, "ps", "-aq"]);
    const ids = listed.stdout.split("\n").filter((id) => id !== "");
    if (ids.length > 0) await docker("container", "rm", "-f", ...ids);
    return;
  }
  const outcome = await runCommand(["docker", "-H", dockerd.host, ...args], environment);
  if (outcome.code !== 0 && args[0] !== "rmi") throw new Error(`docker ${args.join(" ")}: ${outcome.stderr}`);
}

function filled(word: string): string {
  return word
    .replaceAll("OPEN", open.host)
    .replaceAll("GUARDED", guarded.host)
    .replaceAll("INDEX", `127.0.0.1:${index.port}`)
    .replaceAll("ARCHIVE", archive);
}

/** Docker's `/v1/search`, which docker-registry does not have. */
function answerSearch(request: Request): Response {
  const url = new URL(request.url);
  if (url.pathname === "/v1/_ping") return Response.json({ standalone: true });
  if (url.pathname !== "/v1/search") return new Response("not found", { status: 404 });
  const term = url.searchParams.get("q") ?? "";
  const results = [
    { name: `zero/${term}`, description: "Nothing", star_count: 0, is_official: false },
    { name: `acme/${term}`, description: "What acme\nworks with", star_count: 3, is_official: false },
    {
      name: term,
      description: `The official ${term}, ${"long ".repeat(20)}`,
      star_count: 12,
      is_official: true,
    },
    { name: `x/${term}`, description: "", star_count: 0, is_official: false, is_automated: true },
  ].slice(0, Number(url.searchParams.get("n") ?? 25));
  return Response.json({ query: term, num_results: results.length, results });
}
