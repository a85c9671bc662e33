/** Flags of `run` and `create` about limits and devices. */
import type { HostConfig, Resources } from "../../core/objects.ts";
import type { FlagSet, Option } from "../flags/flag-set.ts";
import { BadValue, parseBytes, parseNanoCpus, parseUnsigned } from "../flags/values.ts";
import {
  checkDeviceRule,
  parseBytesDevice,
  parseDevice,
  parseGpus,
  parseOperationsDevice,
  parseUlimit,
  parseWeightDevice,
} from "./devices.ts";
import { listOrNull } from "./key-values.ts";

function bytesFlag(
  flags: FlagSet,
  name: string,
  usage: string,
  details: { short?: string; mayBeUnlimited?: boolean } = {},
): Option<number> {
  return flags.value(name, usage, {
    ...(details.short === undefined ? {} : { short: details.short }),
    kind: "bytes",
    initial: 0,
    parse: (text) => (details.mayBeUnlimited === true && text === "-1" ? -1 : parseBytes(text)),
  });
}

/** Declares the flags; the result reads them. @throws BadValue from the result, in Docker's words */
export function resourceFlags(flags: FlagSet): () => HostConfig {
  const deviceList = { kind: "list", shownDefault: "[]" };
  const blkioWeight = flags.value(
    "blkio-weight",
    "Block IO (relative weight), between 10 and 1000, or 0 to disable",
    { kind: "uint16", shownDefault: "0", initial: 0, parse: (text) => parseUnsigned(text, 16) },
  );
  const weightDevices = flags.each("blkio-weight-device", "Block IO weight (relative device weight)", {
    ...deviceList,
    parse: parseWeightDevice,
  });
  const cgroupParent = flags.string("cgroup-parent", "Optional parent cgroup for the container");
  const cpuPeriod = flags.int("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period");
  const cpuQuota = flags.int("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota");
  const cpuRtPeriod = flags.int("cpu-rt-period", "Limit CPU real-time period in microseconds");
  const cpuRtRuntime = flags.int("cpu-rt-runtime", "Limit CPU real-time runtime in microseconds");
  const cpuShares = flags.int("cpu-shares", "CPU shares (relative weight)", { short: "c" });
  const cpus = flags.value("cpus", "Number of CPUs", { kind: "decimal", initial: 0, parse: parseNanoCpus });
  const cpusetCpus = flags.string("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)");
  const cpusetMems = flags.string("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)");
  const device = flags.list("device", "Add a host device to the container");
  const deviceRules = flags.list("device-cgroup-rule", "Add a rule to the cgroup allowed devices list", {
    parse: checkDeviceRule,
  });
  const readBps = flags.each("device-read-bps", "Limit read rate (bytes per second) from a device", {
    ...deviceList,
    parse: parseBytesDevice,
  });
  const readIops = flags.each("device-read-iops", "Limit read rate (IO per second) from a device", {
    ...deviceList,
    parse: parseOperationsDevice,
  });
  const writeBps = flags.each("device-write-bps", "Limit write rate (bytes per second) to a device", {
    ...deviceList,
    parse: parseBytesDevice,
  });
  const writeIops = flags.each("device-write-iops", "Limit write rate (IO per second) to a device", {
    ...deviceList,
    parse: parseOperationsDevice,
  });
  const gpus = flags.each("gpus", "GPU devices to add to the container ('all' to pass all GPUs)", {
    kind: "gpu-request",
    parse: parseGpus,
  });
  const memory = bytesFlag(flags, "memory", "Memory limit", { short: "m" });
  const reservation = bytesFlag(flags, "memory-reservation", "Memory soft limit");
  const swap = bytesFlag(
    flags,
    "memory-swap",
    "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    { mayBeUnlimited: true },
  );
  const swappiness = flags.int("memory-swappiness", "Tune container memory swappiness (0 to 100)", {
    initial: -1,
  });
  const oomKillDisable = flags.bool("oom-kill-disable", "Disable OOM Killer");
  const pidsLimit = flags.int("pids-limit", "Tune container pids limit (set -1 for unlimited)");
  const ulimits = flags.each("ulimit", "Ulimit options", {
    kind: "ulimit",
    shownDefault: "[]",
    parse: parseUlimit,
  });

  return (): Resources => {
    const tuned = swappiness.value !== -1;
    if (tuned && (swappiness.value < 0 || swappiness.value > 100)) {
      throw new BadValue(`invalid value: ${swappiness.value}. Valid memory swappiness range is 0-100`);
    }
    return {
      CgroupParent: cgroupParent.value,
      Memory: memory.value,
      MemoryReservation: reservation.value,
      MemorySwap: swap.value,
      MemorySwappiness: tuned ? swappiness.value : null,
      OomKillDisable: oomKillDisable.value,
      NanoCpus: cpus.value,
      CpuShares: cpuShares.value,
      CpuPeriod: cpuPeriod.value,
      CpuQuota: cpuQuota.value,
      CpuRealtimePeriod: cpuRtPeriod.value,
      CpuRealtimeRuntime: cpuRtRuntime.value,
      CpusetCpus: cpusetCpus.value,
      CpusetMems: cpusetMems.value,
      PidsLimit: pidsLimit.value === 0 ? null : pidsLimit.value,
      BlkioWeight: blkioWeight.value,
      BlkioWeightDevice: weightDevices.value,
      BlkioDeviceReadBps: readBps.value,
      BlkioDeviceReadIOps: readIops.value,
      BlkioDeviceWriteBps: writeBps.value,
      BlkioDeviceWriteIOps: writeIops.value,
      Devices: device.value.map(parseDevice),
      DeviceCgroupRules: listOrNull(deviceRules.value),
      DeviceRequests: listOrNull(gpus.value),
      Ulimits: [...ulimits.value].sort((a, b) => (a.Name < b.Name ? -1 : 1)),
    };
  };
}
