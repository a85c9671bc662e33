/**
 * From what a user asked for to a plan of mounts. Order, as Docker has it: `--volumes-from`, then `-v`, then
 * `--mount`, then the image's own VOLUMEs where nothing else is mounted; then `--tmpfs`.
 */

import { InvalidParameter, NotFound } from "../core/errors.ts";
import type { ContainerConfig, HostConfig, MountPoint } from "../core/objects.ts";
import { existsSync } from "../linux/files.ts";
import { lock } from "../state/locks.ts";
import type { MountPlan, PlannedMount } from "./plan.ts";
import {
  type MountSpecification,
  parseBind,
  parseMount,
  parseTmpfs,
  parseVolumesFrom,
  parseVolumeTarget,
} from "./specification.ts";
import { createLocked, findVolume, mountpointOf, recordUse, type VolumeStore } from "./store.ts";

export interface MountRequest {
  containerId: string;
  /** Only `Volumes` is read. */
  config: ContainerConfig;
  /** `Binds`, `Mounts`, `Tmpfs`, `VolumesFrom`, `VolumeDriver` are read. */
  hostConfig: HostConfig;
  /** The plan of a container that `--volumes-from` names. @throws NotFound */
  planOf(container: string): PlannedMount[];
}

/** A mount on its way into the plan, and where it came from. */
interface Candidate extends MountSpecification {
  origin: "other container" | "request" | "image" | "tmpfs";
}

/**
 * Makes the volumes that a new container needs, records that it refers to them, and plans its mounts, parents
 * before children. To be called once, at creation; takes the `volumes` lock, if there is any volume.
 * @throws InvalidParameter, NotFound in Docker's words; references made so far are dropped with the container.
 */
export async function prepareMounts(store: VolumeStore, request: MountRequest): Promise<MountPlan> {
  const candidates = [...collect(request).values()];
  if (candidates.length === 0) return { points: [], mounts: [] };
  if (candidates.some(({ mount }) => mount.type === "volume")) {
    using _held = await lock(store.state.instance, "volumes");
    for (const candidate of candidates) {
      if (candidate.mount.type === "volume") candidate.mount = claimVolume(store, request, candidate);
    }
  }
  candidates.sort((one, other) => depth(one.mount.destination) - depth(other.mount.destination));
  return {
    points: candidates.filter(({ origin }) => origin !== "tmpfs").map(describe),
    mounts: candidates.map(({ mount }) => mount),
  };
}

function depth(path: string): number {
  return path.split("/").length;
}

const noVolume = { driver: "", labels: {}, options: {} };

/** All mounts by destination; later sources win over `--volumes-from`, and nothing else may meet. */
function collect(request: MountRequest): Map<string, Candidate> {
  const { hostConfig } = request;
  const found = new Map<string, Candidate>();
  for (const raw of hostConfig.VolumesFrom ?? []) {
    const { container, readonly } = parseVolumesFrom(raw);
    for (const other of request.planOf(container)) {
      if (other.type === "tmpfs") continue;
      const mount = { ...other, readonly: other.readonly || readonly, copyUp: false };
      found.set(mount.destination, { mount, mode: "", volume: noVolume, origin: "other container" });
    }
  }
  const add = (candidate: Candidate): void => {
    const { destination } = candidate.mount;
    const present = found.get(destination);
    if (present !== undefined && present.origin !== "other container") {
      throw new InvalidParameter(`Duplicate mount point: ${destination}`);
    }
    found.set(destination, candidate);
  };
  for (const raw of hostConfig.Binds ?? []) {
    add({ ...parseBind(raw, hostConfig.VolumeDriver ?? ""), origin: "request" });
  }
  for (const mount of hostConfig.Mounts ?? []) {
    add({ ...parseMount(mount, existsSync), origin: "request" });
  }
  for (const [target, options] of Object.entries(hostConfig.Tmpfs ?? {})) {
    add({ mount: parseTmpfs(target, options), mode: "", volume: noVolume, origin: "tmpfs" });
  }
  for (const target of Object.keys(request.config.Volumes ?? {})) {
    const candidate = parseVolumeTarget(target, hostConfig.VolumeDriver ?? "");
    if (!found.has(candidate.mount.destination)) {
      found.set(candidate.mount.destination, { ...candidate, origin: "image" });
    }
  }
  return found;
}

/** Makes the volume if it is not there, and records the reference. The `volumes` lock is held. */
function claimVolume(store: VolumeStore, request: MountRequest, candidate: Candidate): PlannedMount {
  const { mount, volume } = candidate;
  if (candidate.origin === "other container") {
    if (findVolume(store.state, mount.volume) === undefined) {
      throw new NotFound(`get ${mount.volume}: no such volume`);
    }
    recordUse(store.state, mount.volume, request.containerId);
    return mount;
  }
  const { driver, labels, options } = volume;
  const { volume: made } = createLocked(
    store,
    {
      Name: mount.volume,
      Driver: driver,
      DriverOpts: options,
      ...(Object.keys(labels).length > 0 ? { Labels: labels } : {}),
    },
    request.containerId,
  );
  return { ...mount, volume: made.name, source: mountpointOf(store.state, made.name) };
}

/** As `docker inspect` shows it. */
function describe({ mount, mode, origin }: Candidate): MountPoint {
  const point: MountPoint = {
    Type: mount.type,
    Source: mount.source,
    Destination: mount.destination,
    Mode: mode,
    RW: !mount.readonly,
    Propagation: mount.propagation,
  };
  if (mount.type !== "volume") return point;
  // Docker shows the label mode that it would use for a volume.
  const shown = mode === "" && origin === "request" ? "z" : mode;
  return { ...point, Name: mount.volume, Driver: "local", Mode: shown };
}
