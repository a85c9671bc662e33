/** The runtime configuration of one start: everything about the container made definite. */

import { Conflict } from "../../core/errors.ts";
import { containerDataPath } from "../../core/instance.ts";
import { join } from "../../core/paths.ts";
import { writeFileSync } from "../../linux/files.ts";
import { hostsFile } from "../../network/hosts.ts";
import { parseNetworkMode } from "../../network/mode.ts";
import type { Endpoint } from "../../network/model.ts";
import { resolvConf } from "../../network/resolv.ts";
import { containerCgroup } from "../../runtime/cgroups.ts";
import { resolveDevices } from "../../runtime/devices.ts";
import {
  findInit,
  type MadeSpec,
  makeSpec,
  type NamespaceMode,
  type ResolvedMount,
  type SpecInput,
} from "../../runtime/spec.ts";
import { resolveUser } from "../../runtime/users.ts";
import type { ContainerRecord } from "../../state/containers.ts";
import type { Local } from "./local.ts";
import { findContainer } from "./lookup.ts";
import { liveState } from "./status.ts";

export interface BundleParts {
  bundle: string;
  rootfs: string;
  mounts: readonly ResolvedMount[];
  endpoint: Endpoint | undefined;
}

/** Writes the files that the container sees in /etc, and makes its runtime configuration. */
export async function makeBundle(
  local: Local,
  record: ContainerRecord,
  parts: BundleParts,
): Promise<MadeSpec> {
  const { config, hostConfig } = record;
  return makeSpec({
    rootfs: parts.rootfs,
    cgroupsPath: containerCgroup(local.instance, record.id, hostConfig.CgroupParent),
    host: local.host(),
    args: [record.path, ...record.args],
    config,
    hostConfig,
    user: resolveUser(parts.rootfs, config.User ?? "", hostConfig.GroupAdd ?? []),
    hostname: config.Hostname ?? "",
    mounts: parts.mounts,
    etcFiles: etcFiles(local, record, parts.endpoint),
    namespaces: namespaces(local, record),
    devices: resolveDevices(hostConfig),
    ...(hostConfig.Init === true ? { init: findInit(local.searchPath) } : {}),
  });
}

/** Writes /etc/hosts, /etc/hostname and /etc/resolv.conf; a container in another's network shares that one's. */
function etcFiles(
  local: Local,
  record: ContainerRecord,
  endpoint: Endpoint | undefined,
): SpecInput["etcFiles"] {
  const mode = parseNetworkMode(record.hostConfig.NetworkMode);
  if (mode.kind === "container") {
    const other = findContainer(local.state, mode.container);
    return etcPaths(containerDataPath(local.instance, other.id));
  }
  const files = etcPaths(containerDataPath(local.instance, record.id));
  const { config, hostConfig } = record;
  writeFileSync(files.hostname, `${config.Hostname ?? ""}\n`);
  writeFileSync(
    files.hosts,
    hostsFile({
      mode: mode.kind,
      hostname: config.Hostname ?? "",
      domainname: config.Domainname ?? "",
      address: endpoint?.address,
      gateway: endpoint?.gateway,
      extraHosts: hostConfig.ExtraHosts ?? [],
    }),
  );
  writeFileSync(
    files.resolvConf,
    resolvConf({
      mode: mode.kind,
      servers: hostConfig.Dns ?? [],
      search: hostConfig.DnsSearch ?? [],
      options: hostConfig.DnsOptions ?? [],
    }),
  );
  return files;
}

function etcPaths(directory: string): { hosts: string; hostname: string; resolvConf: string } {
  return {
    hosts: join(directory, "hosts"),
    hostname: join(directory, "hostname"),
    resolvConf: join(directory, "resolv.conf"),
  };
}

function namespaces(local: Local, record: ContainerRecord): SpecInput["namespaces"] {
  const { hostConfig } = record;
  return {
    network: namespaceMode(local, hostConfig.NetworkMode, "net"),
    pid: namespaceMode(local, hostConfig.PidMode, "pid"),
    ipc: namespaceMode(local, hostConfig.IpcMode, "ipc"),
    uts: hostConfig.UTSMode === "host" ? "host" : "private",
    cgroup: cgroupMode(local, record),
  };
}

function namespaceMode(local: Local, mode: string | undefined, name: "net" | "pid" | "ipc"): NamespaceMode {
  if (mode === "host") return "host";
  if (mode?.startsWith("container:")) return joinContainer(local, mode.slice("container:".length), name);
  return "private";
}

/** Docker's default: private on cgroup v2, the host's on v1; --privileged sees the host's. */
function cgroupMode(local: Local, record: ContainerRecord): NamespaceMode {
  const mode = record.hostConfig.CgroupnsMode || (local.cgroups().version === "v2" ? "private" : "host");
  return mode === "host" ? "host" : "private";
}

function joinContainer(local: Local, reference: string, name: string): NamespaceMode {
  const other = findContainer(local.state, reference);
  const live = liveState(other);
  if (live === undefined) throw new Conflict(`cannot join network of a non running container: ${other.id}`);
  return { path: `/proc/${live.process.pid}/ns/${name}` };
}
