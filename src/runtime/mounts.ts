/** The mounts of a container, in the order in which the runtime makes them. */
import type { MountSpec } from "./oci.ts";

/** A mount for the container with everything resolved: the source exists, the destination is absolute. */
export interface ResolvedMount {
  type: "bind" | "volume" | "tmpfs";
  /** Absolute host path; ignored for tmpfs. */
  source: string;
  destination: string;
  readonly: boolean;
  /** rprivate when empty. */
  propagation?: string;
  /** Further mount options: `size=64m`, `mode=1777`, `exec` of a tmpfs; `noexec` of a bind. */
  options?: readonly string[];
  /** Bind only the directory itself, without what is mounted below it. */
  nonRecursive?: boolean;
  /** Leave what is mounted below a read-only bind writable. */
  readonlyNonRecursive?: boolean;
}

export interface MountInput {
  mounts: readonly ResolvedMount[];
  /** Host paths of the files bound at these places. */
  etcFiles: { hosts?: string; hostname?: string; resolvConf?: string };
  ipc: "private" | "host" | "shared";
  /** A host directory (a tmpfs) that becomes /dev/shm, for containers that share their IPC namespace. */
  shmPath?: string;
  /** Bytes; 0 for Docker's default of 64 MiB. */
  shmSize: number;
  privileged: boolean;
  writableCgroups: boolean;
  readonlyRootfs: boolean;
  /** Host path of the init of `--init`. */
  init?: string;
  /** mount_setattr(2) with AT_RECURSIVE is there (Linux 5.12). */
  canBindReadonlyRecursively: boolean;
}

export const initPath = "/sbin/docker-init";
const defaultShmSize = 64 * 1024 * 1024;

/** Makes the list; user mounts take the place of default ones at the same destination. */
export function makeMounts(input: MountInput): MountSpec[] {
  const user = [...input.mounts.map((mount) => userMount(mount, input)), ...etcMounts(input)].sort(byDepth);
  const taken = new Set(user.map((mount) => mount.destination));
  const defaults = defaultMounts(input).filter(
    (mount) => !taken.has(mount.destination) && !(mount.destination.startsWith("/dev/") && taken.has("/dev")),
  );
  const init = input.init;
  const initMount =
    init === undefined
      ? []
      : [{ destination: initPath, type: "bind", source: init, options: ["bind", "ro"] }];
  return [...defaults, ...initMount, ...user];
}

function defaultMounts(input: MountInput): MountSpec[] {
  const sysOptions = ["nosuid", "noexec", "nodev", ...(input.privileged ? [] : ["ro"])];
  const cgroupOptions =
    input.privileged || input.writableCgroups
      ? ["nosuid", "noexec", "nodev"]
      : ["ro", "nosuid", "noexec", "nodev"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: sysOptions },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: cgroupOptions },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    shmMount(input),
  ];
}

function shmMount(input: MountInput): MountSpec {
  const shared = input.shmPath ?? (input.ipc === "host" ? "/dev/shm" : undefined);
  if (shared !== undefined) {
    return { destination: "/dev/shm", type: "bind", source: shared, options: ["rbind", "rprivate"] };
  }
  const size = input.shmSize > 0 ? input.shmSize : defaultShmSize;
  return {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${size}`],
  };
}

function etcMounts(input: MountInput): MountSpec[] {
  const files = [
    ["/etc/resolv.conf", input.etcFiles.resolvConf],
    ["/etc/hostname", input.etcFiles.hostname],
    ["/etc/hosts", input.etcFiles.hosts],
  ] as const;
  const given = new Set(input.mounts.map((mount) => mount.destination));
  const options = ["rbind", ...(input.readonlyRootfs ? ["ro"] : []), "rprivate"];
  return files.flatMap(([destination, source]) =>
    source === undefined || given.has(destination) ? [] : [{ destination, type: "bind", source, options }],
  );
}

function userMount(mount: ResolvedMount, input: MountInput): MountSpec {
  const { destination } = mount;
  if (mount.type === "tmpfs") {
    const base = ["noexec", "nosuid", "nodev", "rprivate", ...(mount.readonly ? ["ro"] : [])];
    return { destination, type: "tmpfs", source: "tmpfs", options: mergeOptions(base, mount.options ?? []) };
  }
  const options = [mount.nonRecursive ? "bind" : "rbind"];
  if (mount.readonly) options.push("ro");
  const recursive = !mount.nonRecursive && !mount.readonlyNonRecursive && input.canBindReadonlyRecursively;
  if (mount.readonly && recursive) options.push("rro");
  options.push(mount.propagation || "rprivate", ...(mount.options ?? []));
  return { destination, type: "bind", source: mount.source, options };
}

/** Pairs of which the later one given counts. */
const opposites = new Map(
  [
    ["exec", "noexec"],
    ["suid", "nosuid"],
    ["dev", "nodev"],
    ["rw", "ro"],
    ["atime", "noatime"],
    ["diratime", "nodiratime"],
  ].flatMap(([on = "", off = ""]) => [
    [on, off],
    [off, on],
  ]),
);

function mergeOptions(base: readonly string[], given: readonly string[]): string[] {
  const merged: string[] = [];
  for (const option of [...base, ...given]) {
    const opposite = opposites.get(option);
    const name = option.split("=")[0] ?? option;
    const kept = merged.filter((other) => other !== opposite && other.split("=")[0] !== name);
    merged.splice(0, merged.length, ...kept, option);
  }
  return merged;
}

/** A mount comes after those that its destination lies in. */
function byDepth(one: MountSpec, other: MountSpec): number {
  return depth(one.destination) - depth(other.destination);
}

function depth(path: string): number {
  return path.split("/").filter((part) => part !== "").length;
}

/** How the container's root must propagate so that its shared and slave mounts work. */
export function rootPropagation(mounts: readonly ResolvedMount[]): "rshared" | "rslave" | undefined {
  const wanted = new Set(mounts.map((mount) => mount.propagation));
  if (wanted.has("shared") || wanted.has("rshared")) return "rshared";
  if (wanted.has("slave") || wanted.has("rslave")) return "rslave";
  return undefined;
}
