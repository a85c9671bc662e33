/** The engine about itself: version, host facts, events. */

import { arch, cpus, hostname, release, totalmem } from "node:os";
import { Unavailable } from "../../core/errors.ts";
import { anyValue, hasLabel, unknownFilter } from "../../core/filters.ts";
import type { EventMessage, SystemInfo, SystemVersion } from "../../core/objects.ts";
import { apiVersion, minimumApiVersion, version } from "../../core/version.ts";
import { readFileSync } from "../../linux/files.ts";
import { explainForwardPolicy } from "../../network/index.ts";
import { allContainers } from "../../state/containers.ts";
import { eventsSince, followEvents, lastEventId, type StoredEvent } from "../../state/events.ts";
import { driverWarnings } from "../../storage/open.ts";
import type { EventsOptions, System } from "../engine.ts";
import type { Local } from "./local.ts";
import { statusOf } from "./status.ts";

export function localSystem(local: Local): System {
  return {
    ping: async () => apiVersion,
    version: async () => describeVersion(),
    info: async () => describeHost(local),
    events: (options) => events(local, options),
    login: async (auth) => (await import("./registries.ts")).login(local, auth),
    distribution: async (reference, options) =>
      (await import("./registries.ts")).distribution(local, reference, options),
    diskUsage: async () => (await import("./disk-usage.ts")).diskUsage(local),
    check: async (options) => (await import("./check.ts")).check(local, options),
  };
}

/** Architecture as Go names it. */
function goArch(): string {
  const names: Record<string, string> = { x64: "amd64", ia32: "386" };
  return names[arch()] ?? arch();
}

function describeVersion(): SystemVersion {
  return {
    Platform: { Name: "davit" },
    Components: [{ Name: "Engine", Version: version }],
    Version: version,
    ApiVersion: apiVersion,
    MinAPIVersion: minimumApiVersion,
    GitCommit: "",
    Os: "linux",
    Arch: goArch(),
    KernelVersion: release(),
    BuildTime: "",
  };
}

function describeHost(local: Local): SystemInfo {
  const statuses = allContainers(local.state).map(statusOf);
  const count = (...wanted: string[]): number => statuses.filter((status) => wanted.includes(status)).length;
  const images = local.state.db.query<{ n: number }, []>("SELECT count(*) AS n FROM images").get()?.n ?? 0;
  const layout = local.cgroups();
  const runtime = defaultRuntime(local);
  const warnings = [
    ...("missing" in runtime ? [runtime.missing] : []),
    ...forwardWarnings(local),
    ...driverWarnings(local.snapshots.driver),
  ];
  const has = (controller: string): boolean => layout.controllers.has(controller);
  return {
    ID: local.instance.name,
    Name: hostname(),
    Containers: statuses.length,
    ContainersRunning: count("running", "restarting"),
    ContainersPaused: count("paused"),
    ContainersStopped: count("created", "exited", "removing"),
    Images: images,
    Driver: local.snapshots.driver,
    DriverStatus: local.snapshots.describeDriver(),
    LoggingDriver: "json-file",
    CgroupDriver: "cgroupfs",
    CgroupVersion: layout.version === "v2" ? "2" : "1",
    NCPU: cpus().length,
    MemTotal: totalmem(),
    KernelVersion: release(),
    OperatingSystem: operatingSystem(),
    OSType: "linux",
    Architecture: process.arch === "x64" ? "x86_64" : process.arch === "arm64" ? "aarch64" : process.arch,
    DockerRootDir: local.instance.dataRoot,
    ServerVersion: version,
    DefaultRuntime: "name" in runtime ? runtime.name : "",
    Runtimes: "name" in runtime ? { [runtime.name]: { path: runtime.path } } : {},
    SecurityOptions: ["name=seccomp,profile=builtin"],
    IPv4Forwarding: readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim() === "1",
    MemoryLimit: has("memory"),
    SwapLimit: has("memory"),
    CpuCfsQuota: has("cpu"),
    PidsLimit: has("pids"),
    Warnings: warnings.length === 0 ? null : warnings.map((warning) => `WARNING: ${warning}`),
  };
}

/** The runtime of containers that name none; or why there is none, which is no reason to say nothing else. */
function defaultRuntime(local: Local): { name: string; path: string } | { missing: string } {
  try {
    return local.runtime();
  } catch (error) {
    if (error instanceof Unavailable) return { missing: error.message };
    throw error;
  }
}

/** Why containers may not reach the outside; without nftables nobody's rules of it are in the way. */
function forwardWarnings(local: Local): string[] {
  try {
    return [explainForwardPolicy(local.instance) ?? []].flat();
  } catch (error) {
    if (error instanceof Unavailable) return [];
    throw error;
  }
}

function operatingSystem(): string {
  const text = readFileSync("/etc/os-release", "utf8");
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? "Linux";
}

async function* events(local: Local, options: EventsOptions = {}): AsyncGenerator<EventMessage> {
  const { since, until, signal } = options;
  const matches = anyValue(options.filters ?? {}, filterTest);
  const wanted = ({ message }: StoredEvent): boolean =>
    matches(message) && (until === undefined || message.timeNano <= until * 1e9);
  let seen = lastEventId(local.state);
  if (since !== undefined) {
    for (const event of eventsSince(local.state, since * 1e9)) {
      seen = Math.max(seen, event.id);
      if (wanted(event)) yield event.message;
    }
  }
  const remaining = until === undefined ? undefined : until * 1000 - Date.now();
  if (remaining !== undefined && remaining <= 0) return;
  const limits = [signal, remaining === undefined ? undefined : AbortSignal.timeout(remaining)];
  const stop = AbortSignal.any(limits.filter((limit) => limit !== undefined));
  try {
    for await (const event of followEvents(local.state, seen, stop)) if (wanted(event)) yield event.message;
  } catch (error) {
    if (!stop.aborted) throw error;
  }
}

function filterTest(name: string): (message: EventMessage, value: string) => boolean {
  switch (name) {
    case "type":
      return (message, value) => message.Type === value;
    case "event":
    case "action":
      return (message, value) => message.Action === value || message.Action.split(":")[0] === value;
    case "container":
    case "image":
    case "volume":
    case "network":
      return (message, value) =>
        (message.Type === name &&
          (message.Actor.ID.startsWith(value) || message.Actor.Attributes.name === value)) ||
        (name === "image" && message.Actor.Attributes.image === value);
    case "label":
      return (message, value) => hasLabel(message.Actor.Attributes, value);
    case "scope":
      return (_, value) => value === "local";
    default:
      throw unknownFilter(name);
  }
}
