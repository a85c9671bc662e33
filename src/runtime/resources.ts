/** Limits: checked as Docker checks them, and turned into the runtime's terms. */

import { InvalidParameter, messageOf } from "../core/errors.ts";
import type { Resources } from "../core/objects.ts";
import { join } from "../core/paths.ts";
import { existsSync, readFileSync } from "../linux/files.ts";
import { pathStatus } from "../linux/nodes.ts";

import type { CgroupLayout } from "./cgroups.ts";
import type { LinuxResources, ThrottleSpec } from "./oci.ts";

const minimumMemory = 6 * 1024 * 1024;

/** What of the kernel's limits this host can set. Looked for when it is asked: most containers have no limits. */
class Abilities {
  readonly #layout: () => CgroupLayout;

  constructor(layout: () => CgroupLayout) {
    this.#layout = layout;
  }

  get memory(): boolean {
    return this.#has("memory");
  }
  get swap(): boolean {
    return this.#isUnified
      ? this.memory && existsSync("/proc/swaps")
      : this.#hasFile("memory", "memory.memsw.limit_in_bytes");
  }
  get swappiness(): boolean {
    return !this.#isUnified && this.#hasFile("memory", "memory.swappiness");
  }
  get oomKillDisable(): boolean {
    return !this.#isUnified && this.#hasFile("memory", "memory.oom_control");
  }
  get cpu(): boolean {
    return this.#has("cpu");
  }
  get cpuset(): boolean {
    return this.#has("cpuset");
  }
  get pids(): boolean {
    return this.#has("pids");
  }
  get blkio(): boolean {
    return this.#has(this.#isUnified ? "io" : "blkio");
  }
  get blkioWeight(): boolean {
    if (this.#isUnified) return this.blkio;
    return this.#hasFile("blkio", "blkio.weight") || this.#hasFile("blkio", "blkio.bfq.weight");
  }

  get #isUnified(): boolean {
    return this.#layout().version === "v2";
  }

  #has(controller: string): boolean {
    return this.#layout().controllers.has(controller);
  }

  #hasFile(controller: string, name: string): boolean {
    const mountPoint = this.#layout().controllers.get(controller);
    return mountPoint !== undefined && existsSync(join(mountPoint, name));
  }
}

export interface CheckedResources {
  /** As given, with defaults filled, and without what the host cannot do (each with a warning). */
  resources: Resources;
  warnings: string[];
}

/**
 * Checks limits at create and update; rules and words are moby's (daemon/daemon_unix.go).
 * @param layout asked for when there is a limit
 * @param cpus number of CPUs of the host, likewise
 * @throws InvalidParameter `Minimum memory limit allowed is 6MB` and the like.
 */
export function checkResources(
  given: Resources,
  layout: () => CgroupLayout,
  cpus: () => number,
): CheckedResources {
  const resources = { ...given };
  const warnings: string[] = [];
  const can = new Abilities(layout);
  checkMemory(resources, can, warnings);
  checkPids(resources, can, warnings);
  checkCpu(resources, can, warnings, cpus);
  checkCpuset(resources, can, warnings);
  checkBlkio(resources, can, warnings);
  return { resources, warnings };
}

function notSupported(what: string, consequence: string): string {
  return `Your kernel does not support ${what} or the cgroup is not mounted. ${consequence}`;
}

function checkMemory(resources: Resources, can: Abilities, warnings: string[]): void {
  if (resources.Memory && resources.Memory < minimumMemory) {
    throw new InvalidParameter("Minimum memory limit allowed is 6MB");
  }
  if (resources.Memory && resources.Memory > 0 && !can.memory) {
    warnings.push(notSupported("memory limit capabilities", "Limitation discarded."));
    resources.Memory = 0;
    resources.MemorySwap = -1;
  }
  const memory = resources.Memory ?? 0;
  if (memory > 0 && resources.MemorySwap !== -1 && !can.swap) {
    warnings.push(notSupported("swap limit capabilities", "Memory limited without swap."));
    resources.MemorySwap = -1;
  }
  const swap = resources.MemorySwap ?? 0;
  if (memory > 0 && swap > 0 && swap < memory) {
    throw new InvalidParameter("Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (memory === 0 && swap > 0) {
    throw new InvalidParameter(
      "You should always set the Memory limit when using Memoryswap limit, see usage",
    );
  }
  // As much swap again as memory: Docker's default.
  if (memory > 0 && swap === 0) resources.MemorySwap = memory * 2;
  checkSwappiness(resources, can, warnings);
  checkReservation(resources, can, warnings);
  if (resources.OomKillDisable && !can.oomKillDisable) {
    warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
    resources.OomKillDisable = null;
  }
  if (resources.OomKillDisable && memory === 0) {
    warnings.push(
      "OOM killer is disabled for the container, but no memory limit is set, " +
        "this can result in the system running out of resources.",
    );
  }
}

function checkSwappiness(resources: Resources, can: Abilities, warnings: string[]): void {
  // -1 is the CLI's way to say nothing.
  if (resources.MemorySwappiness === null || resources.MemorySwappiness === undefined) return;
  if (resources.MemorySwappiness === -1) {
    resources.MemorySwappiness = null;
    return;
  }
  if (!can.swappiness) {
    warnings.push(notSupported("memory swappiness capabilities", "Memory swappiness discarded."));
    resources.MemorySwappiness = null;
    return;
  }
  const value = resources.MemorySwappiness;
  if (value < 0 || value > 100) {
    throw new InvalidParameter(`Invalid value: ${value}, valid memory swappiness range is 0-100`);
  }
}

function checkReservation(resources: Resources, can: Abilities, warnings: string[]): void {
  if (!resources.MemoryReservation) return;
  if (!can.memory) {
    warnings.push(notSupported("memory soft limit capabilities", "Limitation discarded."));
    resources.MemoryReservation = 0;
    return;
  }
  if (resources.MemoryReservation < minimumMemory) {
    throw new InvalidParameter("Minimum memory reservation allowed is 6MB");
  }
  if (resources.Memory && resources.Memory < resources.MemoryReservation) {
    throw new InvalidParameter(
      "Minimum memory limit can not be less than memory reservation limit, see usage",
    );
  }
}

function checkPids(resources: Resources, can: Abilities, warnings: string[]): void {
  if (resources.PidsLimit === null || resources.PidsLimit === undefined || can.pids) return;
  if (resources.PidsLimit > 0) {
    warnings.push(notSupported("PIDs limit capabilities", "PIDs limit discarded."));
  }
  resources.PidsLimit = null;
}

function checkCpu(resources: Resources, can: Abilities, warnings: string[], cpus: () => number): void {
  if (resources.NanoCpus && resources.CpuPeriod) {
    throw new InvalidParameter("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  }
  if (resources.NanoCpus && resources.CpuQuota) {
    throw new InvalidParameter("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  }
  if (resources.NanoCpus && !can.cpu) {
    throw new InvalidParameter(
      "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
    );
  }
  if (resources.NanoCpus && (resources.NanoCpus < 0 || resources.NanoCpus > cpus() * 1e9)) {
    throw new InvalidParameter(
      `Range of CPUs is from 0.01 to ${cpus()}.00, as there are only ${cpus()} CPUs available`,
    );
  }
  if (resources.CpuShares && resources.CpuShares < 0) {
    throw new InvalidParameter(
      `invalid CPU shares (${resources.CpuShares}): value must be a positive integer`,
    );
  }
  if (resources.CpuShares && !can.cpu) {
    warnings.push(notSupported("CPU shares", "Shares discarded."));
    resources.CpuShares = 0;
  }
  if ((resources.CpuPeriod || resources.CpuQuota) && !can.cpu) {
    warnings.push("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.");
    resources.CpuPeriod = 0;
    resources.CpuQuota = 0;
  }
  if (resources.CpuPeriod && (resources.CpuPeriod < 1000 || resources.CpuPeriod > 1000000)) {
    throw new InvalidParameter(
      "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
    );
  }
  if (resources.CpuQuota && resources.CpuQuota > 0 && resources.CpuQuota < 1000) {
    throw new InvalidParameter("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  }
}

function checkCpuset(resources: Resources, can: Abilities, warnings: string[]): void {
  if ((resources.CpusetCpus || resources.CpusetMems) && !can.cpuset) {
    warnings.push(notSupported("cpuset", "Cpuset discarded."));
    resources.CpusetCpus = "";
    resources.CpusetMems = "";
  }
  if (resources.CpusetCpus) {
    const available = onlineList("/sys/devices/system/cpu/online");
    if (!isWithin(resources.CpusetCpus, available, "cpuset cpus")) {
      throw new InvalidParameter(
        `Requested CPUs are not available - requested ${resources.CpusetCpus}, available: ${available}`,
      );
    }
  }
  if (resources.CpusetMems) {
    const available = onlineList("/sys/devices/system/node/online");
    if (!isWithin(resources.CpusetMems, available, "cpuset mems")) {
      throw new InvalidParameter(
        `Requested memory nodes are not available - requested ${resources.CpusetMems}, available: ${available}`,
      );
    }
  }
}

/** `0-3` and the like; a kernel without NUMA has one node. */
function onlineList(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8").trim() : "0";
}

function isWithin(requested: string, available: string, what: string): boolean {
  const ranges = parseList(available, what);
  return parseList(requested, what).every(([first, last]) =>
    ranges.some(([lowest, highest]) => lowest <= first && last <= highest),
  );
}

/** `0-2,5` as ranges. @throws InvalidParameter as Docker says it. */
function parseList(text: string, what: string): [number, number][] {
  return text.split(",").map((part) => {
    const match = part.trim().match(/^(\d{1,6})(?:-(\d{1,6}))?$/);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (!match || last < first) {
      throw new InvalidParameter(`Invalid value ${text} for ${what}: invalid format: ${text}`);
    }
    return [first, last];
  });
}

function checkBlkio(resources: Resources, can: Abilities, warnings: string[]): void {
  if (resources.BlkioWeight && !can.blkioWeight) {
    warnings.push(notSupported("Block I/O weight", "Weight discarded."));
    resources.BlkioWeight = 0;
  }
  if (resources.BlkioWeight && (resources.BlkioWeight < 10 || resources.BlkioWeight > 1000)) {
    throw new InvalidParameter("Range of blkio weight is from 10 to 1000");
  }
  if (resources.BlkioWeightDevice?.length && !can.blkioWeight) {
    warnings.push(notSupported("Block I/O weight_device", "Weight-device discarded."));
    resources.BlkioWeightDevice = [];
  }
  const throttles = [
    ["BlkioDeviceReadBps", "BPS Block I/O read limit", "Block I/O BPS read limit discarded."],
    ["BlkioDeviceWriteBps", "BPS Block I/O write limit", "Block I/O BPS write limit discarded."],
    ["BlkioDeviceReadIOps", "IOPS Block read limit", "Block I/O IOPS read limit discarded."],
    ["BlkioDeviceWriteIOps", "IOPS Block write limit", "Block I/O IOPS write limit discarded."],
  ] as const;
  for (const [field, what, consequence] of throttles) {
    if (!resources[field]?.length || can.blkio) continue;
    warnings.push(notSupported(what, consequence));
    resources[field] = [];
  }
}

/** The resources of config.json, without device rules. What is not limited is left out: each entry is a write. */
export function makeResources(resources: Resources): LinuxResources {
  const made: LinuxResources = {};
  const memory = withoutUndefined({
    limit: resources.Memory || undefined,
    reservation: resources.MemoryReservation || undefined,
    // Unlimited is what a new cgroup has, also where swap cannot be limited at all.
    swap: resources.MemorySwap && resources.MemorySwap > 0 ? resources.MemorySwap : undefined,
    swappiness: resources.MemorySwappiness ?? undefined,
    disableOOMKiller: resources.OomKillDisable || undefined,
  });
  if (memory !== undefined) made.memory = memory;

  const period = resources.NanoCpus ? 100_000 : resources.CpuPeriod || undefined;
  const quota = resources.NanoCpus
    ? Math.floor((resources.NanoCpus * 100_000) / 1e9)
    : resources.CpuQuota || undefined;
  const cpu = withoutUndefined({
    shares: resources.CpuShares || undefined,
    period,
    quota,
    realtimePeriod: resources.CpuRealtimePeriod || undefined,
    realtimeRuntime: resources.CpuRealtimeRuntime || undefined,
    cpus: resources.CpusetCpus || undefined,
    mems: resources.CpusetMems || undefined,
  });
  if (cpu !== undefined) made.cpu = cpu;

  if (resources.PidsLimit && resources.PidsLimit > 0) made.pids = { limit: resources.PidsLimit };

  const blockIO = withoutUndefined({
    weight: resources.BlkioWeight || undefined,
    weightDevice: resources.BlkioWeightDevice?.length
      ? resources.BlkioWeightDevice.map(({ Path, Weight }) => ({ ...blockDevice(Path), weight: Weight }))
      : undefined,
    throttleReadBpsDevice: throttles(resources.BlkioDeviceReadBps),
    throttleWriteBpsDevice: throttles(resources.BlkioDeviceWriteBps),
    throttleReadIOPSDevice: throttles(resources.BlkioDeviceReadIOps),
    throttleWriteIOPSDevice: throttles(resources.BlkioDeviceWriteIOps),
  });
  if (blockIO !== undefined) made.blockIO = blockIO;
  return made;
}

function throttles(list: { Path: string; Rate: number }[] | undefined): ThrottleSpec[] | undefined {
  if (!list?.length) return undefined;
  return list.map(({ Path, Rate }) => ({ ...blockDevice(Path), rate: Rate }));
}

/** @throws InvalidParameter `stat /dev/x: no such file or directory`. */
function blockDevice(path: string): { major: number; minor: number } {
  try {
    const { deviceMajor, deviceMinor } = pathStatus(path);
    return { major: deviceMajor, minor: deviceMinor };
  } catch (error) {
    throw new InvalidParameter(`stat ${path}: no such file or directory (${messageOf(error)})`, {
      cause: error,
    });
  }
}

type Defined<Fields> = { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> };

/** The fields that have a value; undefined when none has. */
function withoutUndefined<Fields extends object>(fields: Fields): Defined<Fields> | undefined {
  const made: Defined<Fields> = {};
  let any = false;
  for (const name in fields) {
    const value = fields[name];
    if (!isPresent(value)) continue;
    made[name] = value;
    any = true;
  }
  return any ? made : undefined;
}

function isPresent<Value>(value: Value): value is Exclude<Value, undefined> {
  return value !== undefined;
}
