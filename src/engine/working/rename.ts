import { Conflict } from "../../core/errors.ts";
import { updateWorking, workingByName } from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";
import { checkName, findWorking } from "./open.ts";

/** @throws Conflict when the new name is taken; InvalidParameter when it is none */
export function rename({ state }: Local, reference: string, name: string): void {
  const wanted = checkName(name);
  state.transaction(() => {
    const record = findWorking(state, reference);
    const other = workingByName(state, wanted);
    if (other !== undefined) {
      throw new Conflict(
        `The container name ${JSON.stringify(wanted)} is already in use by container ${JSON.stringify(other.id)}`,
      );
    }
    updateWorking(state, { ...record, name: wanted });
  });
}
