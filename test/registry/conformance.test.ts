/**
 * OCI's own conformance suite for registries against davit's registry. It is a Go module: built once, with the Go that
 * is on PATH, into the user's cache. Which version, and the checksums of all that is downloaded for it, stand in
 * `conformance/go.mod` and `go.sum`. DAVIT_OCI_CONFORMANCE names a suite that is built already (`go test -c` in the
 * release's folder `conformance`).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { startRegistry, temporaryDirectory, type World } from "./server-world.ts";

const module = "github.com/opencontainers/distribution-spec/conformance";
const pinned = join(import.meta.dir, "conformance");
const longestBuild = 5 * 60_000;

type Suite = { path: string } | { missing: string };

async function findSuite(): Promise<Suite> {
  const given = process.env.DAVIT_OCI_CONFORMANCE;
  if (given) return existsSync(given) ? { path: given } : { missing: `${given} is not there` };
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "davit-test");
  const sums = readFileSync(join(pinned, "go.sum"));
  const path = join(cache, `oci-conformance-${Bun.hash(sums).toString(16)}`);
  if (existsSync(path)) return { path };
  if (Bun.which("go") === null) return { missing: "go is not installed (Debian: golang-go)" };
  const problem = await build(path, cache);
  return problem === undefined ? { path } : { missing: problem };
}

/** @returns what went wrong */
async function build(path: string, cache: string): Promise<string | undefined> {
  const scratch = mkdtempSync(join(tmpdir(), "davit-test-conformance-"));
  try {
    for (const name of ["go.mod", "go.sum"]) copyFileSync(join(pinned, name), join(scratch, name));
    const making = join(scratch, "suite");
    const run = Bun.spawn(["go", "test", "-c", "-o", making, module], {
      cwd: scratch,
      env: { ...process.env, GOFLAGS: "-mod=readonly", GOTOOLCHAIN: "local" },
      stdio: ["ignore", "ignore", "pipe"],
      timeout: longestBuild,
    });
    const output = await new Response(run.stderr).text();
    if ((await run.exited) !== 0) return `go test -c: ${output.trim().split("\n").at(-1)}`;
    mkdirSync(cache, { recursive: true });
    const beside = `${path}.${process.pid}`;
    await Bun.write(beside, Bun.file(making), { mode: 0o755 });
    renameSync(beside, path);
    return undefined;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const suite = await findSuite();
if ("missing" in suite) console.error(`SKIPPED: OCI's conformance suite for registries: ${suite.missing}`);

const categories = {
  pull: "OCI_TEST_PULL",
  push: "OCI_TEST_PUSH",
  "content discovery": "OCI_TEST_CONTENT_DISCOVERY",
  "content management": "OCI_TEST_CONTENT_MANAGEMENT",
};

describe.skipIf("missing" in suite)("OCI conformance", () => {
  let world: World;
  let directory = "";
  beforeAll(async () => {
    directory = temporaryDirectory();
    world = await startRegistry();
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  async function runSuite(switches: readonly string[]) {
    if ("missing" in suite) throw new Error(suite.missing);
    const run = Bun.spawn([suite.path], {
      cwd: directory,
      env: {
        PATH: process.env.PATH ?? "",
        OCI_ROOT_URL: world.address,
        OCI_NAMESPACE: `conformance/${crypto.randomUUID()}`,
        OCI_CROSSMOUNT_NAMESPACE: `conformance/${crypto.randomUUID()}`,
        OCI_AUTOMATIC_CROSSMOUNT: "1",
        OCI_HIDE_SKIPPED_WORKFLOWS: "1",
        OCI_REPORT_DIR: directory,
        ...Object.fromEntries(switches.map((name) => [name, "1"])),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = await new Response(run.stdout).text();
    const [, passed, failed] = /(\d+) Passed.*? (\d+) Failed/.exec(Bun.stripANSI(output)) ?? [];
    return { status: await run.exited, passed: Number(passed), failed: Number(failed), output };
  }

  for (const [title, name] of Object.entries(categories)) {
    test(title, async () => {
      const { status, passed, failed, output } = await runSuite([name]);
      if (status !== 0) console.error(output);
      expect([status, failed]).toEqual([0, 0]);
      expect(passed).toBeGreaterThan(5);
    });
  }

  test("all four in one run", async () => {
    const { status, failed, passed, output } = await runSuite(Object.values(categories));
    if (status !== 0) console.error(output);
    expect([status, failed]).toEqual([0, 0]);
    expect(passed).toBeGreaterThan(40);
  });
});
