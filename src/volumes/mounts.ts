/**
 * From what a user asked for to a plan of mounts. Order, as Docker has it: `--volumes-from`, then `-v`, then
 * `--mount`, then the image's own VOLUMEs where nothing else is mounted; then `--tmpfs`.
 */
import type { ContainerConfig, HostConfig } from "../core/objects.ts";
import type { MountPlan, PlannedMount } from "./plan.ts";
import type { VolumeStore } from "./store.ts";

export interface MountRequest {
  containerId: string;
  /** Only `Volumes` is read. */
  config: ContainerConfig;
  /** `Binds`, `Mounts`, `Tmpfs`, `VolumesFrom`, `VolumeDriver` are read. */
  hostConfig: HostConfig;
  /** The plan of a container that `--volumes-from` names. @throws NotFound */
  planOf(container: string): PlannedMount[];
}

/**
 * Makes the volumes that a new container needs, records that it refers to them, and plans its mounts, parents
 * before children. To be called once, at creation; takes the `volumes` lock, if there is any volume.
 * @throws InvalidParameter, NotFound in Docker's words; then no reference is left.
 */
export async function prepareMounts(store: VolumeStore, request: MountRequest): Promise<MountPlan> {
  throw new Error(`not written yet ${store} ${request.containerId}`);
}
