import { expect, test } from "bun:test";
import type { Resources } from "../../src/core/objects.ts";
import type { CgroupLayout } from "../../src/runtime/cgroups.ts";
import { detectCgroups } from "../../src/runtime/cgroups.ts";
import { checkResources, makeResources } from "../../src/runtime/resources.ts";

const MiB = 1 << 20;
const layout = detectCgroups();
const bare: CgroupLayout = { version: "v1", controllers: new Map(), unified: undefined, own: new Map() };

test.each<[Resources, string]>([
  [{ Memory: 5 * MiB }, "Minimum memory limit allowed is 6MB"],
  [
    { Memory: 20 * MiB, MemorySwap: 10 * MiB },
    "Minimum memoryswap limit should be larger than memory limit, see usage",
  ],
  [{ MemorySwap: 10 * MiB }, "You should always set the Memory limit when using Memoryswap limit, see usage"],
  [{ MemoryReservation: MiB }, "Minimum memory reservation allowed is 6MB"],
  [
    { Memory: 20 * MiB, MemoryReservation: 30 * MiB },
    "Minimum memory limit can not be less than memory reservation limit, see usage",
  ],
  [{ NanoCpus: 3e9 }, "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"],
  [{ NanoCpus: 1e9, CpuPeriod: 1000 }, "Conflicting options: Nano CPUs and CPU Period cannot both be set"],
  [{ NanoCpus: 1e9, CpuQuota: 1000 }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"],
  [{ CpuPeriod: 10 }, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"],
  [{ CpuQuota: 10 }, "CPU cfs quota can not be less than 1ms (i.e. 1000)"],
  [{ CpusetCpus: "999" }, "Requested CPUs are not available - requested 999, available: "],
  [{ CpusetCpus: "a" }, "Invalid value a for cpuset cpus: invalid format: a"],
  [{ CpusetMems: "9" }, "Requested memory nodes are not available - requested 9, available: "],
])("%j is refused in Docker's words", (resources, words) => {
  expect(() =>
    checkResources(
      resources,
      () => layout,
      () => 2,
    ),
  ).toThrow(words);
});

test("memory alone allows as much swap again", () => {
  expect(
    checkResources(
      { Memory: 64 * MiB },
      () => layout,
      () => 2,
    ).resources.MemorySwap,
  ).toBe(layout.controllers.has("memory") ? 128 * MiB : -1);
  expect(
    checkResources(
      { Memory: 64 * MiB, MemorySwap: -1 },
      () => layout,
      () => 2,
    ).resources.MemorySwap,
  ).toBe(-1);
});

test("what the host cannot limit is dropped with a warning each", () => {
  const { resources, warnings } = checkResources(
    {
      Memory: 64 * MiB,
      MemoryReservation: 32 * MiB,
      PidsLimit: 10,
      CpuShares: 5,
      CpuQuota: 50000,
      CpusetCpus: "0",
      BlkioWeight: 300,
      OomKillDisable: true,
      BlkioDeviceReadBps: [{ Path: "/dev/null", Rate: 1 }],
    },
    () => bare,
    () => 2,
  );
  expect(resources.MemorySwap).toBe(-1);
  expect(makeResources(resources)).toEqual({});
  expect(warnings).toEqual([
    "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
    "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
    "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
    "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
    "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
    "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
    "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.",
  ]);
});

test("the runtime is told what is limited, and nothing else", () => {
  expect(makeResources({})).toEqual({});
  expect(makeResources({ Memory: 0, PidsLimit: -1, CpuShares: 0, OomKillDisable: false })).toEqual({});
  expect(
    makeResources({ Memory: 64 * MiB, MemorySwap: 128 * MiB, NanoCpus: 5e8, CpuShares: 512, PidsLimit: 50 }),
  ).toEqual({
    memory: { limit: 64 * MiB, swap: 128 * MiB },
    cpu: { shares: 512, period: 100000, quota: 50000 },
    pids: { limit: 50 },
  });
  expect(makeResources({ BlkioDeviceReadBps: [{ Path: "/dev/null", Rate: 7 }] })).toEqual({
    blockIO: { throttleReadBpsDevice: [{ major: 1, minor: 3, rate: 7 }] },
  });
  expect(() => makeResources({ BlkioDeviceReadBps: [{ Path: "/dev/nosuch", Rate: 7 }] })).toThrow(
    "stat /dev/nosuch: no such file or directory",
  );
});
