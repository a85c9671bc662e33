/**
 * Whether a crash has left something to repair. Asked at the start of every command, so it must cost nothing when
 * nothing is wrong: three small queries, and a look into /proc for each container that should be running.
 */
import { isAlive } from "../../linux/processes.ts";
import { activeContainers, allOperations } from "../../state/containers.ts";
import type { State } from "../../state/state.ts";
import { hasEnded } from "./liveness.ts";
import type { Local } from "./local.ts";

/** Milliseconds after which the files of a removed container should long be gone. */
const overdue = 5_000;

/** Finishes or undoes what processes that died have left. */
export async function repair(local: Local): Promise<void> {
  if (hasPendingLayers(local.state)) await dropUnsafeLayers(local);
  if (!needsRepair(local)) return;
  const { repairAll } = await import("./repair-work.ts");
  await repairAll(local);
}

/** Layers that were used before they were safe on the disk; usually there are none. */
function hasPendingLayers(state: State): boolean {
  return state.db.query<{ n: number }, []>("SELECT 1 AS n FROM pending_layers LIMIT 1").get() !== null;
}

/** After a power cut they may not be what the records say. */
async function dropUnsafeLayers(local: Local): Promise<void> {
  const { hasStalePending } = await import("../../images/pending.ts");
  if (!hasStalePending(local.state, () => local.bootId)) return;
  const { repairImages } = await import("../../images/collect.ts");
  await repairImages(local);
}

function needsRepair(local: Local): boolean {
  return (
    allOperations(local.state).some(({ owner }) => !isAlive(owner.pid, owner.started)) ||
    activeContainers(local.state).some(
      ({ state }) => state.status === "restarting" || hasEnded(local, state),
    ) ||
    isTidyOverdue(local.state)
  );
}

/** True when files wait to be removed by somebody who must have died. */
export function isTidyOverdue(state: State): boolean {
  const limit = Date.now() - overdue;
  return (
    state.db
      .query<{ n: number }, [number]>(
        "SELECT 1 AS n FROM snapshots WHERE state = 'removing' AND condemned_at < ? LIMIT 1",
      )
      .get(limit) !== null
  );
}
