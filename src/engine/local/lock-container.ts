/** The right to work on one container. */
import type { ContainerId } from "../../core/ids.ts";
import { isAlive } from "../../linux/processes.ts";
import { operationOn } from "../../state/containers.ts";
import { lock } from "../../state/locks.ts";
import type { Local } from "./local.ts";

/**
 * Takes the container's lock and, before anything else is done to it, finishes or undoes what a dead process had
 * begun. The caller reads the record anew: it may be gone by now.
 */
export async function lockContainer(local: Local, id: ContainerId): Promise<Disposable> {
  const held = await lock(local.instance, `container-${id}`);
  try {
    const operation = operationOn(local.state, id);
    if (operation !== undefined && !isAlive(operation.owner.pid, operation.owner.started)) {
      const { repairOperation } = await import("./repair-work.ts");
      await repairOperation(local, id);
    }
    return held;
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
}
