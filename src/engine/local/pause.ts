/** Freezes and thaws all processes of a container. */
import { Conflict, SystemFailure } from "../../core/errors.ts";
import { containerCgroup } from "../../runtime/cgroups.ts";
import { freezeContainer } from "../../runtime/freeze.ts";
import { resumeContainer } from "../../runtime/runtimes.ts";
import { type ContainerRecord, containerById, updateContainer } from "../../state/containers.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import { containerEvent, type Local } from "./local.ts";
import { lockContainer } from "./lock-container.ts";
import { findContainer } from "./lookup.ts";
import { settleLocked } from "./settle.ts";

/** @throws NotFound; Conflict when it does not run, or is paused already */
export async function pause(local: Local, reference: string): Promise<void> {
  const { id } = findContainer(local.state, reference);
  using _ = await lockContainer(local, id);
  const record = (await settleLocked(local, id)) ?? findContainer(local.state, reference);
  const { state } = record;
  if (state.status === "paused") throw new Conflict(`container ${id} is already paused`);
  if (state.status !== "running") throw new Conflict(`container ${record.id} is not running`);
  await freezeContainer(local.runtime(record.runtime), id, {
    layout: local.cgroups(),
    path: containerCgroup(local.instance, id, record.hostConfig.CgroupParent),
  });
  recordState(local, { ...record, state: { ...state, status: "paused" } }, "pause");
}

/** @throws NotFound; SystemFailure when it is not paused */
export async function unpause(local: Local, reference: string): Promise<void> {
  const { id } = findContainer(local.state, reference);
  using _ = await lockContainer(local, id);
  const record = (await settleLocked(local, id)) ?? findContainer(local.state, reference);
  if (record.state.status !== "paused") throw new SystemFailure(`container ${id} is not paused`);
  await resumeContainer(local.runtime(record.runtime), id);
  recordState(local, { ...record, state: { ...record.state, status: "running" } }, "unpause");
}

/** Thaws a container that is about to be killed. */
export async function thaw(local: Local, record: ContainerRecord): Promise<void> {
  await resumeContainer(local.runtime(record.runtime), record.id);
}

function recordState(local: Local, record: ContainerRecord, action: string): void {
  local.state.transaction(() => {
    if (containerById(local.state, record.id) === undefined) return;
    updateContainer(local.state, record);
    appendEvent(local.state, containerEvent(record, action));
  });
  ringBell(local.instance);
}
