/**
 * What a container's `-v`, `--mount`, `--tmpfs` and `--volumes-from` come to. A plan is made once, when the
 * container is created, and kept in its record; `mountVolumes` makes runtime mounts of it at each start.
 */
import type { MountPoint } from "../core/objects.ts";

export interface PlannedMount {
  type: "bind" | "volume" | "tmpfs";
  /** Host path of a bind; the volume's mount point; empty for tmpfs. */
  source: string;
  /** Absolute and cleaned; never `/`. */
  destination: string;
  readonly: boolean;
  /** `rprivate`, `rslave`, …; empty where the type has none. */
  propagation: string;
  /** Bring along what is mounted below the source. */
  recursive: boolean;
  /** `if-possible` and `required` make mounts below a read-only one read-only too. */
  recursiveReadonly: "no" | "if-possible" | "required";
  /** The volume's name; empty for other types. */
  volume: string;
  /** Path inside the volume that is mounted; empty for all of it. */
  subpath: string;
  /** Fill the volume from the image if it is empty. */
  copyUp: boolean;
  /** File system options of a tmpfs, in mount(8)'s words. */
  options: string[];
}

/** A mount as the runtime is told of it. */
export interface ResolvedMount {
  type: "bind" | "tmpfs";
  /** Absolute host path, or `tmpfs`. */
  source: string;
  destination: string;
  readonly: boolean;
  /** `rprivate`, `rslave`, …; empty for tmpfs. */
  propagation: string;
  /** Further options for the runtime, without ro/rw and propagation: `rbind`, `rro`, `nosuid`, `size=64m`, … */
  options: string[];
}

/** The plan, and the same as `docker inspect` shows it (tmpfs from `--tmpfs` is not shown there). */
export interface MountPlan {
  points: MountPoint[];
  mounts: PlannedMount[];
}
