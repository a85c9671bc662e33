/** What is known of one container, in the API's shape. */

import { containerDataPath, logPath } from "../../core/instance.ts";
import type { ContainerInspect } from "../../core/objects.ts";
import { join } from "../../core/paths.ts";
import { describeNetworkSettings } from "../../network/index.ts";
import { maskedPaths, readonlyPaths } from "../../runtime/defaults.ts";
import { type ContainerRecord, wasStarted } from "../../state/containers.ts";
import { execsOf } from "../../state/execs.ts";
import type { Local } from "./local.ts";
import { findContainer } from "./lookup.ts";
import { sizes } from "./sizes.ts";
import { liveState, stateObject } from "./status.ts";

/** @throws NotFound */
export async function inspect(
  local: Local,
  reference: string,
  options: { size?: boolean } = {},
): Promise<ContainerInspect> {
  const record = findContainer(local.state, reference);
  const directory = containerDataPath(local.instance, record.id);
  const started = wasStarted(record);
  const live = liveState(record);
  const running = execsOf(local.state, record.id).filter((exec) => exec.state.status === "running");
  return {
    Id: record.id,
    Created: record.created,
    Path: record.path,
    Args: record.args,
    State: stateObject(record),
    Image: record.imageId,
    ResolvConfPath: started ? join(directory, "resolv.conf") : "",
    HostnamePath: started ? join(directory, "hostname") : "",
    HostsPath: started ? join(directory, "hosts") : "",
    LogPath: started ? logPath(local.instance, record.id) : "",
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: record.driver,
    Platform: record.platform,
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: "",
    ExecIDs: running.length === 0 ? null : running.map((exec) => exec.id),
    HostConfig: completeHostConfig(local, record),
    GraphDriver: { Name: record.driver, Data: await local.snapshots.describe(record.id) },
    Mounts: record.mounts,
    Config: completeConfig(record),
    NetworkSettings: describeNetworkSettings(local.state, {
      containerId: record.id,
      networkMode: record.hostConfig.NetworkMode ?? "bridge",
      running: live !== undefined,
      pid: live?.process.pid,
      exposedPorts: Object.keys(record.config.ExposedPorts ?? {}),
    }),
    ...(options.size === true ? await sizes(local, record) : {}),
  };
}

/** Every field that clients look for, with Docker's defaults. */
function completeHostConfig(local: Local, record: ContainerRecord): ContainerInspect["HostConfig"] {
  const { hostConfig } = record;
  const privileged = hostConfig.Privileged === true;
  const defaults: ContainerInspect["HostConfig"] = {
    Binds: null,
    ContainerIDFile: "",
    LogConfig: { Type: "json-file", Config: {} },
    NetworkMode: "bridge",
    PortBindings: {},
    RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
    AutoRemove: false,
    VolumeDriver: "",
    VolumesFrom: null,
    ConsoleSize: [0, 0],
    CapAdd: null,
    CapDrop: null,
    CgroupnsMode: local.cgroups().version === "v2" ? "private" : "host",
    Dns: [],
    DnsOptions: [],
    DnsSearch: [],
    ExtraHosts: null,
    GroupAdd: null,
    IpcMode: "private",
    Cgroup: "",
    Links: null,
    OomScoreAdj: 0,
    PidMode: "",
    Privileged: false,
    PublishAllPorts: false,
    ReadonlyRootfs: false,
    SecurityOpt: null,
    UTSMode: "",
    UsernsMode: "",
    ShmSize: 64 * 1024 * 1024,
    Runtime: record.runtime,
    CpuShares: 0,
    Memory: 0,
    NanoCpus: 0,
    CgroupParent: "",
    BlkioWeight: 0,
    BlkioWeightDevice: [],
    BlkioDeviceReadBps: [],
    BlkioDeviceWriteBps: [],
    BlkioDeviceReadIOps: [],
    BlkioDeviceWriteIOps: [],
    CpuPeriod: 0,
    CpuQuota: 0,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetCpus: "",
    CpusetMems: "",
    Devices: [],
    DeviceCgroupRules: null,
    DeviceRequests: null,
    MemoryReservation: 0,
    MemorySwap: 0,
    MemorySwappiness: null,
    OomKillDisable: null,
    PidsLimit: null,
    Ulimits: [],
    MaskedPaths: privileged ? null : [...maskedPaths],
    ReadonlyPaths: privileged ? null : [...readonlyPaths],
  };
  return { ...defaults, ...withoutEmpty(hostConfig) };
}

/** Fields that the request left null or empty take the default. */
function withoutEmpty<Fields extends object>(fields: Fields): Partial<Fields> {
  const entries = Object.entries(fields).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  return Object.fromEntries(entries) as Partial<Fields>;
}

function completeConfig(record: ContainerRecord): ContainerInspect["Config"] {
  const { config } = record;
  const { ExposedPorts: exposed, Volumes: volumes, ...rest } = config;
  return {
    Domainname: "",
    User: "",
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: null,
    Cmd: null,
    WorkingDir: "",
    Entrypoint: null,
    OnBuild: null,
    Labels: {},
    ...rest,
    ...(exposed && Object.keys(exposed).length > 0 ? { ExposedPorts: exposed } : {}),
    Volumes: volumes && Object.keys(volumes).length > 0 ? volumes : null,
  };
}
