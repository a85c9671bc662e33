import { describe, expect, test } from "bun:test";
import type { ContainerConfig, HostConfig } from "../../src/core/objects.ts";
import { allCapabilities, chooseCapabilities, defaultCapabilities } from "../../src/runtime/capabilities.ts";
import { resolveDevices } from "../../src/runtime/devices.ts";
import { makeExecProcess } from "../../src/runtime/exec-process.ts";
import { startFailure } from "../../src/runtime/failures.ts";
import type { HostFacts } from "../../src/runtime/host.ts";
import { toJson } from "../../src/runtime/json.ts";
import { parseSecurityOptions } from "../../src/runtime/security-options.ts";
import { makeSpec, type SpecInput } from "../../src/runtime/spec.ts";

const host: HostFacts = {
  cgroups: { version: "v1", controllers: new Map(), unified: undefined, own: new Map() },
  architecture: "amd64",
  kernel: { major: 6, minor: 1 },
  cpus: 2,
  capabilities: allCapabilities.filter((name) => name !== "CAP_SYS_RESOURCE"),
  hardLimits: new Map([
    ["nofile", 1000],
    ["core", Number.POSITIVE_INFINITY],
  ]),
  oomScoreAdj: 0,
};

function make(config: ContainerConfig = {}, hostConfig: HostConfig = {}, more: Partial<SpecInput> = {}) {
  return makeSpec({
    rootfs: "/root-of-it",
    cgroupsPath: "/davit/x",
    host,
    args: ["sleep", "1"],
    config,
    hostConfig,
    user: { uid: 0, gid: 0, additionalGids: [0], home: "/root" },
    hostname: "here",
    mounts: [],
    etcFiles: { hosts: "/h/hosts", hostname: "/h/hostname", resolvConf: "/h/resolv.conf" },
    namespaces: { network: "private", pid: "private", ipc: "private", uts: "private", cgroup: "host" },
    devices: resolveDevices(hostConfig),
    ...more,
  });
}

/** What dockerd 20.10 wrote into config.json for the same container, where davit does the same. */
describe("a plain container's configuration is Docker's", () => {
  const { spec, warnings } = make();

  test("in its process", () => {
    expect(warnings).toEqual([]);
    expect(spec.process).toEqual({
      user: { uid: 0, gid: 0, additionalGids: [0] },
      args: ["sleep", "1"],
      env: [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME=here",
        // dockerd leaves this one to runc.
        "HOME=/root",
      ],
      cwd: "/",
      capabilities: {
        bounding: [...defaultCapabilities],
        effective: [...defaultCapabilities],
        permitted: [...defaultCapabilities],
      },
      oomScoreAdj: 0,
    });
  });

  test("in its mounts", () => {
    expect(spec.mounts.map(({ destination, options }) => `${destination} ${options.join(",")}`)).toEqual([
      "/proc nosuid,noexec,nodev",
      "/dev nosuid,strictatime,mode=755,size=65536k",
      "/dev/pts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
      "/sys nosuid,noexec,nodev,ro",
      "/sys/fs/cgroup ro,nosuid,noexec,nodev",
      "/dev/mqueue nosuid,noexec,nodev",
      "/dev/shm nosuid,noexec,nodev,mode=1777,size=67108864",
      "/etc/resolv.conf rbind,rprivate",
      "/etc/hostname rbind,rprivate",
      "/etc/hosts rbind,rprivate",
    ]);
  });

  test("in its namespaces, sysctls and devices", () => {
    expect(spec.linux.namespaces).toEqual([
      { type: "mount" },
      { type: "network" },
      { type: "uts" },
      { type: "pid" },
      { type: "ipc" },
    ]);
    expect(spec.linux.sysctl).toEqual({
      "net.ipv4.ip_unprivileged_port_start": "0",
      "net.ipv4.ping_group_range": "0 2147483647",
    });
    expect(spec.linux.devices).toBeUndefined();
    expect(spec.linux.resources.devices).toHaveLength(7);
    expect(spec.linux.resources.devices?.[0]).toEqual({ allow: false, access: "rwm" });
  });
});

test("a privileged container is neither masked nor filtered, and gets no more than we have", () => {
  const { spec } = make({}, { Privileged: true });
  expect(spec.linux.maskedPaths).toBeUndefined();
  expect(spec.linux.seccomp).toBeUndefined();
  expect(spec.process.capabilities?.bounding).toEqual([...host.capabilities]);
  expect(spec.linux.resources.devices).toEqual([{ allow: true, access: "rwm" }]);
  expect(spec.mounts.find(({ destination }) => destination === "/sys")?.options).not.toContain("ro");
});

test("another user than root has no capability in effect", () => {
  const user = { uid: 5, gid: 5, additionalGids: [5], home: "/" };
  expect(make({}, {}, { user }).spec.process.capabilities).toEqual({
    bounding: [...defaultCapabilities],
    effective: [],
    permitted: [],
  });
});

test("the environment is Docker's, then the image's and the user's, which may replace or remove it", () => {
  const { spec } = make({ Tty: true, Env: ["PATH=/x", "A=1", "A=2", "HOSTNAME", "B="] });
  expect(spec.process.env).toEqual(["PATH=/x", "HOME=/root", "TERM=xterm", "A=2", "B="]);
});

test("a mount of the user's takes the place of a default one, and nested ones come after their parents", () => {
  const bind = (destination: string, more = {}) => ({
    type: "bind" as const,
    source: "/s",
    destination,
    readonly: false,
    ...more,
  });
  const { spec } = make(
    {},
    {},
    {
      mounts: [
        bind("/a/b/c"),
        bind("/dev"),
        bind("/a", { readonly: true, propagation: "rslave" }),
        { type: "tmpfs", source: "", destination: "/t", readonly: false, options: ["exec", "size=1m"] },
      ],
    },
  );
  const shown = spec.mounts.map(({ destination, options }) => `${destination} ${options.join(",")}`);
  expect(shown.filter((line) => line.startsWith("/dev"))).toEqual(["/dev rbind,rprivate"]);
  expect(shown.indexOf("/a rbind,ro,rro,rslave")).toBeLessThan(shown.indexOf("/a/b/c rbind,rprivate"));
  expect(shown).toContain("/t nosuid,nodev,rprivate,exec,size=1m");
  expect(spec.linux.rootfsPropagation).toBe("rslave");
});

test("namespaces of the host and of others are joined, and no sysctl of a network that is not its own is set", () => {
  const { spec } = make(
    {},
    { NetworkMode: "host", IpcMode: "host" },
    {
      namespaces: {
        network: "host",
        pid: { path: "/proc/7/ns/pid" },
        ipc: "host",
        uts: "host",
        cgroup: "private",
      },
    },
  );
  expect(spec.linux.namespaces).toEqual([
    { type: "mount" },
    { type: "pid", path: "/proc/7/ns/pid" },
    { type: "cgroup" },
  ]);
  expect(spec.linux.sysctl).toBeUndefined();
  expect(spec.hostname).toBeUndefined();
  expect(spec.mounts.find(({ destination }) => destination === "/dev/shm")).toMatchObject({
    source: "/dev/shm",
    options: ["rbind", "rprivate"],
  });
  expect(() =>
    make(
      {},
      { Sysctls: { "net.core.somaxconn": "1" } },
      {
        namespaces: { network: "host", pid: "private", ipc: "private", uts: "private", cgroup: "host" },
      },
    ),
  ).toThrow('sysctl "net.core.somaxconn" not allowed in host network namespace');
});

test("limits above our own are capped with a warning, and unlimited is written as the 64-bit number it is", () => {
  const { spec, warnings } = make(
    {},
    {
      Ulimits: [
        { Name: "nofile", Soft: 10, Hard: 5000 },
        { Name: "core", Soft: -1, Hard: -1 },
      ],
    },
  );
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toStartWith("ulimit nofile: 5000 is above the hard limit of this process");
  const text = toJson(spec);
  expect(text).toContain('{"type":"RLIMIT_NOFILE","hard":1000,"soft":10}');
  expect(text).toContain('{"type":"RLIMIT_CORE","hard":18446744073709551615,"soft":18446744073709551615}');
  // Read back it is not the same number, but it is written as the same again.
  expect(toJson(JSON.parse(text))).toBe(text);
  expect(() => make({}, { Ulimits: [{ Name: "foo", Soft: 1, Hard: 1 }] })).toThrow(
    "invalid ulimit type: foo",
  );
});

test("an exec has the container's process, with its own user, environment and directory", () => {
  const { spec } = make({ Env: ["A=1"], WorkingDir: "/w" });
  const input = {
    container: spec.process,
    args: ["id"],
    env: ["B=2"],
    cwd: undefined,
    tty: false,
    user: undefined,
    privileged: false,
    host: () => host,
  };
  expect(makeExecProcess(input)).toEqual({
    ...spec.process,
    args: ["id"],
    env: [...spec.process.env, "B=2"],
    terminal: false,
  });
  const other = makeExecProcess({
    ...input,
    privileged: true,
    tty: true,
    cwd: "/c",
    user: { uid: 5, gid: 6, additionalGids: [6], home: "/" },
  });
  expect(other).toMatchObject({ cwd: "/c", terminal: true, user: { uid: 5, gid: 6 } });
  expect(other.capabilities).toEqual({ bounding: [...host.capabilities], effective: [], permitted: [] });
  expect(other.env).toContain("TERM=xterm");
  expect(other.env).toContain("HOME=/");
  const set = makeExecProcess({
    ...input,
    container: { ...spec.process, env: ["HOME=/set"] },
    containerEnv: ["HOME=/set"],
    user: { uid: 5, gid: 6, additionalGids: [6], home: "/" },
  });
  expect(set.env).toEqual(["HOME=/set", "B=2"]);
});

describe("capabilities", () => {
  const choose = (add: string[], drop: string[], privileged = false) =>
    chooseCapabilities({ add, drop, privileged, available: host.capabilities });

  test("are added and dropped with or without prefix, in any case", () => {
    expect(choose(["net_admin", "CAP_SYS_TIME", "chown"], ["cap_mknod"])).toEqual([
      ...defaultCapabilities.filter((name) => name !== "CAP_MKNOD"),
      "CAP_NET_ADMIN",
      "CAP_SYS_TIME",
    ]);
    expect(choose(["ALL"], ["chown"])).toEqual(host.capabilities.filter((name) => name !== "CAP_CHOWN"));
    expect(choose(["CHOWN"], ["all"])).toEqual(["CAP_CHOWN"]);
    expect(choose([], ["ALL"])).toEqual([]);
  });

  test("that are unknown or not ours to give are refused in Docker's words", () => {
    expect(() => choose(["foo"], [])).toThrow('invalid CapAdd: unknown capability: "CAP_FOO"');
    expect(() => choose([], ["foo"])).toThrow('invalid CapDrop: unknown capability: "CAP_FOO"');
    expect(() => choose(["SYS_RESOURCE"], [])).toThrow("not available in the current environment");
  });
});

describe("security options", () => {
  test("are read in both forms", () => {
    expect(
      parseSecurityOptions(["no-new-privileges", "seccomp=unconfined", "apparmor=x", "label:disable"]),
    ).toEqual({
      noNewPrivileges: true,
      seccomp: "unconfined",
      writableCgroups: false,
    });
    expect(parseSecurityOptions(["no-new-privileges:false", 'seccomp={"a":"b=c"}'])).toMatchObject({
      noNewPrivileges: false,
      seccomp: { profile: '{"a":"b=c"}' },
    });
  });

  test("that are unknown are refused", () => {
    expect(() => parseSecurityOptions(["foo"])).toThrow('invalid --security-opt 1: "foo"');
    expect(() => parseSecurityOptions(["foo=bar"])).toThrow('invalid --security-opt 2: "foo=bar"');
  });
});

test("device rules are read, and devices that are none are refused in Docker's words", () => {
  const { rules, devices } = resolveDevices({
    Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/other", CgroupPermissions: "r" }],
    DeviceCgroupRules: ["c 1:* rwm", "a *:* m"],
  });
  expect(devices).toMatchObject([{ path: "/dev/other", type: "c", major: 1, minor: 3 }]);
  expect(rules.slice(7)).toEqual([
    { allow: true, type: "c", major: 1, minor: 3, access: "r" },
    { allow: true, type: "c", major: 1, access: "rwm" },
    { allow: true, type: "a", access: "m" },
  ]);
  const mapping =
    (PathOnHost: string, CgroupPermissions = "rwm") =>
    () =>
      resolveDevices({ Devices: [{ PathOnHost, PathInContainer: PathOnHost, CgroupPermissions }] });
  const prefix = "error gathering device information while adding custom device";
  expect(mapping("/dev/nosuch")).toThrow(`${prefix} "/dev/nosuch": no such file or directory`);
  expect(mapping("/etc/passwd")).toThrow(`${prefix} "/etc/passwd": not a device node`);
  expect(mapping("/dev/null", "q")).toThrow("bad mode specified: q");
  expect(() => resolveDevices({ DeviceCgroupRules: ["x"] })).toThrow(
    "invalid device cgroup rule format: 'x'",
  );
});

test.each([
  ["open executable: Permission denied", "/p", 126, 'exec: "/p": permission denied'],
  [
    "executable file `p` not found in $PATH: No such file or directory",
    "p",
    127,
    'exec: "p": executable file not found in $PATH',
  ],
  [
    'time="2026-01-01T00:00:00Z" level=warning msg="x"\ntime="2026-01-01T00:00:00Z" level=error msg="runc create failed: unable to start container process: exec: \\"p\\": executable file not found in $PATH"',
    "p",
    127,
    'exec: "p": executable file not found in $PATH',
  ],
  [
    "error stat'ing file `/nosuch`: No such file or directory",
    "p",
    128,
    "error stat'ing file `/nosuch`: no such file or directory",
  ],
  ["", "p", 128, "the runtime gave no reason"],
])("the runtime's %j becomes Docker's words", (output, program, exitCode, reason) => {
  const error = startFailure("create", output, program);
  expect(error.exitCode as number).toBe(exitCode);
  expect(error.message).toBe(
    `failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: ${reason}: unknown`,
  );
});
