/**
 * Gives back what a container holds in the kernel: its runtime record and cgroup, its network, its mounts.
 * Every step may be done again, so this serves the normal end, a start that failed, and repair after a crash.
 */
import { bundlePath } from "../../core/instance.ts";
import { release } from "../../network/index.ts";
import { containerCgroup, removeCgroup } from "../../runtime/cgroups.ts";
import { deleteContainer } from "../../runtime/runtimes.ts";
import type { ContainerRecord } from "../../state/containers.ts";
import { releaseVolumes } from "../../volumes/activate.ts";
import type { Local } from "./local.ts";
import { volumeStore } from "./volume-store.ts";

export async function releaseKernelObjects(local: Local, record: ContainerRecord): Promise<void> {
  await deleteContainer(local.runtime(record.runtime), record.id, { force: true });
  removeCgroup(local.cgroups(), containerCgroup(local.instance, record.id, record.hostConfig.CgroupParent));
  await release(local.state, record.id);
  await local.snapshots.unmount(record.id);
  await releaseVolumes(volumeStore(local), record.id);
}

/** Where the container's runtime files are while it runs. */
export function bundleOf(local: Local, record: ContainerRecord): string {
  return bundlePath(local.instance, record.id);
}
