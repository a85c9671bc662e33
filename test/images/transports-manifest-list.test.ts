/** `manifest` against the docker CLI's own: the same words, the same JSON, the same files, the same digests. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copyImage } from "../../src/engine/transports/copy.ts";
import {
  annotateManifestList,
  createManifestList,
  inspectManifest,
  type ManifestListPlaces,
  pushManifestList,
  removeManifestLists,
} from "../../src/engine/transports/manifest-list.ts";
import { openRegistries } from "../../src/registry/client/index.ts";
import {
  type DockerRegistry,
  missingForDockerRegistry,
  startDockerRegistry,
} from "../harness/docker-registry.ts";
import { amd64, arm64, Blobs, s390x, tagged } from "./layouts.ts";
import { testStore } from "./support.ts";

const docker = ["/usr/local/bin/docker", "/usr/bin/docker"].find(hasManifest);
const missing =
  missingForDockerRegistry() ??
  (docker === undefined ? "not installed: a docker CLI with `manifest`" : undefined);
if (missing !== undefined) console.warn(`SKIPPED: manifest lists compared with Docker's: ${missing}`);

/** The files' names changed with version 20.10.8. */
function hasManifest(path: string): boolean {
  if (!existsSync(path)) return false;
  const { exitCode, stdout } = Bun.spawnSync([path, "--version"], { stderr: "ignore", stdin: "ignore" });
  const major = /version (\d+)\./.exec(stdout.toString())?.[1];
  return exitCode === 0 && Number(major) >= 23;
}

const registries = openRegistries(
  { mirrors: [], insecure: [], certificateDirectories: [], proxies: {} },
  { userAgent: "davit-test" },
);

let root = "";
let registry: DockerRegistry;
let own: ManifestListPlaces;
const name = (path: string) => `${registry.host}/${path}`;

/** What a command printed: output or its error, as `davit manifest` prints them. */
async function asDocker(...command: string[]): Promise<string> {
  const child = Bun.spawn([docker ?? "docker", "manifest", ...command], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, DOCKER_CONFIG: join(root, "docker") },
  });
  const [out, fault] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  return out + fault;
}

async function said(work: Promise<unknown>): Promise<string> {
  try {
    const result = await work;
    return typeof result === "string" ? result : "";
  } catch (error) {
    return `${error instanceof Error ? error.message : error}\n`;
  }
}

async function pushed(places: ManifestListPlaces, list: string, purge = false): Promise<string> {
  const lines: string[] = [];
  const digest = await pushManifestList(places, list, { purge, report: (line) => lines.push(line) });
  return [...lines, digest, ""].join("\n");
}

describe.skipIf(missing !== undefined)("manifest lists, beside docker's", () => {
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), "davit-test-lists-"));
    registry = await startDockerRegistry();
    own = { directory: join(root, "own"), registries, credentials: async () => undefined };
    const blobs = new Blobs();
    const layout = join(root, "layout");
    const entries = {
      a: blobs.image(amd64, "docker"),
      r: blobs.image(arm64, "docker"),
      o: blobs.image(s390x, "oci"),
      p: blobs.image(amd64, "oci", "p"),
    };
    const index = blobs.index([entries.o, entries.p]);
    blobs.write(layout, [
      ...Object.entries(entries).map(([tag, entry]) => tagged(entry, tag)),
      tagged(index, "i"),
    ]);
    await using store = testStore();
    for (const tag of ["a", "r", "o", "p", "i"]) {
      await copyImage(
        {
          from: `oci:${layout}:${tag}`,
          to: `docker://${name(`app/${tag}:1`)}`,
          all: true,
        },
        {
          registries,
          credentials: async () => undefined,
          local: { stores: store },
          openDaemon: () => Promise.reject(new Error("no daemon")),
          scratch: root,
        },
      );
    }
  }, 60_000);
  afterAll(async () => {
    registries.close();
    await registry?.[Symbol.asyncDispose]();
    rmSync(root, { recursive: true, force: true });
  });

  test.each(["a", "o", "i", "none"])("inspect of app/%s, plain and in full", async (tag) => {
    const reference = name(`app/${tag}:1`);
    expect(await said(inspectManifest(own, undefined, reference))).toBe(
      await asDocker("inspect", "--insecure", reference),
    );
    expect(await said(inspectManifest(own, undefined, reference, { verbose: true }))).toBe(
      await asDocker("inspect", "--insecure", "-v", reference),
    );
  });

  test("a list is created, annotated, looked at, pushed and removed as Docker does it", async () => {
    const list = name("list/of:1");
    const [a, r, o, none, index] = ["a", "r", "o", "none", "i"].map((tag) => name(`app/${tag}:1`)) as [
      string,
      string,
      string,
      string,
      string,
    ];
    const same = async (mine: Promise<unknown>, ...command: string[]) => {
      const insecure = ["create", "push"].includes(command[0] ?? "") ? ["--insecure"] : [];
      const [verb = "", ...rest] = command;
      expect((await said(mine)).trimEnd()).toBe((await asDocker(verb, ...insecure, ...rest)).trimEnd());
    };
    await same(createManifestList(own, list, [a, r]), "create", list, a, r);
    await same(createManifestList(own, list, [o]), "create", list, o);
    await same(createManifestList(own, list, [o], { amend: true }), "create", "--amend", list, o);
    await same(createManifestList(own, name("x"), [none]), "create", name("x"), none);
    await same(createManifestList(own, name("x"), [index]), "create", name("x"), index);
    await same(createManifestList(own, "BAD", [a]), "create", "BAD", a);
    await same(inspectManifest(own, undefined, list), "inspect", list);
    await same(inspectManifest(own, undefined, list, { verbose: true }), "inspect", "-v", list);
    await same(inspectManifest(own, list, o), "inspect", list, o);
    await same(inspectManifest(own, list, none), "inspect", list, none);
    await same(
      annotateManifestList(own, list, r, { architecture: "foo" }),
      "annotate",
      list,
      r,
      "--arch",
      "foo",
    );
    await same(
      annotateManifestList(own, list, r, {
        architecture: "arm",
        variant: "v7",
        osFeatures: ["a", "b"],
        osVersion: "10<",
      }),
      ...[
        "annotate",
        list,
        r,
        "--arch",
        "arm",
        "--variant",
        "v7",
        "--os-features",
        "a,b",
        "--os-version",
        "10<",
      ],
    );
    await same(annotateManifestList(own, list, none, {}), "annotate", list, none);
    await same(annotateManifestList(own, name("zz"), r, {}), "annotate", name("zz"), r);
    // The list's digest is the last line: its bytes are Docker's own.
    await same(pushed(own, list), "push", list);
    await same(pushed(own, name("zz")), "push", name("zz"));
    await same(inspectManifest(own, undefined, list), "inspect", list);
    await same(pushed(own, list, true), "push", "--purge", list);
    expect(readdirSync(own.directory)).toEqual([]);
    await same(removeManifestLists(own, [list, "BAD"]), "rm", list, "BAD");
    await same(createManifestList(own, "other.host/x:1", [a]), "create", "other.host/x:1", a);
    await same(pushed(own, "other.host/x:1"), "push", "other.host/x:1");
    await same(removeManifestLists(own, ["other.host/x:1"]), "rm", "other.host/x:1");
  }, 60_000);

  test("each reads the lists that the other keeps", async () => {
    const list = name("list/shared:1");
    const oci = name("app/o:1");
    await asDocker("create", "--insecure", list, oci, name("app/p:1"));
    const docks = { ...own, directory: join(root, "docker", "manifests") };
    await annotateManifestList(docks, list, oci, { variant: "x" });
    expect(await inspectManifest(docks, undefined, list)).toBe(await asDocker("inspect", list));
    // All of OCI's kind: then the list is an OCI index.
    expect(JSON.parse(await inspectManifest(docks, undefined, list)).mediaType).toBe(
      "application/vnd.oci.image.index.v1+json",
    );
    expect(await asDocker("push", "--insecure", list)).toBe(await pushed(docks, list));
  });
});
