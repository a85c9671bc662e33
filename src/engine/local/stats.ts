/** `docker stats`: one sample, or one a second. */
import type { ContainerStats } from "../../core/objects.ts";
import { containerCgroup } from "../../runtime/cgroups.ts";
import { readStats, type StatsSource } from "../../runtime/stats.ts";
import type { StatsOptions } from "../engine.ts";
import type { Local } from "./local.ts";
import { findContainer } from "./lookup.ts";
import { liveState } from "./status.ts";

const interval = 1000;

/** Ends after one sample unless it streams. @throws NotFound, also when the container is removed meanwhile */
export async function* stats(
  local: Local,
  reference: string,
  options: StatsOptions = {},
): AsyncGenerator<ContainerStats> {
  const { id } = findContainer(local.state, reference);
  let previous: ContainerStats | undefined;
  if (options.stream !== true && options.oneShot !== true) {
    // A second sample tells what happened in between.
    previous = sample(local, id);
    await Bun.sleep(interval);
  }
  for (;;) {
    previous = sample(local, id, previous);
    yield previous;
    if (options.stream !== true) return;
    await Bun.sleep(interval);
    if (options.signal?.aborted) return;
  }
}

function sample(local: Local, id: string, previous?: ContainerStats): ContainerStats {
  const record = findContainer(local.state, id);
  const live = liveState(record);
  const mode = record.hostConfig.NetworkMode ?? "bridge";
  const ownNetwork = mode !== "host" && mode !== "none" && !mode.startsWith("container:");
  const source: StatsSource = {
    id: record.id,
    name: `/${record.name}`,
    layout: local.cgroups(),
    cgroupPath: containerCgroup(local.instance, record.id, record.hostConfig.CgroupParent),
    pid: live !== undefined && ownNetwork ? live.process.pid : undefined,
  };
  return readStats(source, previous);
}
