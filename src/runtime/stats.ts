/** What a container uses, read from its cgroup and its network namespace, in the Engine API's shape. */
import type { ContainerStats } from "../core/objects.ts";
import type { CgroupLayout } from "./cgroups.ts";

export interface StatsSource {
  id: string;
  /** With a leading slash, as the API has it. */
  name: string;
  layout: CgroupLayout;
  cgroupPath: string;
  /** The container's init, for its network interfaces; undefined when it has no network of its own. */
  pid: number | undefined;
}

/** One sample; `precpu_stats` and `preread` come from `previous`, or are zero. */
export declare function readStats(source: StatsSource, previous?: ContainerStats): ContainerStats;
