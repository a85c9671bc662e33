/**
 * All that one instance owns derives from its two roots, so that instances side by side never meet:
 * paths, sockets, the bridge, the nftables table, the cgroup parent and the locks.
 */
import { join } from "./paths.ts";

export const defaultDataRoot = "/var/lib/davit";
export const defaultExecRoot = "/run/davit";

export interface Instance {
  /** What outlives a reboot: images, snapshots, volumes, records. */
  readonly dataRoot: string;
  /** What does not: bundles, sockets, pid files, locks. */
  readonly execRoot: string;
  /** Short name, unique on the machine: `davit` for the default roots, else `davit-` and 6 hex digits. */
  readonly name: string;
  /** The default bridge: `davit0`, else `dv` and 6 hex digits and `0`. At most 15 bytes. */
  readonly bridge: string;
  /** The instance's own nftables table (family inet). */
  readonly table: string;
  /** Parent of all container cgroups, as an absolute path below each hierarchy. */
  readonly cgroupParent: string;
}

/** @param dataRoot,execRoot absolute paths, already resolved. */
export function describeInstance(dataRoot: string, execRoot: string): Instance {
  const isDefault = dataRoot === defaultDataRoot && execRoot === defaultExecRoot;
  const tag = new Bun.CryptoHasher("sha256").update(`${dataRoot}\0${execRoot}`).digest("hex").slice(0, 6);
  const name = isDefault ? "davit" : `davit-${tag}`;
  return {
    dataRoot,
    execRoot,
    name,
    bridge: isDefault ? "davit0" : `dv${tag}0`,
    table: name,
    cgroupParent: `/${name}`,
  };
}

/** The directory that holds a container's OCI bundle, pid files, attach socket and conmon's files. */
export function bundlePath(instance: Instance, id: string): string {
  return join(instance.execRoot, "containers", id);
}

/** What of a container outlives a reboot: its log, hosts, hostname and resolv.conf. */
export function containerDataPath(instance: Instance, id: string): string {
  return join(instance.dataRoot, "containers", id);
}

/** Where conmon writes what the container says. */
export function logPath(instance: Instance, id: string): string {
  return join(containerDataPath(instance, id), "container.log");
}
