/** Finding containers by what people type: a full id, a name, or the beginning of an id. */
import { Conflict, InvalidParameter, NotFound } from "../../core/errors.ts";
import { isContainerId } from "../../core/ids.ts";
import {
  type ContainerRecord,
  containerById,
  containerByName,
  containersByPrefix,
} from "../../state/containers.ts";
import type { State } from "../../state/state.ts";
import { hasEnded } from "./liveness.ts";
import type { Local } from "./local.ts";
import { liveState } from "./status.ts";

/**
 * @throws NotFound `No such container: x`; InvalidParameter when a prefix fits several.
 */
export function findContainer(state: State, reference: string): ContainerRecord {
  const found = search(state, reference);
  if (found === undefined || isHidden(found)) {
    throw new NotFound(`No such container: ${reference}`);
  }
  return found;
}

/** Being made, or being unmade before it ever was. */
export function isHidden({ state }: ContainerRecord): boolean {
  return state.status === "creating" || (state.status === "removing" && state.neverMade === true);
}

function search(state: State, reference: string): ContainerRecord | undefined {
  if (isContainerId(reference)) {
    const exact = containerById(state, reference);
    if (exact) return exact;
  }
  const named = containerByName(state, reference.replace(/^\//, ""));
  if (named) return named;
  if (!/^[0-9a-f]+$/.test(reference)) return undefined;
  const [first, second] = containersByPrefix(state, reference);
  if (second) throw new InvalidParameter(`Multiple IDs found with provided prefix: ${reference}`);
  return first;
}

/** @throws Conflict when it does not run. */
export function requireLive(local: Local, reference: string) {
  const record = findContainer(local.state, reference);
  const live = liveState(record);
  if (live === undefined || hasEnded(local, record.state)) {
    throw new Conflict(`container ${record.id} is not running`);
  }
  return { record, live };
}
