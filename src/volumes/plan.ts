/**
 * What a container's `-v`, `--mount`, `--tmpfs` and `--volumes-from` come to. A plan is made once, when the
 * container is created, and kept in its record; `mountVolumes` makes runtime mounts of it at each start.
 */
import type { PlannedMount } from "../core/mounts.ts";
import type { MountPoint } from "../core/objects.ts";

export type { PlannedMount } from "../core/mounts.ts";

/** A mount as the runtime is told of it. */
export interface ResolvedMount {
  type: "bind" | "tmpfs";
  /** Absolute host path, or `tmpfs`. */
  source: string;
  destination: string;
  readonly: boolean;
  /** `rprivate`, `rslave`, …; empty for tmpfs. */
  propagation: string;
  /** Further options for the runtime, without bind, ro/rw and propagation: `rro`, `nosuid`, `size=64m`, … */
  options: string[];
  /** Bind only the directory itself, without what is mounted below it. */
  nonRecursive: boolean;
}

/** The plan, and the same as `docker inspect` shows it (tmpfs from `--tmpfs` is not shown there). */
export interface MountPlan {
  points: MountPoint[];
  mounts: PlannedMount[];
}
