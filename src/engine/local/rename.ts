/** Gives a container another name. */
import { InvalidParameter } from "../../core/errors.ts";
import { containerById, containerByName, updateContainer } from "../../state/containers.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import { nameTaken } from "./create.ts";
import { containerEvent, type Local } from "./local.ts";
import { lockContainer } from "./lock-container.ts";
import { findContainer } from "./lookup.ts";
import { parseContainerName } from "./names.ts";

/** @throws NotFound; InvalidParameter for a name that cannot be; Conflict for one that is taken */
export async function rename(local: Local, reference: string, newName: string): Promise<void> {
  if (newName === "") throw new InvalidParameter("Neither old nor new names may be empty");
  const { id } = findContainer(local.state, reference);
  const name = parseContainerName(newName);
  using _ = await lockContainer(local, id);
  local.state.transaction(() => {
    const record = containerById(local.state, id) ?? findContainer(local.state, reference);
    if (record.name === name) {
      throw new InvalidParameter("Renaming a container with the same name as its current name");
    }
    const holder = containerByName(local.state, name);
    if (holder !== undefined) throw nameTaken(name, holder.id);
    const oldName = `/${record.name}`;
    const renamed = { ...record, name };
    updateContainer(local.state, renamed);
    appendEvent(local.state, containerEvent(renamed, "rename", { oldName }));
  });
  ringBell(local.instance);
}
