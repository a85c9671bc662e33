/** Flags of `run` and `create` about the host's side: storage, network, security, life cycle. */
import type { ContainerConfig, HostConfig, NetworkingConfig } from "../../core/objects.ts";
import type { FlagSet } from "../flags/flag-set.ts";
import { BadValue, parseBytes } from "../flags/values.ts";
import type { Io } from "../io.ts";
import { listOrNull, toMap } from "./key-values.ts";
import { parseMount, tmpfsOf, volumesOf } from "./mounts.ts";
import { networkingConfig, parseNetwork } from "./networks.ts";
import {
  capabilities,
  checkDnsSearch,
  checkIpAddress,
  checkLink,
  checkNamespaces,
  checkSysctl,
  parseExtraHost,
  parseRestartPolicy,
  securityOptions,
} from "./policies.ts";
import { publishedPorts } from "./ports.ts";

/** What one group of flags adds to the request. */
export interface RequestPart {
  config?: ContainerConfig;
  host?: HostConfig;
  networking?: NetworkingConfig;
}

type ReadPart = (io: Io) => RequestPart;

export function storageFlags(flags: FlagSet): ReadPart {
  const mount = flags.list("mount", "Attach a filesystem mount to the container", {
    kind: "mount",
    parse: (text) => {
      parseMount(text, "/");
      return text;
    },
  });
  const readOnly = flags.bool("read-only", "Mount the container's root filesystem as read only");
  const shmSize = flags.value("shm-size", "Size of /dev/shm", {
    kind: "bytes",
    initial: 0,
    parse: parseBytes,
  });
  const storageOpt = flags.list("storage-opt", "Storage driver options for the container");
  const tmpfs = flags.list("tmpfs", "Mount a tmpfs directory");
  flags.bool("use-api-socket", "Bind mount Docker API socket and required auth", { unsupported: true });
  const volume = flags.list("volume", "Bind mount a volume", { short: "v" });
  const volumeDriver = flags.string("volume-driver", "Optional volume driver for the container");
  const volumesFrom = flags.list("volumes-from", "Mount volumes from the specified container(s)");
  return (io) => {
    if (storageOpt.value.some((option) => !option.includes("=")))
      throw new BadValue("invalid storage option");
    const volumes = volumesOf(volume.value, io.cwd);
    return {
      config: { Volumes: volumes.anonymous },
      host: {
        Binds: listOrNull(volumes.binds),
        Mounts: mount.value.map((text) => parseMount(text, io.cwd)),
        Tmpfs: tmpfsOf(tmpfs.value),
        VolumesFrom: listOrNull(volumesFrom.value),
        VolumeDriver: volumeDriver.value,
        ReadonlyRootfs: readOnly.value,
        ShmSize: shmSize.value,
        ...(storageOpt.changed ? { StorageOpt: toMap(storageOpt.value) } : {}),
      },
    };
  };
}

export function networkFlags(flags: FlagSet): ReadPart {
  const addHost = flags.list("add-host", "Add a custom host-to-IP mapping (host:ip)", {
    parse: parseExtraHost,
  });
  const dns = flags.list("dns", "Set custom DNS servers", { parse: checkIpAddress });
  const dnsOption = flags.list("dns-option", "Set DNS options");
  const dnsOpt = flags.list("dns-opt", "Set DNS options", { hidden: true });
  const dnsSearch = flags.list("dns-search", "Set custom DNS search domains", { parse: checkDnsSearch });
  const expose = flags.list("expose", "Expose a port or a range of ports");
  const ip = flags.string("ip", "IPv4 address (e.g., 172.30.100.104)");
  const ip6 = flags.string("ip6", "IPv6 address (e.g., 2001:db8::33)");
  const link = flags.list("link", "Add link to another container", { parse: checkLink });
  const linkLocal = flags.list("link-local-ip", "Container IPv4/IPv6 link-local addresses", {
    parse: checkIpAddress,
  });
  const macAddress = flags.string("mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)");
  const networkDetails = { kind: "network", parse: parseNetwork };
  const network = flags.each("network", "Connect a container to a network", networkDetails);
  const net = flags.each("net", "Connect a container to a network", { ...networkDetails, hidden: true });
  const alias = flags.list("network-alias", "Add network-scoped alias for the container");
  const netAlias = flags.list("net-alias", "Add network-scoped alias for the container", { hidden: true });
  const publish = flags.list("publish", "Publish a container's port(s) to the host", { short: "p" });
  const publishAll = flags.bool("publish-all", "Publish all exposed ports to random ports", { short: "P" });
  return () => {
    const attachments = [...network.value, ...net.value];
    const ports = publishedPorts(publish.value, expose.value);
    return {
      config: { ExposedPorts: ports.exposed },
      host: {
        NetworkMode: attachments[0]?.name ?? "default",
        PortBindings: ports.bindings,
        PublishAllPorts: publishAll.value,
        Links: link.value,
        ExtraHosts: listOrNull(addHost.value),
        Dns: dns.value,
        DnsOptions: [...dnsOption.value, ...dnsOpt.value],
        DnsSearch: dnsSearch.value,
      },
      networking: networkingConfig(attachments, {
        aliases: [...alias.value, ...netAlias.value],
        links: link.value,
        ipv4: ip.value,
        ipv6: ip6.value,
        linkLocal: linkLocal.value,
        macAddress: macAddress.value,
      }),
    };
  };
}

export function securityFlags(flags: FlagSet): ReadPart {
  const capAdd = flags.list("cap-add", "Add Linux capabilities");
  const capDrop = flags.list("cap-drop", "Drop Linux capabilities");
  const cgroupns = flags.string(
    "cgroupns",
    `Cgroup namespace to use (host|private)
'host':    Run the container in the host's cgroup namespace
'private': Run the container in its own private cgroup namespace`,
  );
  const groupAdd = flags.list("group-add", "Add additional groups to join");
  const ipc = flags.string("ipc", "IPC mode to use");
  const isolation = flags.string("isolation", "Container isolation technology");
  const oomScoreAdj = flags.int("oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)");
  const pid = flags.string("pid", "PID namespace to use");
  const privileged = flags.bool("privileged", "Give extended privileges to this container");
  const securityOpt = flags.list("security-opt", "Security Options");
  const sysctl = flags.list("sysctl", "Sysctl options", {
    kind: "map",
    shownDefault: "map[]",
    parse: checkSysctl,
  });
  const userns = flags.string("userns", "User namespace to use");
  const uts = flags.string("uts", "UTS namespace to use");
  return (io) => {
    if (!["", "default"].includes(isolation.value)) {
      throw new BadValue(`invalid isolation '${isolation.value}': only 'default' is known on Linux`);
    }
    const host: HostConfig = {
      ...capabilities(capAdd.value, capDrop.value),
      GroupAdd: listOrNull(groupAdd.value),
      IpcMode: ipc.value,
      PidMode: pid.value,
      UTSMode: uts.value,
      UsernsMode: userns.value,
      CgroupnsMode: cgroupMode(cgroupns.value),
      Privileged: privileged.value,
      OomScoreAdj: oomScoreAdj.value,
      Sysctls: toMap(sysctl.value),
      ...securityOptions(io, securityOpt.value),
    };
    checkNamespaces(host);
    return { host };
  };
}

function cgroupMode(text: string): "" | "private" | "host" {
  if (text === "" || text === "private" || text === "host") return text;
  throw new BadValue("--cgroupns: invalid CGROUP mode");
}

export function lifeCycleFlags(flags: FlagSet): ReadPart {
  const annotation = flags.list(
    "annotation",
    "Add an annotation to the container (passed through to the OCI runtime)",
    {
      kind: "map",
      shownDefault: "map[]",
    },
  );
  const cidfile = flags.string("cidfile", "Write the container ID to the file");
  const init = flags.bool(
    "init",
    "Run an init inside the container that forwards signals and reaps processes",
  );
  const logDriver = flags.string("log-driver", "Logging driver for the container");
  const logOpt = flags.list("log-opt", "Log driver options");
  const restart = flags.string("restart", "Restart policy to apply when a container exits", {
    initial: "no",
  });
  const rm = flags.bool(
    "rm",
    "Automatically remove the container and its associated anonymous volumes when it exits",
  );
  const runtime = flags.string("runtime", "Runtime to use for this container");
  return () => {
    const policy = parseRestartPolicy(restart.value);
    if (rm.value && policy.Name !== "" && policy.Name !== "no") {
      throw new BadValue("conflicting options: cannot specify both --restart and --rm");
    }
    if (logDriver.value === "none" && logOpt.changed) {
      throw new BadValue("invalid logging opts for driver none");
    }
    return {
      host: {
        ContainerIDFile: cidfile.value,
        AutoRemove: rm.value,
        RestartPolicy: policy,
        LogConfig: { Type: logDriver.value, Config: toMap(logOpt.value) },
        Runtime: runtime.value,
        ...(annotation.changed ? { Annotations: toMap(annotation.value) } : {}),
        ...(init.changed ? { Init: init.value } : {}),
      },
    };
  };
}

/** Flags that mean nothing on Linux, or nothing any more: accepted by Docker, refused or hidden here. */
export function foreignFlags(flags: FlagSet): void {
  for (const name of ["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops", "kernel-memory"]) {
    flags.string(name, "For other systems", { unsupported: true });
  }
  flags.bool("disable-content-trust", "Skip image verification", { initial: true, hidden: true });
}
