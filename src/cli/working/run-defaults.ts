/** The flags of `from` that say how commands run in the container later. */
import type { HostConfig } from "../../core/objects.ts";
import type { RunDefaults } from "../../engine/working.ts";
import type { FlagSet } from "../flags/flag-set.ts";
import { parseBytes } from "../flags/values.ts";
import { parseDevice, parseUlimit } from "../options/devices.ts";
import { listOrNull, splitCsv } from "../options/key-values.ts";
import { checkDnsSearch, parseExtraHost } from "../options/policies.ts";
import { accepted, unsupported } from "./flags.ts";

export function runDefaultFlags(flags: FlagSet): () => RunDefaults {
  const limits = limitFlags(flags);
  const addHost = flags.list("add-host", "Add a custom host-to-IP mapping (host:ip)", {
    parse: parseExtraHost,
  });
  const capAdd = flags.list("cap-add", "Add the specified capability when running");
  const capDrop = flags.list("cap-drop", "Drop the specified capability when running");
  const device = flags.each("device", "Additional devices to be used within containers", {
    parse: parseDevice,
  });
  const dns = flags.list("dns", "Set custom DNS servers, or 'none' to leave /etc/resolv.conf alone");
  const dnsOption = flags.list("dns-option", "Set custom DNS options");
  const dnsSearch = flags.list("dns-search", "Set custom DNS search domains", { parse: checkDnsSearch });
  const securityOpt = flags.list("security-opt", "Security options");
  const volume = flags.list("volume", "Bind mount a volume into the container", { short: "v" });
  const network = flags.string(
    "network",
    "'private', 'none', 'ns:path' of network namespace to join, or 'host'",
  );
  const namespaces = namespaceFlags(flags);
  accepted(flags, { bools: ["http-proxy"], strings: ["isolation"] });
  unsupported(flags, [
    "userns",
    "userns-uid-map",
    "userns-gid-map",
    "userns-uid-map-user",
    "userns-gid-map-group",
  ]);
  return () => ({
    hostConfig: {
      ...limits(),
      ExtraHosts: listOrNull(addHost.value),
      CapAdd: listOrNull(capAdd.value.flatMap(splitCsv)),
      CapDrop: listOrNull(capDrop.value.flatMap(splitCsv)),
      Devices: listOrNull(device.value),
      Dns: listOrNull(dns.value.flatMap(splitCsv)),
      DnsOptions: listOrNull(dnsOption.value.flatMap(splitCsv)),
      DnsSearch: listOrNull(dnsSearch.value.flatMap(splitCsv)),
      SecurityOpt: listOrNull(securityOpt.value),
    },
    network: network.value,
    namespaces: namespaces(),
    volumes: volume.value,
  });
}

function limitFlags(flags: FlagSet): () => HostConfig {
  const bytes = { kind: "bytes", initial: 0, parse: parseBytes };
  const memory = flags.value("memory", "Memory limit", { ...bytes, short: "m" });
  const swap = flags.value(
    "memory-swap",
    "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    {
      ...bytes,
      parse: (text) => (text === "-1" ? -1 : parseBytes(text)),
    },
  );
  const shmSize = flags.value("shm-size", "Size of '/dev/shm'", bytes);
  const shares = flags.int("cpu-shares", "CPU shares (relative weight)", { short: "c" });
  const period = flags.int("cpu-period", "Limit the CPU CFS (Completely Fair Scheduler) period");
  const quota = flags.int("cpu-quota", "Limit the CPU CFS (Completely Fair Scheduler) quota");
  const cpus = flags.string("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)");
  const mems = flags.string("cpuset-mems", "Memory nodes (MEMs) in which to allow execution (0-3, 0,1)");
  const parent = flags.string("cgroup-parent", "Optional parent cgroup for the container");
  const ulimit = flags.each("ulimit", "Ulimit options", { kind: "ulimit", parse: parseUlimit });
  return () => ({
    Memory: memory.value,
    MemorySwap: swap.value,
    ShmSize: shmSize.value,
    CpuShares: shares.value,
    CpuPeriod: period.value,
    CpuQuota: quota.value,
    CpusetCpus: cpus.value,
    CpusetMems: mems.value,
    CgroupParent: parent.value,
    Ulimits: listOrNull(ulimit.value),
  });
}

/** What is not given is empty. */
export function namespaceFlags(flags: FlagSet): () => RunDefaults["namespaces"] {
  const pid = flags.string("pid", "'private', path of PID namespace to join, or 'host'");
  const ipc = flags.string("ipc", "'private', path of IPC namespace to join, or 'host'");
  const uts = flags.string("uts", "'private', path of UTS namespace to join, or 'host'");
  const cgroup = flags.string("cgroupns", "'private', or 'host'");
  return () => ({ pid: pid.value, ipc: ipc.value, uts: uts.value, cgroup: cgroup.value });
}
