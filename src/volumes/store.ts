/**
 * Local volumes: `<data root>/volumes/<name>/_data` and a record each. A volume lives until it is removed by
 * name or pruned; which containers refer to it stands in `volume_uses`, from their creation to their removal.
 *
 * What changes the set of volumes holds the `volumes` lock. Intents come first: a record is written before its
 * directory is made, and marked `removing` before its directory goes; so a crash leaves nothing that the next
 * call does not finish.
 */

import { Conflict, hasErrno, NotFound } from "../core/errors.ts";
import { randomId } from "../core/ids.ts";
import type { Volume, VolumeCreateRequest } from "../core/objects.ts";
import { join } from "../core/paths.ts";
import { removeTree } from "../linux/directories.ts";
import { mkdirSync, renameSync } from "../linux/files.ts";
import { unmountIfMounted } from "../linux/mounts.ts";
import { lock } from "../state/locks.ts";
import type { State } from "../state/state.ts";
import { treeUsage } from "../storage/usage.ts";
import { validateVolumeName } from "./names.ts";
import { validateDriverOptions } from "./options.ts";
import type { PlannedMount } from "./plan.ts";

/** Label that marks a volume as nobody's choice of name; `volume prune` takes only these by default. */
const anonymousLabel = "com.docker.volume.anonymous";

/** A volume's record. */
export interface StoredVolume {
  name: string;
  /** RFC 3339. */
  created: string;
  labels: Record<string, string> | null;
  options: Record<string, string> | null;
  /** The container whose creation made it without a name; undefined for others. */
  madeFor?: string;
  /** Set when its removal has begun; from then on it does not exist for anybody. */
  removing: boolean;
}

export interface VolumeEvent {
  action: "create" | "destroy" | "mount" | "unmount";
  name: string;
  attributes: Record<string, string>;
}

/** What the volumes room needs of its surroundings. */
export interface VolumeStore {
  readonly state: State;
  /** Told of each thing that happened to a volume. */
  emit(event: VolumeEvent): void;
}

interface Row {
  record: string;
}

function parse(row: Row): StoredVolume {
  return JSON.parse(row.record);
}

/** The directory that holds all volumes. */
export function volumesPath(state: State): string {
  return join(state.instance.dataRoot, "volumes");
}

/** Where a volume's content is. */
export function mountpointOf(state: State, name: string): string {
  return join(volumesPath(state), name, "_data");
}

/** @returns undefined when there is none, or when it is being removed. */
export function findVolume(state: State, name: string): StoredVolume | undefined {
  const row = state.db.query<Row, [string]>("SELECT record FROM volumes WHERE name = ?").get(name);
  if (row === null) return undefined;
  const volume = parse(row);
  return volume.removing ? undefined : volume;
}

/** @throws NotFound */
export function volumeByName(state: State, name: string): StoredVolume {
  const volume = findVolume(state, name);
  if (volume === undefined) throw new NotFound(`get ${name}: no such volume`);
  return volume;
}

/** All volumes by name. */
export function allVolumes(state: State): StoredVolume[] {
  return state.db
    .query<Row, []>("SELECT record FROM volumes ORDER BY name")
    .all()
    .map(parse)
    .filter((volume) => !volume.removing);
}

/** Ids of the containers that refer to a volume. */
export function usersOf(state: State, name: string): string[] {
  return state.db
    .query<{ container_id: string }, [string]>("SELECT container_id FROM volume_uses WHERE name = ?")
    .all(name)
    .map((row) => row.container_id);
}

/** Names of volumes that some container refers to. */
export function usedVolumes(state: State): Set<string> {
  const rows = state.db.query<{ name: string }, []>("SELECT DISTINCT name FROM volume_uses").all();
  return new Set(rows.map((row) => row.name));
}

/** As the Engine API gives it. */
export function describeVolume(state: State, volume: StoredVolume): Volume {
  return {
    CreatedAt: volume.created,
    Driver: "local",
    Labels: volume.labels,
    Mountpoint: mountpointOf(state, volume.name),
    Name: volume.name,
    Options: volume.options,
    Scope: "local",
  };
}

/**
 * Makes a volume; gives the one that is there already if the name is taken. No name, or an empty one: anonymous.
 * `user`: a container that refers to it from now on, recorded in the same transaction.
 * The caller holds the `volumes` lock.
 */
export function createLocked(
  store: VolumeStore,
  request: VolumeCreateRequest,
  user?: string,
): { volume: StoredVolume; made: boolean } {
  const { state } = store;
  const anonymous = request.Name === undefined || request.Name === "";
  const name = anonymous ? randomId() : (request.Name ?? "");
  validateVolumeName(name);
  const driver = request.Driver ?? "";
  if (driver !== "" && driver !== "local") {
    throw new NotFound(
      `create ${name}: error looking up volume plugin ${driver}: plugin "${driver}" not found`,
    );
  }
  const options = orNull(request.DriverOpts);
  if (options !== null) validateDriverOptions(name, options);
  finishRemoval(state, name);

  const result = state.transaction(() => {
    const existing = findVolume(state, name);
    const volume: StoredVolume = existing ?? {
      name,
      created: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
      labels: anonymous ? { ...request.Labels, [anonymousLabel]: "" } : orNull(request.Labels),
      options,
      ...(anonymous && user !== undefined ? { madeFor: user } : {}),
      removing: false,
    };
    if (existing === undefined) {
      state.db
        .query("INSERT INTO volumes (name, record) VALUES (?, ?)")
        .run(volume.name, JSON.stringify(volume));
    }
    if (user !== undefined) recordUse(state, name, user);
    return { volume, made: existing === undefined };
  });
  ensureDirectory(state, name);
  if (result.made) store.emit({ action: "create", name, attributes: { driver: "local" } });
  return result;
}

function orNull(values: Record<string, string> | null | undefined): Record<string, string> | null {
  return values === null || values === undefined || Object.keys(values).length === 0 ? null : values;
}

/** Makes a volume. @throws InvalidParameter, NotFound (driver). */
export async function createVolume(store: VolumeStore, request: VolumeCreateRequest): Promise<Volume> {
  using _held = await lock(store.state.instance, "volumes");
  return describeVolume(store.state, createLocked(store, request).volume);
}

/** Writes down that a container refers to a volume. May be part of a caller's transaction. */
export function recordUse(state: State, name: string, containerId: string): void {
  state.db
    .query("INSERT OR IGNORE INTO volume_uses (name, container_id) VALUES (?, ?)")
    .run(name, containerId);
}

/**
 * Forgets what a container refers to; to be part of the transaction that deletes its record.
 * @param plan the container's, which tells the volumes that nobody named.
 * @returns those of them that nobody else refers to: `rm -v` and `--rm` take them along.
 */
export function forgetUses(state: State, containerId: string, plan: readonly PlannedMount[] = []): string[] {
  const names = state.db
    .query<{ name: string }, [string]>("SELECT name FROM volume_uses WHERE container_id = ?")
    .all(containerId)
    .map((row) => row.name);
  if (names.length === 0) return [];
  state.db.query("DELETE FROM volume_uses WHERE container_id = ?").run(containerId);
  const unnamed = new Set(plan.filter((mount) => mount.anonymous).map((mount) => mount.volume));
  return names.filter((name) => {
    const volume = findVolume(state, name);
    if (volume === undefined || usersOf(state, name).length > 0) return false;
    return unnamed.has(name) || volume.madeFor === containerId;
  });
}

/** Made without a name; `volume prune` takes no others unless told to. */
export function isAnonymous(volume: StoredVolume): boolean {
  return volume.labels !== null && anonymousLabel in volume.labels;
}

/** The content directory, made if a crash or an administrator left it out. */
export function ensureDirectory(state: State, name: string): string {
  const path = mountpointOf(state, name);
  mkdirSync(volumesPath(state), { recursive: true, mode: 0o701 });
  mkdirSync(join(volumesPath(state), name), { recursive: true, mode: 0o701 });
  mkdirSync(path, { recursive: true, mode: 0o755 });
  return path;
}

/**
 * Removes a volume and its content. `force`: one that is not there is no error.
 * @throws NotFound, Conflict (a container refers to it)
 */
export async function removeVolume(
  store: VolumeStore,
  name: string,
  options: { force?: boolean } = {},
): Promise<void> {
  const { state } = store;
  state.makeRoom();
  using _held = await lock(state.instance, "volumes");
  const volume = findVolume(state, name);
  if (volume === undefined) {
    finishRemoval(state, name);
    if (options.force === true) return;
    throw new NotFound(`get ${name}: no such volume`);
  }
  if (!markRemoving(state, volume)) {
    throw new Conflict(`remove ${name}: volume is in use - [${usersOf(state, name).join(", ")}]`);
  }
  finishRemoval(state, name);
  emptyTrash(state);
  store.emit({ action: "destroy", name, attributes: { driver: "local" } });
}

/** Removes what nobody refers to, of `names`; the rest is left alone. @returns what went. */
export async function removeUnused(store: VolumeStore, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  using _held = await lock(store.state.instance, "volumes");
  const { state } = store;
  const removed: string[] = [];
  for (const name of names) {
    const volume = findVolume(state, name);
    if (volume === undefined || !markRemoving(state, volume)) continue;
    finishRemoval(state, name);
    removed.push(name);
  }
  emptyTrash(state);
  for (const name of removed) store.emit({ action: "destroy", name, attributes: { driver: "local" } });
  return removed;
}

/** The intent to remove, unless somebody refers to the volume. */
function markRemoving(state: State, volume: StoredVolume): boolean {
  return state.transaction(() => {
    if (usersOf(state, volume.name).length > 0) return false;
    state.db
      .query("UPDATE volumes SET record = ? WHERE name = ?")
      .run(JSON.stringify({ ...volume, removing: true }), volume.name);
    return true;
  });
}

function trashPath(state: State): string {
  // No volume's name begins with a dot.
  return join(volumesPath(state), ".trash");
}

/** Moves a marked volume's directory out of sight and drops its record. Does nothing for others. */
function finishRemoval(state: State, name: string): void {
  const row = state.db.query<Row, [string]>("SELECT record FROM volumes WHERE name = ?").get(name);
  if (row === null || !parse(row).removing) return;
  // A mount by its options that a crash left. (What an administrator mounted there stays, and stops the removal.)
  if (parse(row).options !== null) unmountIfMounted(mountpointOf(state, name));
  mkdirSync(trashPath(state), { recursive: true, mode: 0o700 });
  try {
    renameSync(join(volumesPath(state), name), join(trashPath(state), randomId()));
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
  }
  state.db.query("DELETE FROM volumes WHERE name = ?").run(name);
}

function emptyTrash(state: State): void {
  removeTree(trashPath(state));
}

/**
 * Finishes what a crash left: begun removals, their content, and references of containers that never came to be.
 * An anonymous volume that was made for such a container goes with it.
 */
export async function sweepVolumes(
  store: VolumeStore,
  containerExists: (id: string) => boolean,
): Promise<void> {
  const { state } = store;
  const left: string[] = [];
  {
    using _held = await lock(state.instance, "volumes");
    const marked = state.db.query<Row, []>("SELECT record FROM volumes").all().map(parse);
    for (const volume of marked) if (volume.removing) finishRemoval(state, volume.name);
    emptyTrash(state);
    state.transaction(() => {
      const users = state.db
        .query<{ container_id: string }, []>("SELECT DISTINCT container_id FROM volume_uses")
        .all();
      for (const { container_id } of users) {
        if (!containerExists(container_id)) left.push(...forgetUses(state, container_id));
      }
    });
  }
  await removeUnused(store, left);
}

/** Bytes of all files in a volume; a file with several names counts once. */
export function volumeSize(state: State, name: string): number {
  return treeUsage(ensureDirectory(state, name)).bytes;
}
