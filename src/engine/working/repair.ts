/**
 * What commands that were killed have left of working containers: half-made and half-removed ones, and mounts that
 * nobody needs. Asked before each verb that touches files; what a killed `run` has left running, every command ends
 * (engine/local/repair.ts).
 */
import type { ContainerId } from "../../core/ids.ts";
import { isMountPoint } from "../../linux/mounts.ts";
import { isAlive } from "../../linux/processes.ts";
import { allWorking, workingById, workingSnapshot } from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";
import { WorkingLock } from "./open.ts";
import { finishRemoval } from "./remove.ts";

export async function repairWorking(local: Local): Promise<void> {
  let isRepaired = false;
  for (const { id, state, mountedIn } of allWorking(local.state)) {
    if (state.status !== "made") {
      if (isAlive(state.owner.pid, state.owner.started)) continue;
      using lock = new WorkingLock(local.instance, id);
      // Its owner may have finished since the list was read, and ended.
      if (!lock.takeAlone() || isWhole(local, id)) continue;
      await finishRemoval(local, id, lock);
      isRepaired = true;
    } else if (mountedIn !== local.bootId && isMounted(local, workingSnapshot(id))) {
      using lock = new WorkingLock(local.instance, id);
      // Else somebody is at work on it, who will unmount it.
      if (lock.takeAlone() && workingById(local.state, id)?.mountedIn !== local.bootId)
        await local.snapshots.unmount(workingSnapshot(id));
    }
  }
  // A snapshot may be half-made, or half-removed.
  if (isRepaired) await local.snapshots.sweep(() => true);
}

function isWhole({ state }: Local, id: ContainerId): boolean {
  const now = workingById(state, id);
  return now === undefined || now.state.status === "made";
}

function isMounted({ state, snapshots }: Local, key: string): boolean {
  const isThere =
    state.db.query("SELECT 1 FROM snapshots WHERE key = ?1 AND state = 'active'").get(key) !== null;
  return isThere && isMountPoint(snapshots.mountPath(key));
}
