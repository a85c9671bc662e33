/** Images of several platforms, as a user of the command line has them. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type DockerRegistry,
  missingForDockerRegistry,
  startDockerRegistry,
} from "../harness/docker-registry.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";

const missing = missingForDockerRegistry();
if (missing !== undefined) console.error(`SKIPPED: platforms of an image: ${missing}`);
setDefaultTimeout(60_000);

describe.skipIf(missing !== undefined)("an image of two platforms", () => {
  let davit: DavitInstance;
  let registry: DockerRegistry;
  let name: string;

  const architecture = (of: string, ...flags: string[]) =>
    davit.output(["image", "inspect", "-f", "{{.Architecture}}", ...flags, of]);
  /** Each platform of the tree, and whether it is here. */
  const tree = async () =>
    [...(await davit.output(["images", "--tree"])).matchAll(/─ (\S+) +[0-9a-f]{12} +(\S+)/g)].map(
      ([, platform, size]) => `${platform} ${size === "0B" ? "there" : "here"}`,
    );

  beforeAll(async () => {
    [davit, registry] = await Promise.all([newInstance({ busybox: false }), startDockerRegistry()]);
    name = `${registry.host}/web:1`;
    for (const architecture of ["amd64", "arm64"]) {
      const root = join(davit.directory, architecture);
      mkdirSync(root);
      writeFileSync(join(root, "architecture"), architecture);
      Bun.spawnSync(["tar", "-cf", `${root}.tar`, "-C", root, "."]);
      const one = `${registry.host}/web:${architecture}`;
      await davit.output(["import", "--platform", `linux/${architecture}`, `${root}.tar`, one]);
      await davit.output(["push", "-q", one]);
      await davit.output(["rmi", one]);
    }
    const lists = { env: { DOCKER_CONFIG: join(davit.directory, "config") } };
    const parts = ["amd64", "arm64"].map((architecture) => `${registry.host}/web:${architecture}`);
    await davit.output(["manifest", "create", "--insecure", name, ...parts], lists);
    await davit.output(["manifest", "push", "--insecure", "--purge", name], lists);
  });

  afterAll(async () => {
    await davit?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
  });

  test("is pulled as this machine's, and others when they are asked for", async () => {
    await davit.output(["pull", "-q", "--platform", "linux/amd64", name]);
    expect(await tree()).toEqual(["linux/amd64 here", "linux/arm64 there"]);
    await davit.output(["pull", "-q", "--platform", "linux/arm64", name]);
    expect(await tree()).toEqual(["linux/amd64 here", "linux/arm64 here"]);
    expect(await architecture(name, "--platform", "linux/arm64")).toBe("arm64");
    expect(await architecture(name, "--platform", "linux/x86_64")).toBe("amd64");
    const absent = await davit.run(["image", "inspect", "--platform", "linux/s390x", name]);
    expect(absent.code).toBe(1);
    expect(absent.stderr).toContain("(linux/s390x)");
    const unknown = await davit.run(["pull", "--platform", "linux/s390x", name]);
    expect(unknown.stderr).toBe("no matching manifest for linux/s390x in the manifest list entries\n");
  });

  test("is saved and loaded by platform", async () => {
    const archive = join(davit.directory, "arm64.tar");
    await davit.output(["save", "--platform", "linux/arm64", "-o", archive, name]);
    await davit.output(["image", "prune", "-af"]);
    expect(await davit.output(["images", "-aq"])).toBe("");
    const refused = await davit.run(["load", "--platform", "linux/s390x", "-i", archive]);
    expect(refused.code).toBe(1);
    expect(await davit.output(["load", "--platform", "linux/arm64", "-i", archive])).toBe(
      `Loaded image: ${name}`,
    );
    expect(await architecture(name)).toBe("arm64");
    await davit.output(["rmi", name]);
  });

  test("loses single platforms, and its name with the last", async () => {
    for (const platform of ["linux/amd64", "linux/arm64"]) {
      await davit.output(["pull", "-q", "--platform", platform, name]);
    }
    const absent = await davit.run(["rmi", "--platform", "linux/amd64,linux/s390x", name]);
    expect(absent).toEqual({
      code: 1,
      stdout: "",
      stderr: `Error response from daemon: image with reference ${name} was found but does not provide the specified platform (linux/s390x)\n`,
    });
    await davit.output(["create", "--name", "user", "--platform", "linux/amd64", name, "x"]);
    const used = await davit.run(["rmi", "--platform", "linux/amd64", name]);
    expect(used.code).toBe(1);
    expect(used.stderr).toContain("image is being used by stopped container");
    expect(await tree()).toEqual(["linux/amd64 here", "linux/arm64 here"]);
    await davit.output(["rm", "user"]);
    expect(await davit.output(["rmi", "--platform", "linux/amd64", name])).toMatch(
      /^Deleted: sha256:[0-9a-f]{64}/,
    );
    expect(await tree()).toEqual(["linux/amd64 there", "linux/arm64 here"]);
    expect(await architecture(name)).toBe("arm64");
    expect(await davit.output(["rmi", "--platform", "linux/arm64", name])).toStartWith(`Untagged: ${name}\n`);
    expect(await davit.output(["images", "-aq"])).toBe("");
    expect(await davit.output(["system", "check"])).toStartWith("Checked 0 blobs and 0 layers");
  });
});
