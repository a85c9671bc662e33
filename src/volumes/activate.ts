/**
 * The volumes of a container that starts or has stopped: driver mounts, subpaths, and filling empty volumes
 * from the image.
 */
import type { PlannedMount, ResolvedMount } from "./plan.ts";
import type { VolumeStore } from "./store.ts";

export interface ActivationRequest {
  containerId: string;
  mounts: readonly PlannedMount[];
  /** Absolute path of the container's mounted root, from which empty volumes are filled. */
  rootfs: string;
  /** True at the container's first start: only then is an empty volume filled from the image. */
  fill: boolean;
}

/** Makes runtime mounts of a plan. Idempotent; what it mounts on the host is undone by `releaseVolumes`. */
export async function mountVolumes(store: VolumeStore, request: ActivationRequest): Promise<ResolvedMount[]> {
  throw new Error(`not written yet ${store} ${request.containerId}`);
}

/**
 * Undoes a container's host mounts after it has stopped, when no other running container needs them.
 * Idempotent, and quick when there are none.
 */
export async function releaseVolumes(store: VolumeStore, containerId: string): Promise<void> {
  throw new Error(`not written yet ${store} ${containerId}`);
}
