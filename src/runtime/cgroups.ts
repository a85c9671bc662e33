/** Control groups: which layout the host has, where a container's groups are, and what is in them. cgroups(7). */

import { hasErrno } from "../core/errors.ts";
import type { Instance } from "../core/instance.ts";
import { join, normalize } from "../core/paths.ts";
import { announceMove, isMoveAnnounced } from "../linux/cgroup-move.ts";
import { readDirectory } from "../linux/directories.ts";
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "../linux/files.ts";
import { nodeType } from "../linux/nodes.ts";
import { OpenFile, openDirectory } from "../linux/paths.ts";

/** Which hierarchies there are. */
export interface CgroupLayout {
  /**
   * `v1`: all controllers in v1 hierarchies; `v2`: unified only; `hybrid`: some controllers in each, which crun
   * refuses. v1 with an empty v2 hierarchy beside it (as systemd makes it) counts as `v1`.
   */
  version: "v1" | "v2" | "hybrid";
  /**
   * Mount point of the hierarchy that has this controller: `memory` → /sys/fs/cgroup/memory. In v2 all map to the
   * unified hierarchy; in hybrid only those of v1 are here, as runc cannot set the others for a container. Named v1
   * hierarchies stand as `name=systemd`.
   */
  controllers: ReadonlyMap<string, string>;
  /** Mount point of the unified hierarchy, if there is one. */
  unified: string | undefined;
  /** Our own cgroup by mount point, as it was when this was read. */
  own: ReadonlyMap<string, string>;
}

/** Reads /proc/self/mountinfo and /proc/self/cgroup. */
export function detectCgroups(): CgroupLayout {
  const controllers = new Map<string, string>();
  let unified: string | undefined;
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    // 36 35 98:0 /root /mount/point options - type source super-options
    const separator = line.indexOf(" - cgroup");
    if (separator < 0) continue;
    const mountPoint = line.split(" ")[4] ?? "";
    const [type, , superOptions = ""] = line.slice(separator + 3).split(" ");
    if (type === "cgroup2") {
      unified ??= mountPoint;
      continue;
    }
    for (const option of superOptions.split(",")) {
      if (option === "rw" || option === "ro" || genericOptions.has(option)) continue;
      if (!controllers.has(option)) controllers.set(option, mountPoint);
    }
  }
  const inUnified = unified === undefined ? [] : words(readText(join(unified, "cgroup.controllers")));
  const inV1 = [...controllers.keys()].some((name) => !name.startsWith("name="));
  const own = ownCgroups(controllers, unified);
  if (!inV1 && unified !== undefined) {
    for (const name of inUnified) controllers.set(name, unified);
    return { version: "v2", controllers, unified, own };
  }
  return { version: inUnified.length > 0 ? "hybrid" : "v1", controllers, unified, own };
}

/** Mount options of a v1 hierarchy that are not controllers. */
const genericOptions = new Set(["noprefix", "clone_children", "xattr", "cpuset_v2_mode", "favordynmods"]);

function ownCgroups(
  controllers: ReadonlyMap<string, string>,
  unified: string | undefined,
): Map<string, string> {
  const own = new Map<string, string>();
  for (const line of readFileSync("/proc/self/cgroup", "utf8").split("\n")) {
    const [, names, ...path] = line.split(":");
    if (names === undefined) continue;
    const mountPoint = names === "" ? unified : controllers.get(names.split(",")[0] ?? "");
    if (mountPoint !== undefined) own.set(mountPoint, path.join(":"));
  }
  return own;
}

/**
 * The container's cgroup below every hierarchy: `<cgroupParent>/<id>`, or below the parent that the user gave,
 * which cannot lead out of the hierarchy.
 */
export function containerCgroup(instance: Instance, id: string, parent?: string): string {
  return normalize(join("/", parent || instance.cgroupParent, id));
}

/** The directories of one cgroup in all hierarchies, each once. */
function directoriesOf(layout: CgroupLayout, cgroupPath: string): string[] {
  const mountPoints = new Set(layout.controllers.values());
  if (layout.unified !== undefined) mountPoints.add(layout.unified);
  return [...mountPoints].map((mountPoint) => join(mountPoint, cgroupPath));
}

/** Where this controller's files of the cgroup are; undefined when the host lacks the controller. */
export function controllerDirectory(
  layout: CgroupLayout,
  controller: string,
  cgroupPath: string,
): string | undefined {
  const mountPoint = layout.controllers.get(controller);
  return mountPoint === undefined ? undefined : join(mountPoint, cgroupPath);
}

/** A directory in which all of the container's processes are listed. */
function membershipDirectory(layout: CgroupLayout, cgroupPath: string): string | undefined {
  if (layout.version === "v2" && layout.unified !== undefined) return join(layout.unified, cgroupPath);
  for (const controller of ["pids", "freezer", "memory", "cpu", "devices"]) {
    const directory = controllerDirectory(layout, controller, cgroupPath);
    if (directory !== undefined) return directory;
  }
  return undefined;
}

/** Pids of all processes in the container, as the host sees them. */
export function containerPids(layout: CgroupLayout, cgroupPath: string): number[] {
  const directory = membershipDirectory(layout, cgroupPath);
  return directory === undefined ? [] : pidsBelow(directory);
}

function pidsBelow(directory: string): number[] {
  const pids = words(readText(join(directory, "cgroup.procs"))).map(Number);
  for (const child of childGroups(directory)) pids.push(...pidsBelow(join(directory, child)));
  return pids;
}

/**
 * Whether all of the container's processes are frozen. One that waits for a disk freezes only when it has what it
 * waits for. undefined when there is no such cgroup.
 */
export function isFrozen(layout: CgroupLayout, cgroupPath: string): boolean | undefined {
  if (layout.version === "v2" && layout.unified !== undefined) {
    const events = readText(join(layout.unified, cgroupPath, "cgroup.events"));
    return events === undefined ? undefined : keyedNumbers(events).frozen === 1;
  }
  const directory = controllerDirectory(layout, "freezer", cgroupPath);
  const state = directory === undefined ? undefined : readText(join(directory, "freezer.state"));
  return state === undefined ? undefined : state.trim() === "FROZEN";
}

/** Whether the kernel's OOM killer has struck in this cgroup. Ask before the cgroup is removed. */
export function wasOomKilled(layout: CgroupLayout, cgroupPath: string): boolean {
  const directory = controllerDirectory(layout, "memory", cgroupPath);
  if (directory === undefined) return false;
  const file = layout.version === "v2" ? "memory.events" : "memory.oom_control";
  return (keyedNumbers(readText(join(directory, file))).oom_kill ?? 0) > 0;
}

/**
 * Removes a container's cgroup in every hierarchy, with what is below it.
 * @returns false when processes are still in it. Gone already is no error.
 */
export function removeCgroup(layout: CgroupLayout, cgroupPath: string): boolean {
  // Every hierarchy is tried, also after one that is busy.
  return directoriesOf(layout, cgroupPath)
    .map(removeGroup)
    .every((gone) => gone);
}

function removeGroup(directory: string): boolean {
  for (const child of childGroups(directory)) removeGroup(join(directory, child));
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return true;
    if (hasErrno(error, "EBUSY", "ENOTEMPTY")) return false;
    throw error;
  }
}

/** Removes the instance's own cgroups if nothing is in them. */
export function removeInstanceCgroups(layout: CgroupLayout, instance: Instance): void {
  for (const directory of directoriesOf(layout, instance.cgroupParent)) {
    const conmonIsGone = removeGroup(join(directory, "conmon"));
    if (conmonIsGone && childGroups(directory).length === 0) removeGroup(directory);
  }
}

/**
 * Puts a process, before it forks, where the end of a systemd session or service of ours does not reach: into
 * `<cgroupParent>/conmon` of the hierarchies by which systemd tracks processes. Where we stand in the root group
 * there is nothing to escape from, and nothing is done: a move costs the kernel an RCU grace period.
 */
export function enterConmonCgroup(layout: CgroupLayout, instance: Instance, pid: number): void {
  const target = join(instance.cgroupParent, "conmon");
  for (const mountPoint of [layout.unified, layout.controllers.get("name=systemd")]) {
    if (mountPoint === undefined) continue;
    const own = layout.own.get(mountPoint);
    if (own === undefined || own === "/" || own === target) continue;
    const directory = join(mountPoint, target);
    try {
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, "cgroup.procs"), String(pid));
    } catch (error) {
      // A hierarchy that is not ours to write, as inside a container: then our session does not end by it either.
      if (!hasErrno(error, "EROFS", "EACCES", "EPERM", "EBUSY", "EOPNOTSUPP")) throw error;
    }
  }
}

/**
 * Asks for the wait before a move between cgroups, which passes while other work is done. Never fails.
 * @param layout asked for unless that was done a moment ago
 */
export async function prepareCgroupMove(layout: () => CgroupLayout): Promise<void> {
  if (isMoveAnnounced()) return;
  const [where] = layout().own;
  if (where !== undefined) await announceMove(join(...where, "cgroup.procs"));
}

function childGroups(directory: string): string[] {
  try {
    using group = new OpenFile(openDirectory(directory));
    return readDirectory(group.fd)
      .filter(({ type }) => type === nodeType.directory)
      .map(({ name }) => name);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

/** The text of a cgroup file; undefined when it, or the group, does not exist (any more). */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV", "EOPNOTSUPP", "ESRCH", "EINVAL")) return undefined;
    throw error;
  }
}

/** `key value` lines as numbers. */
export function keyedNumbers(text: string | undefined): Record<string, number> {
  const result: Record<string, number> = {};
  for (const line of (text ?? "").split("\n")) {
    const [key, value] = line.split(" ");
    if (key && value !== undefined) result[key] = Number(value);
  }
  return result;
}

function words(text: string | undefined): string[] {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}
