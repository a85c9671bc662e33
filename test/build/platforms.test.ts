/** One build for several platforms: what is the same is done once, and the result is one name with all of them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { foreignProgramsHint, handlerFor } from "../../src/build/steps/emulation.ts";
import { messageOf } from "../../src/core/errors.ts";
import { formatPlatform, hostPlatform } from "../../src/images/platform.ts";
import { missingForDockerRegistry, startDockerRegistry } from "../harness/docker-registry.ts";
import { foreignPrograms, registerHandler } from "./foreign.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

let workshop: Workshop;
let scratch = "";
beforeAll(async () => {
  workshop = await openWorkshop();
  scratch = mkdtempSync(join(tmpdir(), "davit-test-platforms-"));
});
afterAll(async () => {
  await workshop[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const host = formatPlatform(hostPlatform());
const hostArch = hostPlatform().architecture;
const other = hostArch === "arm64" ? "linux/amd64" : "linux/arm64";
const otherArch = other.slice("linux/".length);
const both = [host, other];

/** Builds on this machine for any, without a program of the other. */
const crossBuild = `FROM --platform=$BUILDPLATFORM davit-busybox AS same
RUN echo the same everywhere > /same
FROM --platform=$BUILDPLATFORM davit-busybox AS cross
ARG TARGETPLATFORM BUILDPLATFORM TARGETARCH
RUN echo "$BUILDPLATFORM makes $TARGETPLATFORM" > /made && echo $TARGETARCH > /arch
FROM scratch
COPY --from=same /same /same
COPY --from=cross /made /arch /
CMD ["/made"]
`;

const archiveOf = async (name: string, platforms?: string[]) =>
  Buffer.concat(
    await Array.fromAsync(workshop.engine.images.save([name], platforms === undefined ? {} : { platforms })),
  );

/** What a tar holds: file → content. */
function unpacked(tar: Uint8Array): string {
  const directory = mkdtempSync(join(scratch, "tar-"));
  const { success, stderr } = Bun.spawnSync(["tar", "-x", "-C", directory], { stdin: tar });
  if (!success) throw new Error(stderr.toString());
  return directory;
}

describe("a build for several platforms", () => {
  test("runs what is the same once, and names the platforms of the rest", async () => {
    const { ran, result, events } = await workshop.build(
      { Dockerfile: crossBuild },
      { platforms: both, names: ["many:1"] },
    );
    const runs = ran.filter((name) => name.includes(" RUN "));
    expect(runs.toSorted()).toEqual(
      [
        `[${host} same 2/2] RUN echo the same everywhere > /same`,
        `[${host} cross 2/2] RUN echo "${host} makes ${host}" > /made && echo ${hostArch} > /arch`,
        `[${host}->${otherArch} cross 2/2] RUN echo "${host} makes ${other}" > /made && echo ${otherArch} > /arch`,
      ].toSorted(),
    );
    expect(ran.filter((name) => name.includes("] COPY --from=same"))).toEqual([
      `[${host} stage-2 1/2] COPY --from=same /same /same`,
    ]);
    expect(
      events.flatMap((event) =>
        event.kind === "vertex" && event.name.includes("metadata") ? [event.name] : [],
      ),
    ).toEqual([`[${host} internal] load metadata for docker.io/library/davit-busybox:latest`]);
    expect(result.names).toEqual(["many:1"]);
    expect(result.images.map(({ platform }) => platform)).toEqual(both);
  });

  test("puts all of them under one name, and this machine's is what the name means", async () => {
    const { result } = await workshop.build(
      { Dockerfile: `${crossBuild}LABEL only=here\n` },
      { platforms: [other, host], names: ["named:1", "named:2"] },
    );
    const { images } = workshop.engine;
    const [listed] = (await images.list({ manifests: true })).filter(({ RepoTags }) =>
      RepoTags.includes("named:1"),
    );
    expect(listed?.Descriptor?.digest).toBe(result.manifestDigest);
    expect(listed?.Manifests?.map(({ Available, ImageData }) => [Available, ImageData?.Platform])).toEqual([
      [true, { os: "linux", architecture: otherArch }],
      [true, { os: "linux", architecture: hostArch }],
    ]);
    for (const name of ["named:1", "named:2"]) {
      expect((await images.inspect(name)).Architecture).toBe(hostArch);
      const foreign = await images.inspect(name, { platform: other });
      expect(foreign.Architecture).toBe(otherArch);
      expect(foreign.Id).toBe(result.images[0]?.imageId ?? "");
    }
    expect(result.imageId).toBe(result.images[1]?.imageId ?? "");
    expect((await workshop.davit.run(["system", "check"])).stdout).toContain("no damage found");
  });

  test("gives the same images and the same index again, from the cache", async () => {
    const first = await workshop.build({ Dockerfile: crossBuild }, { platforms: both });
    const second = await workshop.build({ Dockerfile: crossBuild }, { platforms: both });
    expect(second.result).toEqual(first.result);
    expect(second.ran.filter((name) => name.includes(" RUN "))).toEqual([]);
    const anew = await workshop.build({ Dockerfile: crossBuild }, { platforms: both, noCache: true });
    expect(anew.result).toEqual(first.result);
  });

  test("of platforms that differ in their names only has the same layers for each", async () => {
    const { result } = await workshop.build(
      { Dockerfile: "FROM scratch\nCOPY a /\n", a: "1" },
      { platforms: ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"], names: ["alike"] },
    );
    expect(new Set(result.images.map(({ imageId }) => imageId)).size).toBe(4);
    expect(result.images.map(({ platform }) => platform)).toEqual([
      "linux/amd64",
      "linux/arm64",
      "linux/arm/v7",
      "linux/s390x",
    ]);
    const { Variant } = await workshop.engine.images.inspect("alike", { platform: "linux/arm/v7" });
    expect(Variant).toBe("v7");
    await workshop.engine.images.remove("alike");
    expect((await workshop.davit.run(["system", "check"])).stdout).toContain("no damage found");
  });

  test("fails as a whole when one of them does, with the lines of the Dockerfile", async () => {
    const { error, events } = await workshop.tryBuild(
      {
        Dockerfile: `FROM --platform=$BUILDPLATFORM davit-busybox\nARG TARGETARCH\nRUN test $TARGETARCH = ${hostArch}\n`,
      },
      { platforms: both, names: ["half:1"] },
    );
    expect(messageOf(error)).toContain("did not complete successfully: exit code: 1");
    const told = events.flatMap((event) => (event.kind === "failure" ? [event.excerpt] : []));
    expect(told.join("")).toContain(">>> RUN test");
    await expect(workshop.engine.images.inspect("half:1")).rejects.toThrow("No such image");
  });

  test("says each finding of a check once", async () => {
    const { events } = await workshop.build(
      { Dockerfile: "FROM scratch as x\nCOPY a /\n", a: "" },
      { platforms: both },
    );
    expect(events.filter(({ kind }) => kind === "warning")).toHaveLength(1);
  });

  test("of one platform twice is one for that platform", async () => {
    const { result } = await workshop.build(
      { Dockerfile: "FROM scratch\nCOPY a /\n", a: "" },
      { platforms: [host, "local", host] },
    );
    expect(result.images).toHaveLength(1);
    expect(result.manifestDigest).toBe(result.images[0]?.manifestDigest ?? "");
  });
});

describe("the outputs of several platforms", () => {
  test("are directories of their own below a directory, and in a tar", async () => {
    const directory = mkdtempSync(join(scratch, "out-"));
    const chunks: Uint8Array[] = [];
    await workshop.build(
      { Dockerfile: crossBuild },
      {
        platforms: both,
        outputs: [
          { kind: "local", directory },
          { kind: "tar", write: async (bytes) => void chunks.push(new Uint8Array(bytes)) },
        ],
      },
    );
    for (const top of [directory, unpacked(Buffer.concat(chunks))]) {
      for (const platform of both) {
        const made = readFileSync(join(top, platform.replace("/", "_"), "made"), "utf8");
        expect(made).toBe(`${host} makes ${platform}\n`);
      }
    }
  });

  test("are split or not as the request says", async () => {
    const split = mkdtempSync(join(scratch, "split-"));
    const joined = mkdtempSync(join(scratch, "joined-"));
    const context = { Dockerfile: crossBuild };
    await workshop.build(context, {
      platforms: [host],
      outputs: [{ kind: "local", directory: split, isSplit: true }],
    });
    expect(readFileSync(join(split, host.replace("/", "_"), "arch"), "utf8")).toBe(`${hostArch}\n`);
    const apart = {
      Dockerfile: "FROM scratch\nARG TARGETARCH\nCOPY for-$TARGETARCH /\n",
      "for-amd64": "1",
      "for-arm64": "2",
    };
    await workshop.build(apart, {
      platforms: both,
      outputs: [{ kind: "local", directory: joined, isSplit: false }],
    });
    expect(readdirSync(joined).sort()).toEqual(["for-amd64", "for-arm64"]);
    const { error } = await workshop.tryBuild(context, {
      platforms: both,
      outputs: [{ kind: "local", directory: joined, isSplit: false }],
    });
    expect(messageOf(error)).toContain("when split option is disabled");
  });

  test("are one index in an OCI archive, and nothing that Docker's archives can hold", async () => {
    const chunks: Uint8Array[] = [];
    const write = async (bytes: Uint8Array) => void chunks.push(new Uint8Array(bytes));
    const context = { Dockerfile: crossBuild };
    const { result } = await workshop.build(context, {
      platforms: both,
      names: ["archived:1"],
      outputs: [{ kind: "archive", format: "oci", write }],
    });
    const layout = unpacked(Buffer.concat(chunks));
    const read = (name: string) => JSON.parse(readFileSync(join(layout, name), "utf8"));
    const [root] = read("index.json").manifests;
    const index = read(`blobs/sha256/${root.digest.slice(7)}`);
    expect(index.manifests.map(({ platform }: { platform: unknown }) => platform)).toEqual(
      both.map((each) => ({ os: "linux", architecture: each.slice("linux/".length) })),
    );
    expect(root.digest).toBe(result.manifestDigest);
    const { error } = await workshop.tryBuild(context, {
      platforms: both,
      outputs: [{ kind: "archive", format: "docker", write }],
    });
    expect(messageOf(error)).toBe("docker exporter does not currently support exporting manifest lists");
  });

  test("travel: what is saved holds all of them", async () => {
    const { result } = await workshop.build(
      { Dockerfile: crossBuild },
      { platforms: both, names: ["saved:1"] },
    );
    const layout = unpacked(await archiveOf("saved:1"));
    const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
    expect(manifests[0].digest).toBe(result.manifestDigest);
  });

  test.skipIf(missingForDockerRegistry() !== undefined)(
    "are pushed as the index that is here, and any of them can be pulled",
    async () => {
      await using registry = await startDockerRegistry();
      const [name, direct] = [`${registry.host}/team/app:1`, `${registry.host}/team/direct:1`];
      const { result } = await workshop.build(
        { Dockerfile: `${crossBuild}LABEL only=pushed\n` },
        { platforms: both, names: [name], outputs: [{ kind: "push" }] },
      );
      await workshop.build(
        { Dockerfile: `${crossBuild}LABEL only=pushed\n` },
        { platforms: both, names: [direct], outputs: [{ kind: "push", isOnlyPushed: true }] },
      );
      for (const path of ["team/app", "team/direct"]) {
        const answer = await fetch(`http://${registry.host}/v2/${path}/manifests/1`, {
          headers: { accept: "application/vnd.oci.image.index.v1+json" },
        });
        expect(answer.headers.get("docker-content-digest")).toBe(result.manifestDigest);
      }
      await workshop.engine.images.remove(name);
      await Array.fromAsync(workshop.engine.images.pull(name, { platform: other }));
      expect((await workshop.engine.images.inspect(name)).Id).toBe(
        result.images.find(({ platform }) => platform === other)?.imageId ?? "",
      );
    },
  );

  test("are what the command line asks for", async () => {
    const path = workshop.context({ Dockerfile: crossBuild });
    const metadata = join(scratch, "metadata.json");
    const { code, stderr } = await workshop.davit.run([
      "build",
      "--progress=plain",
      "--no-cache",
      `--platform=${both.join(",")}`,
      `--metadata-file=${metadata}`,
      "-t",
      "typed:1",
      path,
    ]);
    expect(code).toBe(0);
    expect(stderr).toContain(`[${host}->${otherArch} cross 2/2] RUN`);
    const digest = JSON.parse(readFileSync(metadata, "utf8"))["containerimage.digest"];
    expect(stderr).toContain(`exporting manifest list ${digest}`);
    const tree = await workshop.davit.output(["images", "--tree"]);
    for (const platform of both) expect(tree).toContain(`─ ${platform} `);
    const refused = await workshop.davit.run(["build", `--platform=${both.join(",")},nope/x/y/z`, path]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("cannot parse platform specifier");
    await workshop.davit.output(["build", "-q", "--verify", `--platform=${both.join(",")}`, path]);
  });
});

describe("programs of another platform", () => {
  const foreign = ["linux/riscv64", "linux/s390x", "linux/arm64"]
    .map((text) => ({ os: "linux", architecture: text.slice("linux/".length) }))
    .find((platform) => foreignProgramsHint(platform) !== undefined);

  test.skipIf(foreign === undefined)("that this machine cannot run say how it could", async () => {
    const platform = formatPlatform(foreign ?? hostPlatform());
    const { error } = await workshop.tryBuild(
      {
        // The beginning of a program for another machine.
        Dockerfile: 'FROM scratch\nCOPY --chmod=755 program /program\nRUN ["/program"]\n',
        program: "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0\x01\0\0\0",
      },
      { platforms: [platform] },
    );
    expect(messageOf(error)).toContain(
      `programs of ${platform} do not run on this machine (${host}), as binfmt_misc has no handler for them: install ` +
        `qemu-user-static, or make them on ${host} in a stage that is FROM --platform=$BUILDPLATFORM`,
    );
  });

  test("are looked for among the kernel's handlers as the kernel does", () => {
    const directory = mkdtempSync(join(scratch, "binfmt-"));
    const riscv64 = { os: "linux", architecture: "riscv64" };
    expect(handlerFor(riscv64, join(directory, "missing"))).toBeUndefined();
    mkdirSync(directory, { recursive: true });
    const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
    write("status", "enabled\n");
    const body = (flags: string) =>
      `interpreter /usr/bin/qemu-riscv64\nflags: ${flags}\noffset 0\n` +
      "magic 7f454c460201010000000000000000000200f300\nmask ffffffffffffff00fffffffffffffffffeffffff\n";
    write("python3.11", "enabled\ninterpreter /usr/bin/python3.11\nflags: \noffset 0\nmagic a70d0d0a\n");
    write("jar", "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n");
    write("qemu-riscv64", `disabled\n${body("OCF")}`);
    expect(handlerFor(riscv64, directory)).toBeUndefined();
    write("qemu-riscv64", `enabled\n${body("OCF")}`);
    expect(handlerFor(riscv64, directory)).toEqual({
      name: "qemu-riscv64",
      interpreter: "/usr/bin/qemu-riscv64",
      opensEarly: true,
    });
    expect(handlerFor({ os: "linux", architecture: "s390x" }, directory)).toBeUndefined();
    write("status", "disabled\n");
    expect(handlerFor(riscv64, directory)).toBeUndefined();
    write("status", "enabled\n");
    write("qemu-riscv64", `enabled\n${body("OC")}`);
    expect(foreignProgramsHint(riscv64, directory)).toContain(
      "the binfmt_misc handler qemu-riscv64 has no flag F",
    );
    expect(foreignProgramsHint(hostPlatform(), directory)).toBeUndefined();
  });

  const programs = foreignPrograms();
  const missing = "missing" in programs ? programs.missing : undefined;
  if (missing !== undefined) console.warn(`SKIPPED: builds with emulated programs: ${missing}`);
  test.skipIf(missing !== undefined)("run where the kernel has a handler for them", async () => {
    if ("missing" in programs) return;
    await using _handler = await registerHandler(programs.qemu);
    const context = workshop.context({
      Dockerfile: `FROM scratch
ARG TARGETARCH
COPY --chmod=755 busybox-$TARGETARCH /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox uname -m > /machine"]
`,
    });
    for (const [arch, path] of [
      ["amd64", "/bin/busybox"],
      ["arm64", programs.busybox],
    ] as const) {
      writeFileSync(join(context, `busybox-${arch}`), readFileSync(path));
    }
    const directory = mkdtempSync(join(scratch, "emulated-"));
    await workshop.build(context, {
      platforms: ["linux/amd64", "linux/arm64"],
      outputs: [{ kind: "local", directory }],
    });
    const machineOf = (platform: string) => readFileSync(join(directory, platform, "machine"), "utf8");
    expect(machineOf("linux_amd64")).toBe("x86_64\n");
    expect(machineOf("linux_arm64")).toBe("aarch64\n");
  });
});
