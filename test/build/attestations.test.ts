/** What a build attests of its images: SLSA provenance, and bills of materials of a scanner that is brought along. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readAttestations } from "../../src/cli/build/attestations.ts";
import { messageOf } from "../../src/core/errors.ts";
import type { ProvenanceRequest, SbomScanner } from "../../src/engine/build.ts";
import { formatPlatform, hostPlatform } from "../../src/images/platform.ts";
import { missingForDockerRegistry, startDockerRegistry } from "../harness/docker-registry.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

let workshop: Workshop;
beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(async () => {
  await workshop[Symbol.asyncDispose]();
});

const host = formatPlatform(hostPlatform());
const encodedHost = encodeURIComponent(host);
const full: ProvenanceRequest = { mode: "max", version: "v1", builderId: "", reproducible: false };
const least: ProvenanceRequest = { ...full, mode: "min" };

const blobs = () => join(workshop.davit.instance.dataRoot, "content/blobs/sha256");
/** A document of the store. Its shape is what the tests look at. */
// biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes.
const read = (digest: string): any => JSON.parse(readFileSync(join(blobs(), digest.slice(7)), "utf8"));

/** The statements that an index attests of each of its images. */
function statementsOf(index: string) {
  const { manifests } = read(index);
  return manifests.slice(manifests.length / 2).map((entry: { digest: string }) => {
    const manifest = read(entry.digest);
    return {
      entry,
      manifest,
      statements: manifest.layers.map(({ digest }: { digest: string }) => read(digest)),
    };
  });
}

const files = {
  Dockerfile: `FROM davit-busybox
ARG WHO
RUN --mount=type=secret,id=token --mount=type=ssh,id=key,required=false cat /run/secrets/token > /dev/null && echo $WHO > /who
COPY file /file
`,
  file: "1",
};
const given = {
  buildArguments: { WHO: "somebody-private" },
  labels: { owner: "label-value" },
  secrets: [{ id: "token", content: Buffer.from("the-secret-itself") }],
};

describe("provenance", () => {
  test("is not made unless it is asked for", async () => {
    const { result } = await workshop.build(files, given);
    expect(read(result.manifestDigest).manifests).toBeUndefined();
  });

  test("stands in the index as BuildKit puts it there", async () => {
    const { result } = await workshop.build(files, {
      ...given,
      names: ["proven:1", "localhost:5000/team/proven:2"],
      attestations: { provenance: full },
    });
    const index = read(result.manifestDigest);
    const [image, attestation] = index.manifests;
    expect(index.manifests).toHaveLength(2);
    expect(image.digest).toBe(result.images[0]?.manifestDigest);
    expect(attestation).toMatchObject({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      platform: { architecture: "unknown", os: "unknown" },
      annotations: {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image.digest,
      },
    });
    const [{ manifest, statements }] = statementsOf(result.manifestDigest);
    expect(manifest.layers).toEqual([
      {
        mediaType: "application/vnd.in-toto+json",
        digest: expect.any(String),
        size: expect.any(Number),
        annotations: { "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1" },
      },
    ]);
    expect(manifest).toMatchObject({
      artifactType: "application/vnd.docker.attestation.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.empty.v1+json", size: 2, data: "e30=" },
      subject: { mediaType: image.mediaType, digest: image.digest, size: image.size },
    });
    expect(read(manifest.config.digest)).toEqual({});
    const digest = { sha256: image.digest.slice(7) };
    expect(statements[0]).toMatchObject({
      _type: "https://in-toto.io/Statement/v1",
      predicateType: "https://slsa.dev/provenance/v1",
      subject: [
        { name: `pkg:docker/proven@1?platform=${encodedHost}`, digest },
        { name: `pkg:docker/localhost%3A5000/team/proven@2?platform=${encodedHost}`, digest },
      ],
    });
  });

  test("in full tells arguments, steps with their lines, sources and layers; never a secret", async () => {
    const { result } = await workshop.build(files, {
      ...given,
      names: ["full:1"],
      attestations: { provenance: full },
    });
    const [{ statements }] = statementsOf(result.manifestDigest);
    const [{ predicate, subject }] = statements;
    expect(subject[0].name).toBe(`pkg:docker/full@1?platform=${encodedHost}`);
    const { buildDefinition, runDetails } = predicate;
    expect(buildDefinition.externalParameters).toEqual({
      configSource: { path: "Dockerfile" },
      request: {
        frontend: "dockerfile.v0",
        args: { "build-arg:WHO": "somebody-private", "label:owner": "label-value" },
        secrets: [{ id: "token", optional: true }],
        ssh: [{ id: "key", optional: true }],
        locals: [{ name: "context" }, { name: "dockerfile" }],
      },
    });
    const base = await workshop.engine.images.inspect("davit-busybox");
    const { manifests } = JSON.parse(
      readFileSync(join(workshop.davit.instance.dataRoot, "content/index.json"), "utf8"),
    );
    const known = manifests.find(({ annotations }: { annotations?: Record<string, string> }) =>
      (annotations?.["io.containerd.image.name"] ?? "").endsWith("/davit-busybox:latest"),
    );
    expect(base.Id).toBe(read(known.digest).config.digest);
    expect(buildDefinition.resolvedDependencies).toEqual([
      {
        uri: `pkg:docker/davit-busybox@latest?platform=${encodedHost}`,
        digest: { sha256: known.digest.slice(7) },
      },
    ]);
    expect(buildDefinition.internalParameters.builderPlatform).toBe(host);
    const { llbDefinition } = buildDefinition.internalParameters.buildConfig;
    const run = llbDefinition.find(({ op }: { op: { Op: object } }) => "exec" in op.Op);
    expect(run.op.Op.exec.meta.args.slice(0, 2)).toEqual(["/bin/sh", "-c"]);
    expect(run.op.Op.exec.meta.env).toContain("WHO=somebody-private");
    const { metadata } = runDetails;
    const { source, layers } = metadata.buildkit_metadata;
    expect(source.locations[run.id].locations[0].ranges[0].start.line).toBe(3);
    expect(Buffer.from(source.infos[0].data, "base64").toString()).toBe(files.Dockerfile);
    const image = read(result.images[0]?.manifestDigest ?? "");
    const [last] = llbDefinition.at(-1).inputs;
    expect(layers[last]).toEqual([image.layers]);
    expect(metadata.buildkit_completeness).toEqual({ request: true, resolvedDependencies: false });
    expect(metadata.buildkit_hermetic).toBeUndefined();
    expect(Date.parse(metadata.finishedOn)).toBeGreaterThanOrEqual(Date.parse(metadata.startedOn));
    for (const name of readdirSync(blobs())) {
      expect(readFileSync(join(blobs(), name)).includes("the-secret-itself")).toBe(false);
    }
  });

  test("at least leaves out what may be nobody else's business", async () => {
    const { result } = await workshop.build(files, {
      ...given,
      names: ["least:1"],
      attestations: { provenance: least },
    });
    const [{ statements }] = statementsOf(result.manifestDigest);
    const text = JSON.stringify(statements[0]);
    for (const word of ["somebody-private", "label-value", "token", "key", "RUN", "cat /run"]) {
      expect(text).not.toContain(word);
    }
    const { buildDefinition, runDetails } = statements[0].predicate;
    expect(buildDefinition.externalParameters.request).toEqual({
      frontend: "dockerfile.v0",
      locals: [{ name: "context" }, { name: "dockerfile" }],
    });
    expect(buildDefinition.resolvedDependencies).toHaveLength(1);
    expect(runDetails.metadata.buildkit_completeness.request).toBe(false);
    expect(runDetails.metadata.buildkit_metadata).toEqual({});
  });

  test("of version 0.2 has the fields of that version", async () => {
    const { result } = await workshop.build(files, {
      ...given,
      names: ["old:1"],
      attestations: {
        provenance: {
          mode: "max",
          version: "v0.2",
          builderId: "https://example.com/ci/7",
          reproducible: true,
        },
      },
    });
    const [{ manifest, statements }] = statementsOf(result.manifestDigest);
    expect(manifest.layers[0].annotations["in-toto.io/predicate-type"]).toBe(
      "https://slsa.dev/provenance/v0.2",
    );
    expect(statements[0]).toMatchObject({
      _type: "https://in-toto.io/Statement/v1",
      predicate: {
        builder: { id: "https://example.com/ci/7" },
        buildType: "https://mobyproject.org/buildkit@v1",
        invocation: {
          configSource: { entryPoint: "Dockerfile" },
          parameters: { frontend: "dockerfile.v0", secrets: [{ id: "token" }] },
          environment: { platform: host },
        },
        metadata: {
          reproducible: true,
          completeness: { parameters: true, environment: true, materials: false },
        },
      },
    });
    expect(statements[0].predicate.materials).toHaveLength(1);
  });

  test("names what ADD fetched, with its digest, and is hermetic without RUN and a local context", async () => {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("fetched") });
    try {
      const uri = `http://127.0.0.1:${server.port}/file`;
      const { result } = await workshop.build("/nonexistent", {
        context: { kind: "empty" },
        dockerfile: { kind: "text", name: "Dockerfile", text: `FROM scratch\nADD ${uri} /\n` },
        names: ["fetched:1"],
        attestations: { provenance: full },
      });
      const [{ statements }] = statementsOf(result.manifestDigest);
      const { buildDefinition } = statements[0].predicate;
      const sha256 = new Bun.CryptoHasher("sha256").update("fetched").digest("hex");
      expect(buildDefinition.resolvedDependencies).toEqual([{ uri, digest: { sha256 } }]);
    } finally {
      await server.stop(true);
    }
  });

  test("is made for each platform, under one invocation", async () => {
    const { result } = await workshop.build(
      { Dockerfile: "FROM scratch\nCOPY a /\n", a: "1" },
      { platforms: ["linux/amd64", "linux/arm64"], names: ["each:1"], attestations: { provenance: least } },
    );
    const all = statementsOf(result.manifestDigest);
    expect(
      all.map(({ entry }: { entry: { annotations: Record<string, string> } }) => {
        return entry.annotations["vnd.docker.reference.digest"];
      }),
    ).toEqual(result.images.map(({ manifestDigest }) => manifestDigest));
    const ids = all.map(
      ({
        statements,
      }: {
        statements: { predicate: { runDetails: { metadata: { invocationId: string } } } }[];
      }) => statements[0]?.predicate.runDetails.metadata.invocationId,
    );
    expect(ids[0]).toMatch(/^[0-9a-z]{25}$/);
    expect(ids[1]).toBe(ids[0]);
    expect((await workshop.davit.run(["system", "check"])).stdout).toContain("no damage found");
  });

  test("does not go into Docker's archives, which know no index", async () => {
    const { error } = await workshop.tryBuild(files, {
      ...given,
      attestations: { provenance: least },
      outputs: [{ kind: "archive", format: "docker", write: async () => {} }],
    });
    expect(messageOf(error)).toBe("docker exporter does not currently support exporting manifest lists");
  });

  test.skipIf(missingForDockerRegistry() !== undefined)(
    "reaches a registry with the image that it is about",
    async () => {
      await using registry = await startDockerRegistry();
      for (const [isOnlyPushed, name] of [
        [false, `${registry.host}/team/kept:1`],
        [true, `${registry.host}/team/sent:1`],
      ] as const) {
        await workshop.build(files, {
          ...given,
          names: [name],
          attestations: { provenance: full },
          outputs: [{ kind: "push", isOnlyPushed }],
        });
        const path = name.slice(registry.host.length + 1, -2);
        const get = async (reference: string, type = "manifests") =>
          (
            await fetch(`http://${registry.host}/v2/${path}/${type}/${reference}`, {
              headers: {
                accept: "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json",
              },
            })
          ).json();
        // biome-ignore lint/suspicious/noExplicitAny: JSON of a registry.
        const index: any = await get("1");
        // biome-ignore lint/suspicious/noExplicitAny: JSON of a registry.
        const manifest: any = await get(index.manifests[1].digest);
        // biome-ignore lint/suspicious/noExplicitAny: JSON of a registry.
        const statement: any = await get(manifest.layers[0].digest, "blobs");
        expect(statement.subject[0].digest.sha256).toBe(index.manifests[0].digest.slice(7));
        // biome-ignore lint/suspicious/noExplicitAny: JSON of a registry.
        const image: any = await get(index.manifests[0].digest);
        expect(
          image.layers.every(({ mediaType }: { mediaType: string }) => mediaType.endsWith("+gzip")),
        ).toBe(true);
      }
    },
  );
});

describe("a bill of materials", () => {
  const scanner: SbomScanner = {
    scan: async ({ root, platform }) => [
      {
        predicateType: "https://spdx.dev/Document",
        predicate: {
          SPDXID: "SPDXRef-DOCUMENT",
          name: formatPlatform(platform),
          files: readdirSync(root).sort(),
        },
      },
    ],
  };

  test("is what a scanner finds in the image's files", async () => {
    const { result } = await workshop.build(
      { Dockerfile: "FROM scratch\nCOPY a b /\n", a: "1", b: "2" },
      { names: ["bill:1"], attestations: { sbom: { scanner }, provenance: least } },
    );
    const [{ manifest, statements }] = statementsOf(result.manifestDigest);
    expect(
      manifest.layers.map(({ annotations }: { annotations: Record<string, string> }) =>
        Object.values(annotations),
      ),
    ).toEqual([["https://spdx.dev/Document"], ["https://slsa.dev/provenance/v1"]]);
    expect(statements[0]).toMatchObject({
      _type: "https://in-toto.io/Statement/v1",
      predicateType: "https://spdx.dev/Document",
      predicate: { name: host, files: ["a", "b"] },
    });
  });

  test("needs a scanner", async () => {
    const { error } = await workshop.tryBuild(files, { attestations: { sbom: { scanner: undefined } } });
    expect(messageOf(error)).toContain("an SBOM needs a scanner, and davit has none yet");
  });
});

describe("the command line", () => {
  const flags = { attest: [], provenance: "", sbom: "" };

  test.each([
    [{}, undefined],
    [{ provenance: "false" }, undefined],
    [{ provenance: "true" }, { provenance: full }],
    [{ provenance: "mode=min" }, { provenance: least }],
    [{ attest: ["type=provenance,mode=min,version=v0.2"] }, { provenance: { ...least, version: "v0.2" } }],
    [
      { provenance: "builder-id=https://x,reproducible=true" },
      { provenance: { ...full, builderId: "https://x", reproducible: true } },
    ],
    [{ sbom: "true" }, { sbom: { scanner: undefined } }],
    [{ attest: ["type=sbom,generator=docker/scout"] }, { sbom: { scanner: undefined } }],
  ] as const)("reads %j", (given, expected) => {
    expect(readAttestations({ ...flags, ...given })).toEqual(expected);
  });

  test.each([
    [{ provenance: "mode=most" }, 'ERROR: invalid mode "most"'],
    [{ attest: ["mode=min"] }, "ERROR: attestation type not specified"],
    [{ attest: ["type=rumour"] }, 'ERROR: attestation type "rumour" is not supported by davit'],
    [{ attest: ["type=sbom"], sbom: "true" }, "ERROR: duplicate attestation type sbom"],
    [{ provenance: "version=v2" }, "ERROR: invalid provenance SLSA version: v2"],
    [{ provenance: "reproducible=maybe" }, 'ERROR: failed to parse reproducible flag "maybe"'],
  ])("refuses %j", (given, message) => {
    expect(() => readAttestations({ ...flags, ...given })).toThrow(message);
  });

  test("makes what it is told to make, and says what it cannot", async () => {
    const path = workshop.context(files);
    const secret = join(path, "file");
    const run = (...words: string[]) =>
      workshop.davit.run(["build", "--progress=plain", `--secret=id=token,src=${secret}`, ...words, path]);
    const made = await run("-t", "typed:1", "--provenance=mode=max");
    expect(made.stderr).toContain("exporting attestation manifest sha256:");
    const tree = await workshop.davit.output(["images", "--tree"]);
    expect(tree).toContain("typed:1");
    const refused = await run("--sbom=true");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("an SBOM needs a scanner");
  });
});
