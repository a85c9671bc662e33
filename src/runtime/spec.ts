/** Makes the OCI runtime configuration of a container: what Docker would give its runtime, from the same settings. */
import type { ContainerConfig, HostConfig } from "../core/objects.ts";
import type { CgroupLayout } from "./cgroups.ts";
import type { DeviceSpec, ProcessSpec, RuntimeSpec } from "./oci.ts";
import type { ResolvedUser } from "./users.ts";

/** A mount for the container with everything resolved: the source exists, the destination is absolute. */
export interface ResolvedMount {
  type: "bind" | "volume" | "tmpfs";
  /** Absolute host path; ignored for tmpfs. */
  source: string;
  destination: string;
  readonly: boolean;
  /** rprivate when empty. */
  propagation?: string;
  /** Further mount options, e.g. `size=64m`, `mode=1777` of a tmpfs, or `nocopy`-free bind flags such as `noexec`. */
  options?: readonly string[];
  /** Bind only the directory itself, without what is mounted below it. */
  nonRecursive?: boolean;
}

/** `private`: its own; `host`: the host's; else an existing one by `/proc/<pid>/ns/<name>`. */
export type NamespaceMode = "private" | "host" | { path: string };

/** What of the host goes into the configuration; read once per process by `readHostFacts`. */
export interface HostFacts {
  cgroups: CgroupLayout;
  /** amd64, arm64 … as Go names them. */
  architecture: string;
  kernel: { major: number; minor: number };
  cpus: number;
  /** Capabilities that we may hand on (our bounding set). */
  capabilities: readonly string[];
  /** Our own hard limits by rlimit name without prefix (`nofile`); Infinity when unlimited. */
  hardLimits: ReadonlyMap<string, number>;
}

export interface SpecInput {
  id: string;
  /** Absolute path of the mounted root. */
  rootfs: string;
  /** Absolute, below each hierarchy; from `containerCgroup`. */
  cgroupsPath: string;
  host: HostFacts;
  /** Entrypoint and command joined. */
  args: readonly string[];
  config: ContainerConfig;
  hostConfig: HostConfig;
  user: ResolvedUser;
  hostname: string;
  mounts: readonly ResolvedMount[];
  /** Paths on the host of the files bound at /etc/hosts, /etc/hostname and /etc/resolv.conf. */
  etcFiles: { hosts?: string; hostname?: string; resolvConf?: string };
  namespaces: {
    network: NamespaceMode;
    pid: NamespaceMode;
    ipc: NamespaceMode;
    uts: NamespaceMode;
    cgroup: NamespaceMode;
  };
  /** Host devices, resolved by `resolveDevices`. */
  devices: readonly DeviceSpec[];
  /** Parsed file of `--security-opt seccomp=…`; undefined for the default profile. */
  seccomp?: "unconfined" | { profile: string };
  /** Absolute host path of tini when `--init`; from `findInit`. */
  init?: string;
}

export interface MadeSpec {
  spec: RuntimeSpec;
  /** For the user: limits that the host does not let us give. */
  warnings: string[];
}

/** Pure. @throws InvalidParameter where Docker would refuse the settings. */
export declare function makeSpec(input: SpecInput): MadeSpec;

/** The process of an exec in a container, from the container's own process. */
export interface ExecProcessInput {
  container: ProcessSpec;
  args: readonly string[];
  env: readonly string[];
  cwd: string | undefined;
  tty: boolean;
  /** undefined: the container's user. */
  user: ResolvedUser | undefined;
  privileged: boolean;
  host: HostFacts;
  consoleSize?: { height: number; width: number };
}
export declare function makeExecProcess(input: ExecProcessInput): ProcessSpec;

/** Reads /proc for HostFacts. About 1 ms; keep the result for the life of the process. */
export declare function readHostFacts(cgroups: CgroupLayout): HostFacts;

/** Finds tini. @throws Unavailable naming the package. */
export declare function findInit(searchPath: string): string;
