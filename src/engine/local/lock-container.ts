/** The right to work on one container. */
import type { ContainerId } from "../../core/ids.ts";
import { lock } from "../../state/locks.ts";
import type { Local } from "./local.ts";
import { repairOperation } from "./repair-work.ts";

/**
 * Takes the container's lock and, before anything else is done to it, finishes or undoes what a dead process had
 * begun. The caller reads the record anew: it may be gone by now.
 */
export async function lockContainer(local: Local, id: ContainerId): Promise<Disposable> {
  const held = await lock(local.instance, `container-${id}`);
  try {
    await repairOperation(local, id);
    return held;
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
}
