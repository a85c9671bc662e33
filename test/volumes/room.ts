/** A volumes room of its own for one test, and all that it left removed afterwards. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeInstance } from "../../src/core/instance.ts";
import type { ContainerConfig, HostConfig } from "../../src/core/objects.ts";
import { unmountIfMounted } from "../../src/linux/mounts.ts";
import { openState } from "../../src/state/state.ts";
import { mountVolumes, releaseVolumes } from "../../src/volumes/activate.ts";
import { prepareMounts } from "../../src/volumes/mounts.ts";
import type { MountPlan, PlannedMount } from "../../src/volumes/plan.ts";
import { allVolumes, mountpointOf, type VolumeEvent, type VolumeStore } from "../../src/volumes/store.ts";

export interface Room extends AsyncDisposable {
  readonly top: string;
  readonly store: VolumeStore;
  readonly events: VolumeEvent[];
  /** A directory that stands for a container's root. */
  readonly rootfs: string;
  plan(
    containerId: string,
    hostConfig: HostConfig,
    config?: ContainerConfig,
    others?: Record<string, PlannedMount[]>,
  ): Promise<MountPlan>;
  start(containerId: string, plan: MountPlan, options?: { fill?: boolean }): ReturnType<typeof mountVolumes>;
}

export function makeRoom(): Room {
  const top = mkdtempSync(join(tmpdir(), "davit-test-volumes-"));
  const state = openState(describeInstance(join(top, "data"), join(top, "run")));
  const events: VolumeEvent[] = [];
  const store: VolumeStore = { state, emit: (event) => events.push(event) };
  const rootfs = join(top, "rootfs");
  mkdirSync(rootfs);
  const started = new Set<string>();
  return {
    top,
    store,
    events,
    rootfs,
    plan: (containerId, hostConfig, config = {}, others = {}) =>
      prepareMounts(store, { containerId, hostConfig, config, planOf: (name) => others[name] ?? [] }),
    start: (containerId, plan, options = {}) => {
      started.add(containerId);
      return mountVolumes(store, { containerId, mounts: plan.mounts, rootfs, fill: options.fill ?? true });
    },
    async [Symbol.asyncDispose]() {
      for (const id of started) await releaseVolumes(store, id);
      for (const volume of allVolumes(state)) unmountIfMounted(mountpointOf(state, volume.name));
      state.close();
      rmSync(top, { recursive: true, force: true });
    },
  };
}

/** 64 hex digits from one, as a container's id. */
export function containerId(digit: string): string {
  return digit.repeat(64);
}
