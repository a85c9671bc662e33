/**
 * Makes the OCI runtime configuration of a container: what Docker would give its runtime, from the same settings.
 * Compared with the config.json that dockerd writes for plain, limited, privileged and host-namespace containers.
 */
import { InvalidParameter } from "../core/errors.ts";
import type { ContainerConfig, HostConfig, Ulimit } from "../core/objects.ts";
import { capabilitySets, chooseCapabilities } from "./capabilities.ts";
import { maskedPaths, readonlyPaths } from "./defaults.ts";
import type { ResolvedDevices } from "./devices.ts";
import { mergeEnvironment } from "./environment.ts";
import type { HostFacts } from "./host.ts";
import { initPath, makeMounts, type ResolvedMount, rootPropagation } from "./mounts.ts";
import type { LinuxSpec, NamespaceType, ProcessSpec, RuntimeSpec } from "./oci.ts";
import { makeResources } from "./resources.ts";
import { customSeccomp, defaultSeccomp } from "./seccomp.ts";
import { parseSecurityOptions, type SecurityOptions } from "./security-options.ts";
import type { ResolvedUser } from "./users.ts";

export { findInit, type HostFacts, readHostFacts } from "./host.ts";
export type { ResolvedMount } from "./mounts.ts";

/** `private`: its own; `host`: the host's; else an existing one by `/proc/<pid>/ns/<name>`. */
export type NamespaceMode = "private" | "host" | { path: string };

export interface SpecInput {
  /** Absolute path of the mounted root. */
  rootfs: string;
  /** Absolute, below each hierarchy; from `containerCgroup`. */
  cgroupsPath: string;
  host: HostFacts;
  /** Entrypoint and command joined. */
  args: readonly string[];
  config: ContainerConfig;
  /** Its limits as `checkResources` gave them back. */
  hostConfig: HostConfig;
  user: ResolvedUser;
  /** For HOSTNAME, and set in the container unless its UTS namespace is another's. */
  hostname: string;
  mounts: readonly ResolvedMount[];
  /** Host paths of the files bound at /etc/hosts, /etc/hostname and /etc/resolv.conf. */
  etcFiles: { hosts?: string; hostname?: string; resolvConf?: string };
  namespaces: {
    network: NamespaceMode;
    pid: NamespaceMode;
    ipc: NamespaceMode;
    uts: NamespaceMode;
    cgroup: NamespaceMode;
  };
  /** From `resolveDevices`. */
  devices: ResolvedDevices;
  /** Takes the place of what HostConfig.SecurityOpt says of seccomp. `profile` is the file's text. */
  seccomp?: SecurityOptions["seccomp"];
  /** Host directory that becomes /dev/shm, for an IPC namespace that several containers share. */
  shmPath?: string;
  /** Host path of tini for `--init`; from `findInit`. */
  init?: string;
}

export interface MadeSpec {
  spec: RuntimeSpec;
  /** For the user: limits that this host does not let us give. */
  warnings: string[];
}

/** Pure. @throws InvalidParameter where Docker would refuse the settings. */
export function makeSpec(input: SpecInput): MadeSpec {
  const { config, hostConfig, host, namespaces } = input;
  const warnings: string[] = [];
  const privileged = hostConfig.Privileged ?? false;
  const security = parseSecurityOptions(hostConfig.SecurityOpt ?? []);
  if (input.seccomp !== undefined) security.seccomp = input.seccomp;
  const capabilities = chooseCapabilities({
    add: hostConfig.CapAdd ?? [],
    drop: hostConfig.CapDrop ?? [],
    privileged,
    available: host.capabilities,
  });

  const process: ProcessSpec = {
    user: { uid: input.user.uid, gid: input.user.gid, additionalGids: input.user.additionalGids },
    args: input.init === undefined ? [...input.args] : [initPath, "--", ...input.args],
    env: containerEnvironment(config, input.hostname, input.user.home),
    cwd: config.WorkingDir || "/",
    capabilities: capabilitySets(capabilities, input.user.uid),
    oomScoreAdj: oomScore(hostConfig.OomScoreAdj ?? 0, host, warnings),
  };
  if (config.Tty) process.terminal = true;
  const [height = 0, width = 0] = hostConfig.ConsoleSize ?? [];
  if (config.Tty && height > 0 && width > 0) process.consoleSize = { height, width };
  if (security.noNewPrivileges) process.noNewPrivileges = true;
  const rlimits = (hostConfig.Ulimits ?? []).map((ulimit) => rlimit(ulimit, host, warnings));
  if (rlimits.length > 0) process.rlimits = rlimits;

  const spec: RuntimeSpec = {
    ociVersion: "1.0.2",
    process,
    root: hostConfig.ReadonlyRootfs ? { path: input.rootfs, readonly: true } : { path: input.rootfs },
    mounts: makeMounts({
      mounts: input.mounts,
      etcFiles: input.etcFiles,
      ipc: namespaces.ipc === "private" || namespaces.ipc === "host" ? namespaces.ipc : "shared",
      ...(input.shmPath === undefined ? {} : { shmPath: input.shmPath }),
      ...(input.init === undefined ? {} : { init: input.init }),
      shmSize: hostConfig.ShmSize ?? 0,
      privileged,
      writableCgroups: security.writableCgroups,
      readonlyRootfs: hostConfig.ReadonlyRootfs ?? false,
      canBindReadonlyRecursively:
        host.kernel.major > 5 || (host.kernel.major === 5 && host.kernel.minor >= 12),
    }),
    linux: makeLinux(input, capabilities, security),
  };
  if (namespaces.uts === "private") spec.hostname = input.hostname;
  if (hostConfig.Annotations && Object.keys(hostConfig.Annotations).length > 0) {
    spec.annotations = hostConfig.Annotations;
  }
  return { spec, warnings };
}

function makeLinux(input: SpecInput, capabilities: readonly string[], security: SecurityOptions): LinuxSpec {
  const { hostConfig, host, namespaces } = input;
  const privileged = hostConfig.Privileged ?? false;
  const linux: LinuxSpec = {
    cgroupsPath: input.cgroupsPath,
    namespaces: namespaceList(namespaces),
    resources: { ...makeResources(hostConfig), devices: input.devices.rules },
  };
  if (input.devices.devices.length > 0) linux.devices = input.devices.devices;
  const sysctl = sysctls(input);
  if (Object.keys(sysctl).length > 0) linux.sysctl = sysctl;
  const propagation = rootPropagation(input.mounts);
  if (propagation !== undefined) linux.rootfsPropagation = propagation;

  if (privileged) return linux;
  linux.maskedPaths = hostConfig.MaskedPaths ?? [...maskedPaths];
  linux.readonlyPaths = hostConfig.ReadonlyPaths ?? [...readonlyPaths];
  if (security.seccomp !== "unconfined") {
    const conditions = { capabilities, architecture: host.architecture, kernel: host.kernel };
    linux.seccomp =
      security.seccomp === "default"
        ? defaultSeccomp(conditions)
        : customSeccomp(security.seccomp.profile, conditions);
  }
  return linux;
}

function namespaceList(modes: SpecInput["namespaces"]): { type: NamespaceType; path?: string }[] {
  const list: { type: NamespaceType; path?: string }[] = [{ type: "mount" }];
  for (const type of ["network", "uts", "pid", "ipc", "cgroup"] as const) {
    const mode = modes[type];
    if (mode === "private") list.push({ type });
    else if (mode !== "host") list.push({ type, path: mode.path });
  }
  return list;
}

/** Docker's two for a container's own network, then the user's, which must lie in a namespace of its own. */
function sysctls(input: SpecInput): Record<string, string> {
  const { config, hostConfig, namespaces } = input;
  const made: Record<string, string> = {};
  const networkMode = hostConfig.NetworkMode ?? "";
  if (namespaces.network !== "host" && networkMode !== "host" && !networkMode.startsWith("container:")) {
    made["net.ipv4.ip_unprivileged_port_start"] = "0";
    made["net.ipv4.ping_group_range"] = "0 2147483647";
  }
  if (config.Domainname && namespaces.uts === "private") made["kernel.domainname"] = config.Domainname;
  for (const [name, value] of Object.entries(hostConfig.Sysctls ?? {})) {
    if (name.startsWith("net.") && namespaces.network === "host") {
      throw new InvalidParameter(`sysctl "${name}" not allowed in host network namespace`);
    }
    made[name] = value;
  }
  return made;
}

/**
 * The environment of a container's first process, and of execs: Docker's own entries, which the image and the user
 * may replace, then theirs.
 */
function containerEnvironment(config: ContainerConfig, hostname: string, home: string): string[] {
  const base = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    `HOSTNAME=${hostname}`,
    // runc would find it; crun leaves it empty for a user without an entry.
    `HOME=${home}`,
  ];
  if (config.Tty) base.push("TERM=xterm");
  return mergeEnvironment(base, config.Env ?? []);
}

function rlimit(ulimit: Ulimit, host: HostFacts, warnings: string[]) {
  const name = ulimit.Name.toLowerCase().replace(/^rlimit_/, "");
  const soft = ulimit.Soft === -1 ? Number.POSITIVE_INFINITY : ulimit.Soft;
  const hard = ulimit.Hard === -1 ? Number.POSITIVE_INFINITY : ulimit.Hard;
  if (!host.hardLimits.has(name)) throw new InvalidParameter(`invalid ulimit type: ${ulimit.Name}`);
  if (soft > hard) {
    throw new InvalidParameter(
      `ulimit soft limit must be less than or equal to hard limit: ${ulimit.Soft} > ${ulimit.Hard}`,
    );
  }
  const highest = host.capabilities.includes("CAP_SYS_RESOURCE")
    ? Number.POSITIVE_INFINITY
    : (host.hardLimits.get(name) ?? Number.POSITIVE_INFINITY);
  if (hard > highest) {
    warnings.push(
      `ulimit ${name}: ${ulimit.Hard} is above the hard limit of this process, which cannot be raised ` +
        `without CAP_SYS_RESOURCE: ${highest} is used.`,
    );
  }
  return {
    type: `RLIMIT_${name.toUpperCase()}`,
    hard: Math.min(hard, highest),
    soft: Math.min(soft, highest),
  };
}

function oomScore(wanted: number, host: HostFacts, warnings: string[]): number {
  if (wanted < -1000 || wanted > 1000) {
    throw new InvalidParameter(`Invalid value ${wanted}, range for oom score adj is [-1000, 1000]`);
  }
  if (wanted >= host.oomScoreAdj || host.capabilities.includes("CAP_SYS_RESOURCE")) return wanted;
  if (wanted !== 0) {
    warnings.push(
      `oom score adj ${wanted} is below that of this process, which needs CAP_SYS_RESOURCE: ` +
        `${host.oomScoreAdj} is used.`,
    );
  }
  return host.oomScoreAdj;
}
