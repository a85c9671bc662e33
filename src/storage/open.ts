/** Chooses the storage driver of an instance. */
import type { State } from "../state/state.ts";
import type { Snapshotter } from "./snapshotter.ts";

export const storageDrivers = ["overlay2", "vfs"] as const;
export type StorageDriver = (typeof storageDrivers)[number];

/**
 * The snapshotter of this instance: `driver` if given, else the one it has snapshots of, else overlay2 where the
 * kernel and the file system have what it needs, else vfs.
 * @throws InvalidParameter for an unknown driver; Unavailable, naming what is missing, when the driver cannot work.
 */
export declare function openSnapshotter(state: State, driver: string | undefined): Snapshotter;
