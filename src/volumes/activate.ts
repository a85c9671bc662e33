/**
 * The volumes of a container that starts or has stopped: driver mounts, subpaths, and filling empty volumes
 * from the image.
 *
 * Who needs a host mount stands in the exec root, which a reboot empties as it empties the mount table:
 * `volumes/<name>/<container>` for a volume with driver options, `subpaths/<container>/<n>` for a subpath.
 */

import { hasErrno, InvalidParameter, messageOf, SystemFailure } from "../core/errors.ts";
import { join } from "../core/paths.ts";
import { namesIn } from "../linux/directories.ts";
import { existsSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from "../linux/files.ts";
import { kernelRelease } from "../linux/machine.ts";
import { bindMount, isMountPoint, unmountIfMounted } from "../linux/mounts.ts";
import { nodeType, statusAt } from "../linux/nodes.ts";
import { descriptorPath, OpenFile, openDirectory, openFlag, openInRoot } from "../linux/paths.ts";
import { lock } from "../state/locks.ts";
import type { State } from "../state/state.ts";
import { fillDirectory, fillVolume, needsFilling } from "./copy-up.ts";
import { mountDriverOptions } from "./options.ts";
import type { PlannedMount, ResolvedMount } from "./plan.ts";
import { ensureDirectory, type StoredVolume, type VolumeStore, volumeByName, volumesPath } from "./store.ts";

export interface ActivationRequest {
  containerId: string;
  mounts: readonly PlannedMount[];
  /** Absolute path of the container's mounted root, from which empty volumes are filled. */
  rootfs: string;
  /** True at the container's first start: only then is an empty volume filled from the image. */
  fill: boolean;
}

/**
 * Makes runtime mounts of a plan. Idempotent; what it mounts on the host is undone by `releaseVolumes`, also
 * after a failure.
 * @throws InvalidParameter, SystemFailure in Docker's words
 */
export async function mountVolumes(store: VolumeStore, request: ActivationRequest): Promise<ResolvedMount[]> {
  const resolved: ResolvedMount[] = [];
  for (const [index, mount] of request.mounts.entries()) {
    resolved.push({
      type: mount.type === "tmpfs" ? "tmpfs" : "bind",
      source: await sourceOf(store, request, mount, index),
      destination: mount.destination,
      readonly: mount.readonly,
      propagation: mount.propagation,
      options: [...mount.options, ...recursiveReadonlyOption(mount)],
      nonRecursive: !mount.recursive,
    });
  }
  return resolved;
}

async function sourceOf(
  store: VolumeStore,
  request: ActivationRequest,
  mount: PlannedMount,
  index: number,
): Promise<string> {
  if (mount.type === "tmpfs") return "tmpfs";
  if (mount.type === "bind") {
    checkBindSource(mount);
    return mount.source;
  }
  const volume = volumeByName(store.state, mount.volume);
  ensureDirectory(store.state, volume.name);
  if (volume.options !== null) await mountForContainer(store, volume, request.containerId);
  const source =
    mount.subpath === "" ? mount.source : mountSubpath(store.state, request.containerId, mount, index);
  await fill(store, request, mount, volume, source);
  store.emit({
    action: "mount",
    name: volume.name,
    attributes: {
      container: request.containerId,
      destination: mount.destination,
      driver: "local",
      propagation: mount.propagation,
      "read/write": String(!mount.readonly),
    },
  });
  return source;
}

function checkBindSource(mount: PlannedMount): void {
  if (existsSync(mount.source)) return;
  if (!mount.createSource) {
    throw new InvalidParameter(
      `invalid mount config for type "bind": bind source path does not exist: ${mount.source}`,
    );
  }
  try {
    mkdirSync(mount.source, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new SystemFailure(`error while creating mount source path '${mount.source}': ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function fill(
  store: VolumeStore,
  request: ActivationRequest,
  mount: PlannedMount,
  volume: StoredVolume,
  source: string,
): Promise<void> {
  const directory = join(volumesPath(store.state), volume.name);
  const asked = request.fill && mount.copyUp;
  if (!needsFilling(directory, source, asked)) return;
  using _held = await lock(store.state.instance, "volumes");
  if (volume.options === null && mount.subpath === "") {
    await fillVolume(directory, request.rootfs, mount.destination);
  } else if (asked) {
    await fillDirectory(source, request.rootfs, mount.destination);
  }
}

/** `rro` where the kernel has it (mount_setattr, 5.12). @throws InvalidParameter when it must and cannot be. */
function recursiveReadonlyOption(mount: PlannedMount): string[] {
  if (mount.type === "tmpfs" || !mount.readonly || !mount.recursive || mount.recursiveReadonly === "no")
    return [];
  const [major = 0, minor = 0] = kernelRelease().split(".").map(Number);
  if (major > 5 || (major === 5 && minor >= 12)) return ["rro"];
  if (mount.recursiveReadonly === "if-possible") return [];
  throw new InvalidParameter(
    `mount ${mount.destination}: recursive read-only mounts need Linux 5.12; this is ${kernelRelease()}`,
  );
}

// --- Volumes with driver options ---------------------------------------------------------------------------------

function needsPath(state: State, name: string): string {
  return join(state.instance.execRoot, "volumes", name);
}

/** Mounts what the options name on the volume's directory, unless a running container has it mounted already. */
async function mountForContainer(
  store: VolumeStore,
  volume: StoredVolume,
  containerId: string,
): Promise<void> {
  const { state } = store;
  using _held = await lock(state.instance, "volumes");
  const target = ensureDirectory(state, volume.name);
  const needs = needsPath(state, volume.name);
  mkdirSync(needs, { recursive: true, mode: 0o700 });
  writeFileSync(join(needs, containerId), "");
  if (isMountPoint(target) || volume.options?.device === undefined) return;
  try {
    await mountDriverOptions(volume.options, target);
  } catch (error) {
    rmSync(join(needs, containerId), { force: true });
    throw new SystemFailure(
      `error while mounting volume '${target}': failed to mount local volume: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** Names of the volumes that a container has host mounts of. */
function mountedFor(state: State, containerId: string): string[] {
  return namesIn(join(state.instance.execRoot, "volumes")).filter((name) =>
    existsSync(join(needsPath(state, name), containerId)),
  );
}

/**
 * Undoes a container's host mounts after it has stopped, when no other running container needs them.
 * Idempotent, and quick when there are none.
 */
export async function releaseVolumes(store: VolumeStore, containerId: string): Promise<void> {
  const { state } = store;
  releaseSubpaths(state, containerId);
  const names = mountedFor(state, containerId);
  if (names.length === 0) return;
  using _held = await lock(state.instance, "volumes");
  for (const name of names) {
    rmSync(join(needsPath(state, name), containerId), { force: true });
    if (namesIn(needsPath(state, name)).length > 0) continue;
    unmountIfMounted(join(volumesPath(state), name, "_data"));
    rmdirSync(needsPath(state, name));
  }
}

// --- Subpaths ----------------------------------------------------------------------------------------------------

function subpathsPath(state: State, containerId: string): string {
  return join(state.instance.execRoot, "subpaths", containerId);
}

/**
 * Binds a path inside a volume to a place of the container's own, so that the runtime gets what was checked here
 * even if somebody swaps a directory of the volume for a symlink meanwhile.
 */
function mountSubpath(state: State, containerId: string, mount: PlannedMount, index: number): string {
  using root = new OpenFile(openDirectory(mount.source));
  using inside = openSubpath(root.fd, mount);
  const isDirectory = (statusAt(inside.fd, "").mode & nodeType.mask) === nodeType.directory;
  const place = join(subpathsPath(state, containerId), String(index));
  mkdirSync(subpathsPath(state, containerId), { recursive: true, mode: 0o700 });
  unmountIfMounted(place);
  rmSync(place, { recursive: true, force: true });
  if (isDirectory) mkdirSync(place, { mode: 0o700 });
  else writeFileSync(place, "");
  bindMount(descriptorPath(inside.fd), place, { recursive: true });
  return place;
}

function openSubpath(root: number, mount: PlannedMount): OpenFile {
  try {
    return new OpenFile(openInRoot(root, mount.subpath, openFlag.path));
  } catch (error) {
    throw new InvalidParameter(
      `cannot access path ${join(mount.source, mount.subpath)}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

function releaseSubpaths(state: State, containerId: string): void {
  const directory = subpathsPath(state, containerId);
  for (const name of namesIn(directory)) {
    const place = join(directory, name);
    unmountIfMounted(place);
    // Empty by now: a mount that is still there makes this fail rather than delete the volume's content.
    rmPlace(place);
  }
  rmSync(directory, { recursive: true, force: true });
}

function rmPlace(place: string): void {
  try {
    rmdirSync(place);
  } catch (error) {
    if (!hasErrno(error, "ENOTDIR")) throw error;
    rmSync(place);
  }
}
