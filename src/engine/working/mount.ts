/** `mount` and `umount`: a working container's files for the programs of this machine. */

import { allWorking, workingSnapshot } from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";
import { openWorking } from "./open.ts";

export async function mount(local: Local, reference: string): Promise<string> {
  await using container = await openWorking(local, reference, { mode: "shared" });
  const path = await container.root();
  container.change((record) => ({ ...record, mountedIn: local.bootId }));
  return path;
}

/** Those that `mount` has mounted since the machine started. */
export function mounted({ state, bootId, snapshots }: Local): { name: string; id: string; path: string }[] {
  return allWorking(state)
    .filter(({ mountedIn, state: { status } }) => mountedIn === bootId && status === "made")
    .map(({ id, name }) => ({ id, name, path: snapshots.mountPath(workingSnapshot(id)) }));
}

/** @returns its id; undefined when it was not mounted */
export async function unmount(local: Local, reference: string): Promise<string | undefined> {
  await using container = await openWorking(local, reference, { mode: "shared" });
  if (!container.isMounted) return undefined;
  container.change((record) => ({ ...record, mountedIn: "" }));
  // The files are let go of by whoever is the last to use them.
  return container.id;
}
