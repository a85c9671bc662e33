/** What a container uses, read from its cgroup and its network namespace, in the Engine API's shape. */
import { totalmem } from "node:os";
import type { ContainerStats, CpuStats } from "../core/objects.ts";
import { join } from "../core/paths.ts";
import { interfaceCounters } from "../linux/interface-counters.ts";
import { type CgroupLayout, controllerDirectory, keyedNumbers, readText } from "./cgroups.ts";

export interface StatsSource {
  id: string;
  /** With a leading slash, as the API has it. */
  name: string;
  layout: CgroupLayout;
  cgroupPath: string;
  /** The container's init, for its network interfaces; undefined when it has no network of its own. */
  pid: number | undefined;
}

/** USER_HZ is 100 on every architecture that Linux has today. */
const nanosecondsPerTick = 10_000_000;
const never = "0001-01-01T00:00:00Z";

/** One sample; `precpu_stats` and `preread` come from `previous`, or are zero. */
export function readStats(source: StatsSource, previous?: ContainerStats): ContainerStats {
  const { layout, cgroupPath } = source;
  const reader = new CgroupReader(layout, cgroupPath);
  const unified = layout.version === "v2";
  const networks = source.pid === undefined ? undefined : interfaceCounters(source.pid);
  return {
    read: new Date().toISOString(),
    preread: previous?.read ?? never,
    pids_stats: pidsOf(reader),
    blkio_stats: { io_service_bytes_recursive: unified ? ioStat(reader) : blkioServiceBytes(reader) },
    num_procs: 0,
    cpu_stats: {
      ...(unified ? unifiedCpu(reader) : v1Cpu(reader)),
      system_cpu_usage: systemCpuUsage(),
      online_cpus: navigator.hardwareConcurrency,
    },
    precpu_stats: previous?.cpu_stats ?? emptyCpu(),
    memory_stats: unified ? unifiedMemory(reader) : v1Memory(reader),
    name: source.name,
    id: source.id,
    ...(networks === undefined ? {} : { networks }),
  };
}

/** Files of one cgroup, by controller. What is missing reads as undefined: the container may just have ended. */
class CgroupReader {
  readonly #layout: CgroupLayout;
  readonly #path: string;

  constructor(layout: CgroupLayout, path: string) {
    this.#layout = layout;
    this.#path = path;
  }

  text(controller: string, file: string): string | undefined {
    const directory = controllerDirectory(this.#layout, controller, this.#path);
    return directory === undefined ? undefined : readText(join(directory, file));
  }

  /** undefined for `max` too. */
  number(controller: string, file: string): number | undefined {
    const value = Number.parseInt(this.text(controller, file) ?? "", 10);
    return Number.isNaN(value) ? undefined : value;
  }

  keyed(controller: string, file: string): Record<string, number> {
    return keyedNumbers(this.text(controller, file));
  }

  /** cpu.stat of v2 is there without any controller. */
  unified(file: string): Record<string, number> {
    const { unified } = this.#layout;
    return unified === undefined ? {} : keyedNumbers(readText(join(unified, this.#path, file)));
  }
}

function emptyCpu(): CpuStats {
  return {
    cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
    throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
  };
}

function pidsOf(reader: CgroupReader): ContainerStats["pids_stats"] {
  const current = reader.number("pids", "pids.current");
  const limit = reader.number("pids", "pids.max");
  return { ...(current === undefined ? {} : { current }), ...(limit === undefined ? {} : { limit }) };
}

function v1Cpu(reader: CgroupReader): CpuStats {
  const ticks = reader.keyed("cpuacct", "cpuacct.stat");
  const throttling = reader.keyed("cpu", "cpu.stat");
  const perCpu = (reader.text("cpuacct", "cpuacct.usage_percpu") ?? "")
    .split(/\s+/)
    .filter(Boolean)
    .map(Number);
  return {
    cpu_usage: {
      total_usage: reader.number("cpuacct", "cpuacct.usage") ?? 0,
      ...(perCpu.length > 0 ? { percpu_usage: perCpu } : {}),
      usage_in_kernelmode: (ticks.system ?? 0) * nanosecondsPerTick,
      usage_in_usermode: (ticks.user ?? 0) * nanosecondsPerTick,
    },
    throttling_data: {
      periods: throttling.nr_periods ?? 0,
      throttled_periods: throttling.nr_throttled ?? 0,
      throttled_time: throttling.throttled_time ?? 0,
    },
  };
}

function unifiedCpu(reader: CgroupReader): CpuStats {
  const stat = reader.unified("cpu.stat");
  return {
    cpu_usage: {
      total_usage: (stat.usage_usec ?? 0) * 1000,
      usage_in_kernelmode: (stat.system_usec ?? 0) * 1000,
      usage_in_usermode: (stat.user_usec ?? 0) * 1000,
    },
    throttling_data: {
      periods: stat.nr_periods ?? 0,
      throttled_periods: stat.nr_throttled ?? 0,
      throttled_time: (stat.throttled_usec ?? 0) * 1000,
    },
  };
}

/** Nanoseconds of all CPUs since boot, as Docker counts them: user to steal of /proc/stat. */
function systemCpuUsage(): number {
  const line = readText("/proc/stat")?.split("\n")[0] ?? "";
  const ticks = line.split(/\s+/).slice(1, 8).map(Number);
  return ticks.reduce((sum, value) => sum + value, 0) * nanosecondsPerTick;
}

/** A limit above the host's memory is none: the host's memory is shown, as Docker does. */
function memoryLimit(limit: number | undefined): number {
  const host = totalmem();
  return limit === undefined || limit > host ? host : limit;
}

function v1Memory(reader: CgroupReader): ContainerStats["memory_stats"] {
  const usage = reader.number("memory", "memory.usage_in_bytes");
  if (usage === undefined) return {};
  return {
    usage,
    max_usage: reader.number("memory", "memory.max_usage_in_bytes") ?? 0,
    limit: memoryLimit(reader.number("memory", "memory.limit_in_bytes")),
    failcnt: reader.number("memory", "memory.failcnt") ?? 0,
    stats: reader.keyed("memory", "memory.stat"),
  };
}

function unifiedMemory(reader: CgroupReader): ContainerStats["memory_stats"] {
  const usage = reader.number("memory", "memory.current");
  if (usage === undefined) return {};
  return {
    usage,
    limit: memoryLimit(reader.number("memory", "memory.max")),
    failcnt: reader.keyed("memory", "memory.events").oom ?? 0,
    stats: reader.keyed("memory", "memory.stat"),
  };
}

type BlkioEntries = NonNullable<ContainerStats["blkio_stats"]["io_service_bytes_recursive"]>;

/** `8:0 Read 4096` lines, and a total without a device, which is left out. */
function blkioServiceBytes(reader: CgroupReader): BlkioEntries {
  const text =
    reader.text("blkio", "blkio.throttle.io_service_bytes_recursive") ??
    reader.text("blkio", "blkio.throttle.io_service_bytes") ??
    "";
  return text.split("\n").flatMap((line) => {
    const match = line.match(/^(\d+):(\d+) (\w+) (\d+)$/);
    return match
      ? [{ major: Number(match[1]), minor: Number(match[2]), op: match[3] ?? "", value: Number(match[4]) }]
      : [];
  });
}

/** `8:0 rbytes=4096 wbytes=0 …` lines. */
function ioStat(reader: CgroupReader): BlkioEntries {
  return (reader.text("io", "io.stat") ?? "").split("\n").flatMap((line) => {
    const device = line.match(/^(\d+):(\d+) /);
    if (!device) return [];
    const bytes = (name: string) => Number(line.match(new RegExp(`\\b${name}=(\\d+)`))?.[1] ?? 0);
    const numbers = { major: Number(device[1]), minor: Number(device[2]) };
    return [
      { ...numbers, op: "read", value: bytes("rbytes") },
      { ...numbers, op: "write", value: bytes("wbytes") },
    ];
  });
}
