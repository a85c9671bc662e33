/**
 * Gives back what a container holds in the kernel: its runtime record and cgroup, its network, its mounts.
 * Every step may be done again, so this serves the normal end, a start that failed, and repair after a crash.
 */
import { isAlive } from "../../linux/processes.ts";
import { parseNetworkMode } from "../../network/mode.ts";
import { containerCgroup, removeCgroup } from "../../runtime/cgroups.ts";
import { deleteContainer } from "../../runtime/runtimes.ts";
import type { ContainerRecord } from "../../state/containers.ts";
import { releaseVolumes } from "../../volumes/activate.ts";
import type { Local } from "./local.ts";
import { volumeStore } from "./volume-store.ts";

/** Can be done twice: what has gone already is no error. */
export async function releaseKernelObjects(local: Local, record: ContainerRecord): Promise<void> {
  local.state.makeRoom();
  const layout = local.cgroups();
  const cgroupPath = containerCgroup(local.instance, record.id, record.hostConfig.CgroupParent);
  const runtime = local.runtime(record.runtime);
  if (isKnownToHaveEnded(record)) {
    await deleteContainer(runtime, record.id, { force: true, ended: { layout, cgroupPath } });
  } else {
    await deleteContainer(runtime, record.id, { force: true });
    removeCgroup(layout, cgroupPath);
  }
  if (parseNetworkMode(record.hostConfig.NetworkMode).kind === "bridge") {
    const { release } = await import("../../network/endpoint.ts");
    release(local.state, record.id, { removeLink: isJoined(local, record) });
  }
  await local.snapshots.unmount(record.id);
  await releaseVolumes(volumeStore(local), record.id);
}

/** Its first process is gone, and with it all others of its PID namespace. */
function isKnownToHaveEnded(record: ContainerRecord): boolean {
  const { state } = record;
  if (state.status !== "running" && state.status !== "paused") return false;
  return record.hostConfig.PidMode !== "host" && !isAlive(state.process.pid, state.process.started);
}

/** Another container lives in its network. */
function isJoined(local: Local, record: ContainerRecord): boolean {
  return (
    local.state.db
      .query<{ n: number }, [string]>(
        `SELECT 1 AS n FROM containers WHERE state IN ('running', 'paused')
           AND json_extract(record, '$.hostConfig.NetworkMode') = ? LIMIT 1`,
      )
      .get(`container:${record.id}`) !== null
  );
}
