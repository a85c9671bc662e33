/**
 * The objects that davit gives have the fields that Docker's have, of the same types: programs written against
 * Docker read them. Compared field by field on the same container, image and volume.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { missingForDockerd, startDockerd } from "../harness/dockerd.ts";
import { busyboxImage } from "../harness/images.ts";
import { newInstance } from "../harness/instance.ts";
import type { CreateRequest } from "./subjects.ts";
import { Subject } from "./subjects.ts";

/** Fields that Docker 20.10 gives and newer Docker does not, or that only say what Docker is made of. */
const foreign = [
  /^HostConfig\.(KernelMemory|KernelMemoryTCP|Isolation|CpuCount|CpuPercent|IOMaximum\w+|ConsoleSize)/,
  /^NetworkSettings\.(HairpinMode|LinkLocalIPv6\w+|Secondary\w+)/,
  /^(\[\]\.)?(ContainerConfig|VirtualSize|Container)\b/,
  /^GraphDriver\.Data\./,
  /^Metadata\b/,
  /^Config\.(ArgsEscaped|OnBuild|Hostname|Domainname|AttachStd\w+|Tty|OpenStdin|StdinOnce|Image)$/,
];

/** `State.Pid: number` for each field of an object, however deep; arrays have the fields of all their elements. */
function shapeOf(value: unknown, path = ""): Map<string, string> {
  const shape = new Map<string, string>();
  if (Array.isArray(value)) {
    shape.set(path, "array");
    for (const element of value) for (const [at, type] of shapeOf(element, `${path}[]`)) shape.set(at, type);
  } else if (typeof value === "object" && value !== null) {
    if (path !== "") shape.set(path, "object");
    for (const [key, item] of Object.entries(value)) {
      for (const [at, type] of shapeOf(item, path === "" ? key : `${path}.${key}`)) shape.set(at, type);
    }
  } else {
    shape.set(path, value === null ? "null" : typeof value);
  }
  return shape;
}

/** What of Docker's shape davit's object lacks, or has as another type. Absent and null are the same to readers in Go. */
function differences(docker: unknown, davit: unknown): string[] {
  const theirs = shapeOf(docker);
  const ours = shapeOf(davit);
  const found: string[] = [];
  for (const [path, type] of theirs) {
    if (foreign.some((pattern) => pattern.test(path))) continue;
    const own = ours.get(path);
    if (own === undefined && type === "null") continue;
    if (own === undefined) found.push(`${path}: ${type} is missing`);
    else if (own !== type && own !== "null" && type !== "null") found.push(`${path}: ${type} is ${own}`);
  }
  return found;
}

/** Null, absent and empty say the same. */
function filled(value: unknown): unknown {
  if (value === undefined || (typeof value === "object" && value !== null && Object.keys(value).length === 0))
    return null;
  return value;
}

const missing = missingForDockerd();
if (missing !== undefined) console.error(`SKIPPED: the shape of objects: ${missing}`);

describe.skipIf(missing !== undefined)("the shape of objects", () => {
  const davit = new Subject("davit");
  const docker = new Subject("docker");
  const open = new AsyncDisposableStack();

  beforeAll(async () => {
    const instance = open.use(await newInstance());
    davit.use(await instance.engine());
    const dockerd = open.use(await startDockerd());
    docker.use(await dockerd.engine());
  }, 90_000);
  afterAll(() => open.disposeAsync(), 90_000);

  const requests: [string, CreateRequest][] = [
    ["a plain container", { Cmd: ["sleep", "600"] }],
    [
      "one with everything",
      {
        name: "shape",
        Cmd: ["600"],
        Entrypoint: ["sleep"],
        Env: ["A=1"],
        Labels: { a: "1" },
        Hostname: "web",
        User: "1000",
        WorkingDir: "/tmp",
        ExposedPorts: { "80/tcp": {} },
        Volumes: { "/anonymous": {} },
        StopSignal: "SIGINT",
        StopTimeout: 3,
        Tty: true,
        OpenStdin: true,
        HostConfig: {
          Binds: ["/tmp:/host:ro", "shape-volume:/named"],
          Tmpfs: { "/t": "size=1m" },
          PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] },
          Memory: 64 << 20,
          NanoCpus: 500_000_000,
          PidsLimit: 100,
          RestartPolicy: { Name: "on-failure", MaximumRetryCount: 2 },
          CapAdd: ["NET_ADMIN"],
          CapDrop: ["CHOWN"],
          Dns: ["192.0.2.1"],
          ExtraHosts: ["a:192.0.2.2"],
          Init: true,
          ReadonlyRootfs: true,
          ShmSize: 1 << 20,
          Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }],
        },
      },
    ],
    ["one without a network", { Cmd: ["sleep", "600"], HostConfig: { NetworkMode: "none" } }],
  ];

  test.each(requests)(
    "of %s: inspect before, while and after it runs, and its row",
    async (_, { Cmd, ...rest }) => {
      await using ours = await davit.create({ Cmd: Cmd ?? null, ...rest });
      await using theirs = await docker.create({ Cmd: Cmd ?? null, ...rest });
      const compare = async (): Promise<void> => {
        const [a, b] = await Promise.all([
          docker.engine.containers.inspect(theirs.id),
          davit.engine.containers.inspect(ours.id),
        ]);
        expect(differences(a, b)).toEqual([]);
        const [rowA, rowB] = await Promise.all([
          docker.engine.containers.list({ all: true, filters: { id: [theirs.id] } }),
          davit.engine.containers.list({ all: true, filters: { id: [ours.id] } }),
        ]);
        expect(differences(rowA, rowB)).toEqual([]);
      };
      await compare();
      await Promise.all([docker.engine.containers.start(theirs.id), davit.engine.containers.start(ours.id)]);
      await compare();
      await Promise.all([docker.engine.containers.kill(theirs.id), davit.engine.containers.kill(ours.id)]);
      await Promise.all([docker.exitCodeOf(theirs.id), davit.exitCodeOf(ours.id)]);
      await compare();
    },
  );

  test("of what was asked for: the same values come back", async () => {
    const [, { name: _, ...request }] = requests[1] ?? ["", {}];
    await using ours = await davit.create(request);
    await using theirs = await docker.create(request);
    const [a, b] = await Promise.all([
      docker.engine.containers.inspect(theirs.id),
      davit.engine.containers.inspect(ours.id),
    ]);
    const values = ({ HostConfig, Config, Path, Args }: typeof a) => {
      const asked = Object.keys(request.HostConfig ?? {});
      const host = Object.fromEntries(Object.entries(HostConfig).filter(([key]) => asked.includes(key)));
      const fields = Object.keys(request).filter((key) => key !== "HostConfig");
      const own = Object.fromEntries(Object.entries(Config).filter(([key]) => fields.includes(key)));
      return { Path, Args, host, own };
    };
    expect(values(b)).toEqual(values(a));
  });

  test("of the defaults: what was not asked for is as Docker has it", async () => {
    await using ours = await davit.create({ Cmd: ["true"] });
    await using theirs = await docker.create({ Cmd: ["true"] });
    const [a, b] = await Promise.all([
      docker.engine.containers.inspect(theirs.id),
      davit.engine.containers.inspect(ours.id),
    ]);
    // cgroup namespaces are Docker's default on v2 only; the name of its runtime and its memory swappiness are its own.
    const shared = [
      "NetworkMode",
      "PortBindings",
      "RestartPolicy",
      "AutoRemove",
      "Privileged",
      "PublishAllPorts",
      "ReadonlyRootfs",
      "ShmSize",
      "IpcMode",
      "PidMode",
      "UTSMode",
      "UsernsMode",
      "OomScoreAdj",
      "Memory",
      "MemorySwap",
      "NanoCpus",
      "CpuShares",

      "LogConfig",
      "Binds",
      "CapAdd",
      "CapDrop",
    ] as const;
    // What Docker 20.10 leaves to be guessed, newer Docker says.
    if (a.HostConfig.NetworkMode === "default") a.HostConfig.NetworkMode = "bridge";
    if (a.HostConfig.RestartPolicy?.Name === "") a.HostConfig.RestartPolicy.Name = "no";
    // Newer Docker masks a few more than 20.10 does.
    for (const key of ["MaskedPaths", "ReadonlyPaths"] as const) {
      expect(b.HostConfig[key]).toEqual(expect.arrayContaining(a.HostConfig[key] ?? []));
    }
    for (const key of shared) {
      expect([key, filled(b.HostConfig[key])]).toEqual([key, filled(a.HostConfig[key])]);
    }
    const { Hostname, ...config } = a.Config;
    expect(Hostname).toBe(theirs.id.slice(0, 12));
    expect(b.Config.Hostname).toBe(ours.id.slice(0, 12));
    expect(b.Config).toMatchObject(
      Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null)),
    );
  });

  test("of an image, its row and its history", async () => {
    const [a, b] = await Promise.all(
      [docker, davit].map(({ engine }) => engine.images.inspect(busyboxImage)),
    );
    expect(b?.Id).toBe(a?.Id ?? "");
    // Docker 20.10 fills in what the image's configuration does not say; newer Docker leaves it out.
    expect(
      differences(a, b).filter((line) => !/^Config\.\w+: (string|boolean) is missing$/.test(line)),
    ).toEqual([]);
    const [rowA, rowB] = await Promise.all([docker, davit].map(({ engine }) => engine.images.list()));
    expect(differences(rowA, rowB)).toEqual([]);
    expect(rowB?.[0]?.Size).toBe(rowA?.[0]?.Size ?? 0);
    const [historyA, historyB] = await Promise.all(
      [docker, davit].map(({ engine }) => engine.images.history(busyboxImage)),
    );
    expect(differences(historyA, historyB)).toEqual([]);
  });

  test("of a volume and a network", async () => {
    const make = ({ engine }: Subject) =>
      engine.volumes.create({ Name: "shape-of-volume", Labels: { a: "1" } });
    const [a, b] = await Promise.all([docker, davit].map(make));
    expect(differences(a, b)).toEqual([]);
    const [networkA, networkB] = await Promise.all(
      [docker, davit].map(({ engine }) => engine.networks.inspect("bridge")),
    );
    expect(differences(networkA, networkB).filter((line) => !line.startsWith("Options."))).toEqual([]);
  });

  test("of stats and the process list", async () => {
    await using ours = await davit.start(["sleep", "600"]);
    await using theirs = await docker.start(["sleep", "600"]);
    const sample = async ({ engine }: Subject, id: string): Promise<unknown> => {
      for await (const taken of engine.containers.stats(id)) return taken;
      throw new Error("no sample");
    };
    const [a, b] = await Promise.all([sample(docker, theirs.id), sample(davit, ours.id)]);
    // Which block devices were used and which counters the kernel has is not the engine's doing.
    const found = differences(a, b).filter(
      (line) => !/blkio_stats|memory_stats\.stats\.|storage_stats/.test(line),
    );
    expect(found).toEqual([]);
  });
});
