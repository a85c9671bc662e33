/** Chooses the storage driver of an instance. */

import { Conflict, InvalidParameter, Unavailable } from "../core/errors.ts";
import { join } from "../core/paths.ts";
import { fileSystemMagic, fileSystemStatus } from "../linux/disks.ts";
import { existsSync } from "../linux/files.ts";
import type { State } from "../state/state.ts";
import type { StorageBackend } from "./backend.ts";
import { RecordedSnapshotter } from "./recorded-snapshotter.ts";
import type { Snapshotter } from "./snapshotter.ts";

const storageDrivers = ["overlay2", "btrfs", "vfs"] as const;
export type StorageDriver = (typeof storageDrivers)[number];

interface Driver {
  open(dataRoot: string): StorageBackend;
  /** @throws Unavailable, naming what is missing and the way out. */
  probe(dataRoot: string): void;
}

/** Every command uses one of them: each is loaded when it is chosen. */
const rooms = {
  overlay2: (): typeof import("./overlay2.ts") => require("./overlay2.ts"),
  overlay2Probe: (): typeof import("./overlay2-probe.ts") => require("./overlay2-probe.ts"),
  btrfs: (): typeof import("./btrfs.ts") => require("./btrfs.ts"),
  vfs: (): typeof import("./vfs.ts") => require("./vfs.ts"),
};

const drivers: Record<StorageDriver, Driver> = {
  overlay2: {
    open: (dataRoot) => rooms.overlay2().overlay2Backend(dataRoot),
    probe: (dataRoot) => rooms.overlay2Probe().probeOverlay2(dataRoot),
  },
  btrfs: {
    open: (dataRoot) => rooms.btrfs().btrfsBackend(dataRoot),
    probe: (dataRoot) => rooms.btrfs().probeBtrfs(dataRoot),
  },
  vfs: { open: (dataRoot) => rooms.vfs().vfsBackend(dataRoot), probe: () => {} },
};

/**
 * The snapshotter of this instance: the one that its data root was used with, else `driver` if given, else btrfs on
 * a btrfs, else overlay2, else vfs. What a driver needs is tried once, before its first use; later calls cost an
 * lstat or two.
 * @param warn is told, once, why it had to be vfs.
 * @throws InvalidParameter for an unknown driver; Conflict for another than the data root's; Unavailable, naming
 * what is missing and the way out, when the driver that was asked for cannot work here.
 */
export function openSnapshotter(
  state: State,
  driver: string | undefined,
  warn: (text: string) => void = () => {},
): Snapshotter {
  const { dataRoot } = state.instance;
  const wanted = driver === undefined ? undefined : storageDrivers.find((name) => name === driver);
  if (driver !== undefined && wanted === undefined) {
    throw new InvalidParameter(
      `unknown storage driver ${JSON.stringify(driver)}: davit has ${storageDrivers.join(", ")}`,
    );
  }
  const used = storageDrivers.find((name) => existsSync(join(dataRoot, name)));
  if (used !== undefined && wanted !== undefined && wanted !== used) {
    throw new Conflict(
      `${dataRoot} keeps its images and containers with ${used}: use another --data-root for ${wanted}`,
    );
  }
  const chosen = used ?? wanted ?? detect(dataRoot, warn);
  if (used === undefined && wanted !== undefined) drivers[wanted].probe(dataRoot);
  return new RecordedSnapshotter(state, drivers[chosen].open(dataRoot));
}

/** What users of a driver should know, as `docker info` warns. */
export function driverWarnings(driver: string): string[] {
  return driver === "vfs"
    ? ["the vfs storage driver copies whole trees: use overlay2 or btrfs where that is possible"]
    : [];
}

function detect(dataRoot: string, warn: (text: string) => void): StorageDriver {
  const reasons: string[] = [];
  const isOnBtrfs = fileSystemStatus(dataRoot).magic === fileSystemMagic.btrfs;
  for (const name of isOnBtrfs ? (["btrfs", "overlay2"] as const) : (["overlay2"] as const)) {
    try {
      drivers[name].probe(dataRoot);
      return name;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      reasons.push(error.message);
    }
  }
  warn(`WARNING: vfs is used, which copies whole trees: ${reasons.join("; ")}`);
  return "vfs";
}
