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
  const { hasPendingLayers, hasOperations, isTidyOverdue } = signsOfCrash(local.state);
  if (hasPendingLayers) await dropUnsafeLayers(local);
  const isNeeded = isTidyOverdue || (hasOperations && isOperationAbandoned(local)) || isContainerLost(local);
  if (!isNeeded) return;
  const { repairAll } = await import("./repair-work.ts");
  await repairAll(local);
}

interface Signs {
  /** Layers that were used before they were safe on the disk; usually there are none. */
  hasPendingLayers: boolean;
  hasOperations: boolean;
  /** Files wait to be removed by somebody who must have died. */
  isTidyOverdue: boolean;
}

/** In one query, as each costs a command as much as all of them. */
function signsOfCrash(state: State): Signs {
  const row = state.db
    .query<{ pending: number; operations: number; overdue: number }, [number]>(
      `SELECT EXISTS (SELECT 1 FROM pending_layers) AS pending, EXISTS (SELECT 1 FROM operations) AS operations,
        EXISTS (SELECT 1 FROM snapshots WHERE state = 'removing' AND condemned_at < ?) AS overdue`,
    )
    .get(Date.now() - overdue);
  return {
    hasPendingLayers: row?.pending === 1,
    hasOperations: row?.operations === 1,
    isTidyOverdue: row?.overdue === 1,
  };
}

/** After a power cut they may not be what the records say. */
async function dropUnsafeLayers(local: Local): Promise<void> {
  const { hasStalePending } = await import("../../images/pending.ts");
  if (!hasStalePending(local.state, () => local.bootId)) return;
  const { repairImages } = await import("../../images/collect.ts");
  await repairImages(local);
}

function isOperationAbandoned({ state }: Local): boolean {
  return allOperations(state).some(({ owner }) => !isAlive(owner.pid, owner.started));
}

function isContainerLost(local: Local): boolean {
  return activeContainers(local.state).some(
    ({ state }) => state.status === "restarting" || hasEnded(local, state),
  );
}

/** True when files wait to be removed by somebody who must have died. */
export function isTidyOverdue(state: State): boolean {
  return signsOfCrash(state).isTidyOverdue;
}
