/**
 * The parts of the OCI runtime configuration that davit writes. Names and meanings are the specification's own:
 * OCI runtime-spec, config.md and config-linux.md (version 1.0.2).
 */

export interface RuntimeSpec {
  ociVersion: string;
  process: ProcessSpec;
  root: { path: string; readonly?: boolean };
  hostname?: string;
  domainname?: string;
  mounts: MountSpec[];
  annotations?: Record<string, string>;
  hooks?: Partial<Record<HookName, HookSpec[]>>;
  linux: LinuxSpec;
}

/** OCI runtime-spec, config.md#posix-platform-hooks. */
export const hookNames = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;
export type HookName = (typeof hookNames)[number];

/** A program of the host that the runtime runs at a point of a container's life. */
export interface HookSpec {
  path: string;
  args?: string[];
  env?: string[];
  /** Seconds. */
  timeout?: number;
}

export interface ProcessSpec {
  terminal?: boolean;
  consoleSize?: { height: number; width: number };
  user: { uid: number; gid: number; additionalGids?: number[] };
  args: string[];
  env: string[];
  cwd: string;
  capabilities?: CapabilitySets;
  rlimits?: { type: string; hard: number; soft: number }[];
  noNewPrivileges?: boolean;
  oomScoreAdj?: number;
  apparmorProfile?: string;
}

export interface CapabilitySets {
  bounding: string[];
  effective: string[];
  permitted: string[];
  inheritable?: string[];
  ambient?: string[];
}

export interface MountSpec {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

export interface LinuxSpec {
  cgroupsPath: string;
  namespaces: { type: NamespaceType; path?: string }[];
  devices?: DeviceSpec[];
  resources: LinuxResources;
  sysctl?: Record<string, string>;
  seccomp?: SeccompProfile;
  maskedPaths?: string[];
  readonlyPaths?: string[];
  rootfsPropagation?: string;
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
}

export interface IdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

export type NamespaceType = "pid" | "network" | "mount" | "ipc" | "uts" | "user" | "cgroup";

export interface DeviceSpec {
  path: string;
  type: "c" | "b" | "p" | "u";
  major: number;
  minor: number;
  fileMode?: number;
  uid?: number;
  gid?: number;
}

export interface DeviceRule {
  allow: boolean;
  type?: string;
  major?: number;
  minor?: number;
  access?: string;
}

export interface LinuxResources {
  devices?: DeviceRule[];
  memory?: {
    limit?: number;
    reservation?: number;
    swap?: number;
    swappiness?: number;
    disableOOMKiller?: boolean;
  };
  cpu?: {
    shares?: number;
    quota?: number;
    period?: number;
    realtimeRuntime?: number;
    realtimePeriod?: number;
    cpus?: string;
    mems?: string;
  };
  pids?: { limit: number };
  blockIO?: {
    weight?: number;
    weightDevice?: { major: number; minor: number; weight: number }[];
    throttleReadBpsDevice?: ThrottleSpec[];
    throttleWriteBpsDevice?: ThrottleSpec[];
    throttleReadIOPSDevice?: ThrottleSpec[];
    throttleWriteIOPSDevice?: ThrottleSpec[];
  };
}

export interface ThrottleSpec {
  major: number;
  minor: number;
  rate: number;
}

export interface SeccompProfile {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  syscalls?: SeccompRule[];
}

export interface SeccompRule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: SeccompArgument[];
}

export interface SeccompArgument {
  index: number;
  value: number;
  valueTwo?: number;
  op: string;
}
