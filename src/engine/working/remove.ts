/** `rm`: a working container goes, with all that was changed in it. */
import { faultPoint } from "../../core/fault.ts";
import type { ContainerId } from "../../core/ids.ts";
import { collectForgottenLayers } from "../../images/collect.ts";
import { deleteWorking, workingSnapshot } from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";
import { openWorking } from "./open.ts";

/** Milliseconds that a program in it may take to end. */
const patience = 10_000;

export async function remove(local: Local, reference: string): Promise<string> {
  local.state.makeRoom();
  await using container = await openWorking(local, reference, { mode: "alone", patience });
  const { id } = container;
  container.change((record) => ({ ...record, state: { status: "removing", owner: local.me } }));
  faultPoint("working:removing");
  await finishRemoval(local, id, { removeFile: () => container.forgetLock() });
  return id;
}

/** Everything behind the record that it is being removed; can be done twice. Its lock is held alone. */
export async function finishRemoval(
  local: Local,
  id: ContainerId,
  lock: { removeFile(): void },
): Promise<void> {
  await local.snapshots.remove(workingSnapshot(id));
  faultPoint("working:removed");
  deleteWorking(local.state, id);
  lock.removeFile();
  await collectForgottenLayers(local);
}
