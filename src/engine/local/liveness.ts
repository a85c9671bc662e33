/** Whether a container that is on record as running still does. */
import { isAlive } from "../../linux/processes.ts";
import type { ContainerState } from "../../state/containers.ts";
import type { Local } from "./local.ts";

/** True when the records say that it runs and the kernel says that it does not. */
export function hasEnded(local: Local, state: ContainerState): boolean {
  if (state.status !== "running" && state.status !== "paused") return false;
  return state.bootId !== local.bootId || !isAlive(state.process.pid, state.process.started);
}
