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

export async function repair(local: Local): Promise<void> {
  if (!needsRepair(local)) return;
  const { repairAll } = await import("./repair-work.ts");
  await repairAll(local);
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
