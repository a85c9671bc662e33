/**
 * How Go sees the Engine API's objects: the fields' Go names, in order, and what an absent one is. With it a
 * template prints `{{.State}}` as docker does, reads `.ID` and `.Id` alike, and finds zero values where the API
 * leaves fields out. Unknown fields make it fail, and the caller then tries the plain JSON, as docker does.
 */
import { absent, fromJson, GoObject, print, type Value } from "./template/values.ts";

type Kind =
  | { of: "string" | "int" | "bool" | "any" }
  | { of: "list" | "map"; items: Kind }
  | { of: "struct" | "pointer"; name: string };

interface Field {
  name: string;
  json: string;
  kind: Kind;
}

/**
 * `Name kind` or `Name=json kind`, separated by commas. Kinds: s, i, b, ? (anything), [kind], {kind} (a map),
 * @Struct and *Struct (may be nil).
 */
const specifications: Record<string, string> = {
  "container.InspectResponse": `ID=Id s, Created s, Path s, Args [s], State *container.State, Image s,
    ResolvConfPath s, HostnamePath s, HostsPath s, LogPath s, Name s, RestartCount i, Driver s, Platform s,
    MountLabel s, ProcessLabel s, AppArmorProfile s, ExecIDs [s], HostConfig *container.HostConfig,
    GraphDriver @storage.DriverData, SizeRw ?, SizeRootFs ?, Mounts [@container.MountPoint],
    Config *container.Config, NetworkSettings *container.NetworkSettings`,
  "container.State": `Status s, Running b, Paused b, Restarting b, OOMKilled b, Dead b, Pid i, ExitCode i, Error s,
    StartedAt s, FinishedAt s, Health *container.Health`,
  "container.Health": "Status s, FailingStreak i, Log [?]",
  "container.MountPoint": "Type s, Name s, Source s, Destination s, Driver s, Mode s, RW b, Propagation s",
  "container.Config": `Hostname s, Domainname s, User s, AttachStdin b, AttachStdout b, AttachStderr b,
    ExposedPorts {?}, Tty b, OpenStdin b, StdinOnce b, Env [s], Cmd [s], Healthcheck *container.HealthConfig,
    ArgsEscaped b, Image s, Volumes {?}, WorkingDir s, Entrypoint [s], NetworkDisabled b, MacAddress s, OnBuild [s],
    Labels {s}, StopSignal s, StopTimeout ?, Shell [s]`,
  "container.HealthConfig": "Test [s], Interval i, Timeout i, StartPeriod i, StartInterval i, Retries i",
  "container.HostConfig": `Binds [s], ContainerIDFile s, LogConfig @container.LogConfig, NetworkMode s,
    PortBindings {[@nat.PortBinding]}, RestartPolicy @container.RestartPolicy, AutoRemove b, VolumeDriver s,
    VolumesFrom [s], ConsoleSize [i], Annotations {s}, CapAdd [s], CapDrop [s], CgroupnsMode s, DNS=Dns [s],
    DNSOptions=DnsOptions [s], DNSSearch=DnsSearch [s], ExtraHosts [s], GroupAdd [s], IpcMode s, Cgroup s, Links [s],
    OomScoreAdj i, PidMode s, Privileged b, PublishAllPorts b, ReadonlyRootfs b, SecurityOpt [s], StorageOpt {s},
    Tmpfs {s}, UTSMode s, UsernsMode s, ShmSize i, Sysctls {s}, Runtime s, Isolation s, CPUShares=CpuShares i,
    Memory i, NanoCPUs=NanoCpus i, CgroupParent s, BlkioWeight i, BlkioWeightDevice [?], BlkioDeviceReadBps [?],
    BlkioDeviceWriteBps [?], BlkioDeviceReadIOps [?], BlkioDeviceWriteIOps [?], CPUPeriod=CpuPeriod i,
    CPUQuota=CpuQuota i, CPURealtimePeriod=CpuRealtimePeriod i, CPURealtimeRuntime=CpuRealtimeRuntime i,
    CpusetCpus s, CpusetMems s, Devices [@container.DeviceMapping], DeviceCgroupRules [s], DeviceRequests [?],
    MemoryReservation i, MemorySwap i, MemorySwappiness ?, OomKillDisable ?, PidsLimit ?, Ulimits [@units.Ulimit],
    CPUCount=CpuCount i, CPUPercent=CpuPercent i, IOMaximumIOps i, IOMaximumBandwidth i, Mounts [@mount.Mount],
    MaskedPaths [s], ReadonlyPaths [s], Init ?`,
  "container.LogConfig": "Type s, Config {s}",
  "container.RestartPolicy": "Name s, MaximumRetryCount i",
  "container.DeviceMapping": "PathOnHost s, PathInContainer s, CgroupPermissions s",
  "units.Ulimit": "Name s, Hard i, Soft i",
  "mount.Mount": `Type s, Source s, Target s, ReadOnly b, Consistency s, BindOptions ?, VolumeOptions ?,
    ImageOptions ?, TmpfsOptions ?, ClusterOptions ?`,
  "nat.PortBinding": "HostIP=HostIp s, HostPort s",
  "storage.DriverData": "Data {s}, Name s",
  "container.NetworkSettings": `Bridge s, SandboxID s, SandboxKey s, Ports {[@nat.PortBinding]},
    HairpinMode b, LinkLocalIPv6Address s, LinkLocalIPv6PrefixLen i, SecondaryIPAddresses [?],
    SecondaryIPv6Addresses [?], EndpointID s, Gateway s, GlobalIPv6Address s, GlobalIPv6PrefixLen i, IPAddress s,
    IPPrefixLen i, IPv6Gateway s, MacAddress s, Networks {*network.EndpointSettings}`,
  "network.EndpointSettings": `IPAMConfig ?, Links [s], Aliases [s], MacAddress s, DriverOpts {s}, GwPriority i,
    NetworkID s, EndpointID s, Gateway s, IPAddress s, IPPrefixLen i, IPv6Gateway s, GlobalIPv6Address s,
    GlobalIPv6PrefixLen i, DNSNames [s]`,
  "image.InspectResponse": `ID=Id s, RepoTags [s], RepoDigests [s], Parent s, Comment s, Created s, DockerVersion s,
    Author s, Config *container.Config, Architecture s, Variant s, Os s, OsVersion s, Size i, VirtualSize i,
    GraphDriver @storage.DriverData, RootFS @image.RootFS, Metadata @image.Metadata, Descriptor *v1.Descriptor,
    Manifests [?]`,
  "v1.Descriptor": `MediaType=mediaType s, Digest=digest s, Size=size i, URLs=urls [s], Annotations=annotations {s},
    Data=data [?], Platform=platform *v1.Platform, ArtifactType=artifactType s`,
  "v1.Platform":
    "Architecture=architecture s, OS=os s, OSVersion=os.version s, OSFeatures=os.features [s], Variant=variant s",
  "image.RootFS": "Type s, Layers [s]",
  "image.Metadata": "LastTagTime s",
  "network.Inspect": `Name s, ID=Id s, Created s, Scope s, Driver s, EnableIPv4 b, EnableIPv6 b, IPAM @network.IPAM,
    Internal b, Attachable b, Ingress b, ConfigFrom ?, ConfigOnly b, Containers {@network.EndpointResource},
    Options {s}, Labels {s}, Peers [?], Services {?}`,
  "network.IPAM": "Driver s, Options {s}, Config [@network.IPAMConfig]",
  "network.IPAMConfig": "Subnet s, IPRange s, Gateway s, AuxAddress=AuxiliaryAddresses {s}",
  "network.EndpointResource": "Name s, EndpointID s, MacAddress s, IPv4Address s, IPv6Address s",
  "volume.Volume": `ClusterVolume ?, CreatedAt s, Driver s, Labels {s}, Mountpoint s, Name s, Options {s}, Scope s,
    Status {?}, UsageData ?`,
  "events.Message": `Status=status s, ID=id s, From=from s, Type s, Action s, Actor @events.Actor, Scope=scope s,
    Time=time i, TimeNano=timeNano i`,
  "events.Actor": "ID s, Attributes {s}",
};

export type ShapeName = "container" | "image" | "network" | "volume" | "event";

const roots: Record<ShapeName, string> = {
  container: "container.InspectResponse",
  image: "image.InspectResponse",
  network: "network.Inspect",
  volume: "volume.Volume",
  event: "events.Message",
};

const parsed = new Map<string, Field[]>();

/** `json` seen as Go sees it. */
export function shaped(shape: ShapeName, json: object): GoObject {
  return new Struct(roots[shape], new Map(Object.entries(json)), json);
}

class Struct extends GoObject {
  readonly typeName: string;
  readonly #name: string;
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #json: unknown;

  constructor(name: string, values: ReadonlyMap<string, unknown>, json: unknown) {
    super();
    this.#name = name;
    this.typeName = name;
    this.#values = values;
    this.#json = json;
  }

  override member(name: string): Value | typeof absent {
    const field = fieldsOf(this.#name).find((candidate) => candidate.name === name);
    return field === undefined ? absent : asGo(this.#values.get(field.json), field.kind);
  }

  override toJson(): unknown {
    return this.#json;
  }

  override print(): string {
    const values = fieldsOf(this.#name).map((field) => print(asGo(this.#values.get(field.json), field.kind)));
    return `{${values.join(" ")}}`;
  }
}

function asGo(json: unknown, kind: Kind): Value {
  switch (kind.of) {
    case "string":
      return json === undefined || json === null ? "" : fromJson(json);
    case "int":
      return json === undefined || json === null ? 0 : fromJson(json);
    case "bool":
      return json === undefined || json === null ? false : fromJson(json);
    case "any":
      return json === undefined ? null : fromJson(json);
    case "list":
      return Array.isArray(json) ? json.map((item) => asGo(item, kind.items)) : [];
    case "map":
      if (typeof json !== "object" || json === null) return {};
      return Object.fromEntries(Object.entries(json).map(([key, item]) => [key, asGo(item, kind.items)]));
    case "struct":
    case "pointer": {
      if (typeof json === "object" && json !== null) {
        return new Struct(kind.name, new Map(Object.entries(json)), json);
      }
      return kind.of === "pointer" ? null : new Struct(kind.name, new Map(), {});
    }
  }
}

function fieldsOf(name: string): Field[] {
  let fields = parsed.get(name);
  if (fields === undefined) {
    fields = (specifications[name] ?? "").split(",").map((text) => parseField(text.trim()));
    parsed.set(name, fields);
  }
  return fields;
}

function parseField(text: string): Field {
  const [names = "", kind = "?"] = text.split(" ");
  const [name = "", json = name] = names.split("=");
  return { name, json, kind: parseKind(kind) };
}

function parseKind(text: string): Kind {
  if (text.startsWith("[")) return { of: "list", items: parseKind(text.slice(1, -1)) };
  if (text.startsWith("{")) return { of: "map", items: parseKind(text.slice(1, -1)) };
  if (text.startsWith("@")) return { of: "struct", name: text.slice(1) };
  if (text.startsWith("*")) return { of: "pointer", name: text.slice(1) };
  return { of: text === "s" ? "string" : text === "i" ? "int" : text === "b" ? "bool" : "any" };
}
