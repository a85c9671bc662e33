/** `manifest` does and says what docker's does, with the same registry and the same files. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type DockerRegistry,
  missingForDockerRegistry,
  startDockerRegistry,
} from "../harness/docker-registry.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";
import { both, missingForOracle, runCommand } from "./oracle.ts";

const missing = missingForOracle() ?? missingForDockerRegistry();
if (missing !== undefined) console.error(`SKIPPED: manifests, compared with the docker CLI: ${missing}`);
setDefaultTimeout(60_000);

/** No engine takes part. */
const nowhere = "unix:///nonexistent/docker.sock";

interface Example {
  args: readonly string[];
  /** What the list `REG/web:all` is made of, in docker's hands before each of the two. */
  list?: readonly string[];
  before?: readonly string[];
}

const everything = ["REG/web:amd64", "REG/web:arm64"];
const plain = ["--insecure"];

const examples: readonly Example[] = [
  { args: ["manifest", "create", ...plain, "REG/web:all", ...everything] },
  { args: ["manifest", "create", ...plain, "REG/web:all", "REG/web:amd64"], list: everything },
  {
    args: ["manifest", "create", ...plain, "--amend", "REG/web:all", "REG/web:arm64"],
    list: ["REG/web:amd64"],
  },
  { args: ["manifest", "create", ...plain, "REG/web:all", "REG/web:nosuch"] },
  { args: ["manifest", "create", ...plain, "REG/web:all", "REG/nosuch:1"] },
  { args: ["manifest", "create", ...plain, "UPPER", "REG/web:amd64"] },
  { args: ["manifest", "create", ...plain, "REG/web:all", "UPPER"] },
  { args: ["manifest", "create", "x"] },
  { args: ["manifest", "inspect", ...plain, "REG/web:amd64"] },
  { args: ["manifest", "inspect", ...plain, "-v", "REG/web:amd64"] },
  { args: ["manifest", "inspect", ...plain, "REG/web:all"], list: everything },
  { args: ["manifest", "inspect", ...plain, "-v", "REG/web:all"], list: everything },
  { args: ["manifest", "inspect", "REG/web:all", "REG/web:arm64"], list: everything },
  { args: ["manifest", "inspect", "-v", "REG/web:all", "REG/web:arm64"], list: everything },
  { args: ["manifest", "inspect", "REG/web:all", "REG/web:nosuch"], list: everything },
  { args: ["manifest", "inspect", "REG/web:nosuch", "REG/web:arm64"] },
  { args: ["manifest", "inspect", ...plain, "REG/web:nosuch"] },
  { args: ["manifest", "inspect", "UPPER"] },
  { args: ["manifest", "inspect"] },
  {
    args: ["manifest", "annotate", "--arch", "arm", "--variant", "v7", "REG/web:all", "REG/web:arm64"],
    list: everything,
  },
  {
    args: ["manifest", "annotate", "--os", "linux", "--os-version", "1", "REG/web:all", "REG/web:amd64"],
    list: everything,
  },
  {
    args: ["manifest", "annotate", "--os-features", "a,b", "REG/web:all", "REG/web:amd64"],
    list: everything,
  },
  { args: ["manifest", "annotate", "--arch", "nosuch", "REG/web:all", "REG/web:arm64"], list: everything },
  { args: ["manifest", "annotate", "--arch", "arm", "REG/web:all", "REG/web:nosuch"], list: everything },
  { args: ["manifest", "annotate", "--arch", "arm", "REG/web:nosuch", "REG/web:arm64"] },
  { args: ["manifest", "annotate", "x"] },
  { args: ["manifest", "push", ...plain, "REG/web:all"], list: everything },
  { args: ["manifest", "push", ...plain, "--purge", "REG/web:all"], list: everything },
  { args: ["manifest", "push", ...plain, "REG/web:nosuch"] },
  { args: ["manifest", "push"] },
  { args: ["manifest", "inspect", ...plain, "REG/web:all"], before: ["manifest", "rm", "REG/web:all"] },
  { args: ["manifest", "inspect", ...plain, "-v", "REG/web:all"], before: ["manifest", "rm", "REG/web:all"] },
  { args: ["manifest", "rm", "REG/web:all"], list: everything },
  { args: ["manifest", "rm", "REG/web:nosuch", "UPPER", "REG/web:all"], list: everything },
  { args: ["manifest", "rm"] },
];

describe.skipIf(missing !== undefined)("manifest, against the docker CLI", () => {
  let davit: DavitInstance;
  let registry: DockerRegistry;
  let directory: string;

  const filled = (word: string) => word.replaceAll("REG", registry.host);
  const options = () => ({ env: { DOCKER_CONFIG: directory } });
  const docker = async (...args: string[]) =>
    await runCommand(["docker", "-H", nowhere, ...args.map(filled)], options());

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "davit-test-manifests-"));
    [davit, registry] = await Promise.all([newInstance(), startDockerRegistry()]);
    const tar = join(directory, "root.tar");
    Bun.spawnSync(["tar", "-cf", tar, "-C", directory, "--files-from", "/dev/null"]);
    for (const architecture of ["amd64", "arm64"]) {
      const name = filled(`REG/web:${architecture}`);
      await davit.output(["import", "--platform", `linux/${architecture}`, tar, name]);
      await davit.output(["push", "-q", name]);
    }
  });

  afterAll(async () => {
    await davit?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  for (const { args, list, before } of examples) {
    const made = list === undefined ? "" : ` of ${list.length}`;
    test(`${args.join(" ")}${made} does and says the same`, async () => {
      const prepare = async () => {
        await docker("manifest", "rm", "REG/web:all");
        if (before !== undefined) await docker(...before);
        if (list !== undefined) await docker("manifest", "create", "--insecure", "REG/web:all", ...list);
      };
      const state = async () =>
        (await docker("manifest", "inspect", "-v", "--insecure", "REG/web:all")).stdout;
      const said = await both(nowhere, args.map(filled), options(), prepare);
      expect(said.davit).toEqual(said.docker);
      const byDavit = await state();
      await prepare();
      await docker(...args);
      expect(byDavit).toBe(await state());
    });
  }
});
