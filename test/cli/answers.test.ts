/**
 * Lists whose contents only newer engines give (platforms of an image, build cache), shown by docker's command line
 * and by davit's from the same answers.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { BuildCacheRecord, ImageManifestSummary, ImageSummary } from "../../src/core/objects.ts";
import { davitBinary } from "../harness/instance.ts";
import { openTerminal } from "../harness/pty.ts";
import { type AnsweringServer, answeringServer } from "./answers.ts";
import { both, missingForOracle } from "./oracle.ts";

const missing = missingForOracle();
if (missing !== undefined) console.error(`SKIPPED: answers, shown as the docker CLI shows them: ${missing}`);

setDefaultTimeout(60_000);

const digestOf = (letter: string) => `sha256:${letter.repeat(64)}`;

function manifest(
  letter: string,
  platform: { os: string; architecture: string; variant?: string },
  facts: { available?: boolean; containers?: string[]; kind?: ImageManifestSummary["Kind"] } = {},
): ImageManifestSummary & { AttestationData?: { For: string } } {
  const { available = true, containers = [], kind = "image" } = facts;
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  return {
    ID: digestOf(letter),
    Descriptor: { mediaType, digest: digestOf(letter), size: 500, platform },
    Available: available,
    Kind: kind,
    Size: { Content: available ? 1_234_567 : 0, Total: available ? 2_345_678 : 0 },
    ...(kind === "image"
      ? { ImageData: { Platform: platform, Containers: containers, Size: { Unpacked: 1_111_111 } } }
      : { AttestationData: { For: digestOf("1") } }),
  };
}

function image(letter: string, facts: Partial<ImageSummary>): ImageSummary {
  return {
    Id: digestOf(letter),
    ParentId: "",
    RepoTags: [],
    RepoDigests: [],
    Created: 1_700_000_000,
    Size: 3_456_789,
    SharedSize: -1,
    Labels: {},
    Containers: 0,
    ...facts,
  };
}

const amd64 = { os: "linux", architecture: "amd64" };
const images = [
  image("a", {
    RepoTags: ["alpine:latest", "alpine:3.20"],
    Manifests: [
      manifest("1", amd64, { containers: ["c1"] }),
      manifest("2", { os: "linux", architecture: "arm64", variant: "v8" }, { available: false }),
      manifest("3", { os: "unknown", architecture: "unknown" }, { kind: "attestation" }),
      manifest("4", { os: "linux", architecture: "arm", variant: "v7" }),
    ],
  }),
  image("b", {
    RepoTags: ["long-registry-name.example.com:5000/deeply/nested/repository/name:with-a-long-tag"],
    Created: 1_800_000_000,
    Containers: 2,
    Manifests: [manifest("5", amd64)],
  }),
  image("c", { Created: 1_600_000_000, Manifests: [manifest("6", amd64)] }),
  image("d", { RepoTags: ["without-manifests:1"], Created: 1_500_000_000, Manifests: [] }),
];
const short = [image("e", { RepoTags: ["a:1"], Manifests: [manifest("7", amd64)] })];

function cacheRecord(id: string, facts: Partial<BuildCacheRecord>): BuildCacheRecord {
  return {
    ID: id,
    Type: "regular",
    Description: "mount / from exec /bin/sh",
    InUse: false,
    Shared: false,
    Size: 12_345_678,
    CreatedAt: "2020-01-02T03:04:05.123456789Z",
    LastUsedAt: "2021-01-02T03:04:05Z",
    UsageCount: 3,
    ...facts,
  };
}

const usage = {
  LayersSize: 10_000_000,
  Images: [
    image("a", { RepoTags: ["alpine:latest"], SharedSize: 1_000_000, Containers: 1 }),
    image("b", { SharedSize: 0, Containers: 0, Size: 2_000_000 }),
  ],
  Containers: [],
  Volumes: [],
  BuildCache: [
    cacheRecord("aaaaaaaaaaaaaaaaaaaaaaaaa", { InUse: true }),
    cacheRecord("bbbbbbbbbbbbbbbbbbbbbbbbb", { LastUsedAt: null, Size: 1000 }),
    cacheRecord("ccccccccccccccccccccccccc", { Shared: true }),
  ],
};

const examples: readonly (readonly string[])[] = [
  ["images", "--tree"],
  ["images", "--tree", "-a"],
  ["images", "--tree", "alpine"],
  ["image", "ls", "--tree", "--filter", "reference=alpine"],
  ["images", "--tree", "-q"],
  ["images", "--tree", "--no-trunc"],
  ["images", "--tree", "--digests"],
  ["images", "--tree", "--format", "json"],
  ["system", "df"],
  ["system", "df", "-v"],
  ["system", "df", "-v", "--format", "raw"],
  [
    "system",
    "df",
    "-v",
    "--format",
    "{{range .BuildCache}}{{.ID}} {{.Parent}} {{.Shared}} {{.InUse}};{{end}}",
  ],
  ["system", "df", "-v", "--format", "json"],
  ["image", "inspect", "--platform", "linux/aarch64", "alpine"],
  ["image", "inspect", "--platform", "a/b/c/d", "alpine"],
  [
    "image",
    "inspect",
    "-f",
    "{{.Descriptor.Digest}} {{.Descriptor.Size}} {{.Descriptor.MediaType}} {{.Descriptor.Platform.OS}}",
    "alpine",
  ],
  ["image", "inspect", "-f", "{{.Descriptor.Annotations}} {{.Descriptor.URLs}} {{.Manifests}}", "alpine"],
  ["image", "inspect", "-f", "{{.Descriptor.Nothing}}", "alpine"],
  ["image", "inspect", "--platform", "foo", "alpine"],
  ["history", "--platform", "foo", "alpine"],
  ["save", "--platform", "foo", "alpine"],
  ["load", "--platform", "foo"],
  ["rmi", "--platform", "foo,linux/amd64", "alpine"],
  ["push", "--platform", "linux/arm64", "alpine"],
];

/** Docker colours a heading even where there is no terminal. */
const withoutColours = (text: string) => text.replace(/\x1b\[[\d;]*m/g, "");

describe.skipIf(missing !== undefined)("the same answers", () => {
  let server: AnsweringServer;
  let shortServer: AnsweringServer;

  beforeAll(() => {
    server = answeringServer("1.50", {
      "/images/json": images,
      "/system/df": usage,
      "/images/alpine/json": {
        Id: digestOf("2"),
        RepoTags: ["alpine:latest"],
        Architecture: "arm64",
        Descriptor: {
          mediaType: "application/vnd.oci.image.index.v1+json",
          digest: digestOf("9"),
          size: 1234,
          platform: { architecture: "arm64", os: "linux" },
        },
      },
    });
    shortServer = answeringServer("1.50", { "/images/json": short });
  });

  afterAll(() => {
    server?.[Symbol.dispose]();
    shortServer?.[Symbol.dispose]();
  });

  for (const args of examples) {
    test(`${args.join(" ")} is shown alike`, async () => {
      const { docker, davit } = await both(server.host, args);
      expect(withoutColours(davit.stdout)).toBe(withoutColours(docker.stdout));
      expect(davit.stderr).toBe(docker.stderr);
      expect(davit.code).toBe(docker.code);
    });
  }

  test("a tree without long names is as narrow", async () => {
    const { docker, davit } = await both(shortServer.host, ["images", "--tree"]);
    expect(davit.stdout).toBe(withoutColours(docker.stdout));
  });

  for (const columns of [200, 130, 80, 50, 15]) {
    test(`a tree on a terminal of ${columns} columns is the same to the colour`, async () => {
      const screens = await Promise.all(
        ["docker", davitBinary].map(async (program) => {
          using terminal = openTerminal([program, "-H", server.host, "images", "--tree"], {
            columns,
            rows: 30,
          });
          await terminal.exited();
          // What was printed last may still be on its way through the terminal.
          await terminal.see(/without-man[^\n]*\r\n\r\n$/);
          return terminal.screen;
        }),
      );
      expect(screens[1]).toBe(screens[0] ?? "");
    });
  }

  test("no colours where they are not wanted", async () => {
    using terminal = openTerminal([davitBinary, "-H", server.host, "images", "--tree"], {
      columns: 100,
      env: { NO_COLOR: "1" },
    });
    await terminal.exited();
    expect(terminal.screen).toContain("alpine:3.20");
    expect(terminal.screen).not.toContain("\x1b[");
  });
});
