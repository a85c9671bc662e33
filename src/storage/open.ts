/** Chooses the storage driver of an instance. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Conflict, InvalidParameter } from "../core/errors.ts";
import type { State } from "../state/state.ts";
import { overlay2Backend, probeOverlay2 } from "./overlay2.ts";
import { RecordedSnapshotter } from "./recorded-snapshotter.ts";
import type { Snapshotter } from "./snapshotter.ts";
import { vfsBackend } from "./vfs.ts";

export const storageDrivers = ["overlay2", "vfs"] as const;
export type StorageDriver = (typeof storageDrivers)[number];

/**
 * The snapshotter of this instance: the one that its data root was used with, else `driver` if given, else
 * overlay2. What a driver needs is tried once, before its first use; later calls cost one lstat.
 * @throws InvalidParameter for an unknown driver; Conflict for another than the data root's; Unavailable, naming what is missing and the way out, when the
 * driver cannot work here.
 */
export function openSnapshotter(state: State, driver: string | undefined): Snapshotter {
  const { dataRoot } = state.instance;
  const used = storageDrivers.find((name) => existsSync(join(dataRoot, name)));
  const chosen = driver ?? used ?? "overlay2";
  if (used !== undefined && chosen !== used && storageDrivers.some((name) => name === chosen)) {
    throw new Conflict(
      `${dataRoot} keeps its images and containers with ${used}: use another --data-root for ${chosen}`,
    );
  }
  switch (chosen) {
    case "overlay2":
      if (!existsSync(join(dataRoot, "overlay2"))) probeOverlay2(dataRoot);
      return new RecordedSnapshotter(state, overlay2Backend(dataRoot));
    case "vfs":
      return new RecordedSnapshotter(state, vfsBackend(dataRoot));
    default:
      throw new InvalidParameter(
        `unknown storage driver ${JSON.stringify(chosen)}: davit has ${storageDrivers.join(", ")}`,
      );
  }
}
