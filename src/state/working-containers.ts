/** Records of working containers: images on their way, made by `from`, changed by hand, and committed. */
import type { ContainerId, Digest, ImageId } from "../core/ids.ts";
import type { ContainerConfig, HostConfig } from "../core/objects.ts";
import { allContainers, type ContainerRecord, type ProcessIdentity } from "./containers.ts";
import type { State } from "./state.ts";

/** A line of an image's history that this container has added itself. */
export interface WorkingHistory {
  /** RFC 3339. */
  readonly created: string;
  readonly created_by: string;
}

/** What becomes of the image's config, whatever the format. */
export interface WorkingConfig {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly osVersion?: string;
  readonly osFeatures?: readonly string[];
  readonly author?: string;
  readonly comment?: string;
  readonly config: ContainerConfig;
}

/** Where a command of `run` runs, unless it says itself: given with `from`. */
export interface RunDefaults {
  /** Capabilities, devices, limits, DNS servers, hosts. */
  readonly hostConfig: HostConfig;
  /** `host`, `none`, `bridge`, or `ns:<path>`. */
  readonly network: string;
  /** Each `private`, `host` or the path of a namespace. */
  readonly namespaces: Readonly<Record<"pid" | "ipc" | "uts" | "cgroup", string>>;
  /** `source:destination[:options]`. */
  readonly volumes: readonly string[];
}

export interface WorkingRecord {
  readonly id: ContainerId;
  readonly name: string;
  /** RFC 3339. */
  readonly created: string;
  /** `making` and `removing` name who is at it: when that process is dead, the container goes. */
  readonly state:
    | { readonly status: "made" }
    | { readonly status: "making" | "removing"; readonly owner: ProcessIdentity };
  /** What it was made from; undefined for nothing. */
  readonly image:
    | {
        readonly id: ImageId;
        /** Canonical, or the id where it has no name. */
        readonly name: string;
        readonly manifest: Digest;
      }
    | undefined;
  readonly format: "oci" | "docker";
  readonly config: WorkingConfig;
  readonly history: readonly WorkingHistory[];
  readonly annotations: Readonly<Record<string, string>>;
  /** Of the line that its commit adds to the history; empty for the usual. */
  readonly createdBy: string;
  readonly historyComment: string;
  readonly defaults: RunDefaults;
  /** The boot in which a person has mounted it; empty when it is not. */
  readonly mountedIn: string;
  /** What runtimes have made to mount on it: to be taken away when no program runs in it. */
  readonly stubs: readonly WorkingStub[];
}

export interface WorkingStub {
  readonly path: string;
  /** The directory that it is in, and what times that had; nanoseconds since 1970. */
  readonly above?: { readonly path: string; readonly atime: string; readonly mtime: string };
}

/** The key of a working container's snapshot. */
export function workingSnapshot(id: ContainerId): string {
  return `working-${id}`;
}

interface Row {
  record: string;
}

function parse(row: Row): WorkingRecord {
  return JSON.parse(row.record);
}

/** Adds a record. @throws SQLiteError (constraint) when the name or id is taken; callers check first. */
export function insertWorking(state: State, record: WorkingRecord): void {
  state.db
    .query("INSERT INTO working_containers (id, name, image_id, record) VALUES (?1, ?2, ?3, ?4)")
    .run(record.id, record.name, record.image?.id ?? "", JSON.stringify(record));
}

/** Part of a transaction that has read what it changes. */
export function updateWorking(state: State, record: WorkingRecord): void {
  state.db
    .query("UPDATE working_containers SET name = ?2, record = ?3 WHERE id = ?1")
    .run(record.id, record.name, JSON.stringify(record));
}

export function deleteWorking(state: State, id: ContainerId): void {
  state.db.query("DELETE FROM working_containers WHERE id = ?1").run(id);
}

export function workingById(state: State, id: string): WorkingRecord | undefined {
  const row = state.db.query<Row, [string]>("SELECT record FROM working_containers WHERE id = ?1").get(id);
  return row === null ? undefined : parse(row);
}

export function workingByName(state: State, name: string): WorkingRecord | undefined {
  const row = state.db
    .query<Row, [string]>("SELECT record FROM working_containers WHERE name = ?1")
    .get(name);
  return row === null ? undefined : parse(row);
}

/** At most two, which is enough to tell whether the prefix is ambiguous. @param prefix hex */
export function workingByPrefix(state: State, prefix: string): WorkingRecord[] {
  return state.db
    .query<Row, [string, string]>("SELECT record FROM working_containers WHERE id >= ?1 AND id < ?2 LIMIT 2")
    .all(prefix, `${prefix}g`)
    .map(parse);
}

/** In the order in which they were made. */
export function allWorking(state: State): WorkingRecord[] {
  return state.db.query<Row, []>("SELECT record FROM working_containers ORDER BY rowid").all().map(parse);
}

/** Who needs an image to stay. */
export type ImageUser = Pick<ContainerRecord, "id" | "imageId" | "state">;

/** Containers of both kinds; a working container counts as one that does not run. */
export function imageUsers(state: State): ImageUser[] {
  const working = state.db
    .query<{ id: ContainerId; image_id: ImageId }, []>(
      "SELECT id, image_id FROM working_containers WHERE image_id != ''",
    )
    .all();
  return [
    ...allContainers(state),
    ...working.map(({ id, image_id }): ImageUser => ({ id, imageId: image_id, state: { status: "exited" } })),
  ];
}
