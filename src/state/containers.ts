/** Records of containers, and the intents that guard work on them. */
import type { ContainerId, ImageId } from "../core/ids.ts";
import type { PlannedMount } from "../core/mounts.ts";
import type { ContainerConfig, HostConfig, MountPoint, NetworkingConfig } from "../core/objects.ts";
import type { State } from "./state.ts";

/** A process that can be told from a later one with the same pid. */
export interface ProcessIdentity {
  pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since boot. */
  started: number;
}

/**
 * Where a container is in its life. `creating` is never shown: it becomes `created`, or is undone by repair.
 * `restarting` waits for its restart policy's back-off; `removing` is finished by whoever finds it.
 */
export type ContainerState =
  | { status: "creating" }
  | { status: "created" }
  | { status: "running" | "paused"; process: ProcessIdentity; monitor: ProcessIdentity; bootId: string }
  | { status: "restarting"; restartAt: number }
  | { status: "exited" }
  | RemovingState;

/** Everything that whoever finishes a removal must know. */
export interface RemovingState {
  status: "removing";
  /** Its anonymous volumes go with it. */
  volumes: boolean;
  /** Those volumes, once its references to them are gone from the database. */
  anonymous?: string[];
  /** A creation that did not get to its end is undone: nobody ever saw it. */
  neverMade?: boolean;
}

export interface ContainerRecord {
  id: ContainerId;
  name: string;
  /** RFC 3339 with nanoseconds. */
  created: string;
  imageId: ImageId;
  /** As the user gave it. */
  imageName: string;
  platform: string;
  driver: string;
  /** The image's config and the request, merged. */
  config: ContainerConfig;
  hostConfig: HostConfig;
  networking: NetworkingConfig;
  path: string;
  args: string[];
  /** As inspect shows them. */
  mounts: MountPoint[];
  /** As each start makes them. */
  plan: PlannedMount[];
  state: ContainerState;
  startedAt: string;
  finishedAt: string;
  exitCode: number;
  oomKilled: boolean;
  /** Why the last start failed; empty when it did not. */
  error: string;
  /** How often its restart policy has restarted it since a person last started it. */
  restartCount: number;
  /** Milliseconds that its last restart waited; 0 when it has not been restarted by its policy. */
  restartDelay: number;
  /** A person stopped it, so `unless-stopped` and `always` leave it alone. */
  stoppedByUser: boolean;
  /** Name or path of its OCI runtime. */
  runtime: string;
}

export const never = "0001-01-01T00:00:00Z";

/** Whether it ever ran. */
export function wasStarted({ startedAt }: Pick<ContainerRecord, "startedAt">): boolean {
  return startedAt !== never;
}

interface Row {
  record: string;
}

function parse(row: Row): ContainerRecord {
  return JSON.parse(row.record);
}

/** Adds a record. @throws SQLiteError (constraint) when the name or id is taken; callers check first. */
export function insertContainer(state: State, record: ContainerRecord): void {
  state.db
    .query("INSERT INTO containers (id, name, created_at, state, record) VALUES (?, ?, ?, ?, ?)")
    .run(record.id, record.name, Date.parse(record.created), record.state.status, JSON.stringify(record));
}

/** Replaces the record; nothing happens when it has gone. */
export function updateContainer(state: State, record: ContainerRecord): void {
  state.db
    .query("UPDATE containers SET name = ?, state = ?, record = ? WHERE id = ?")
    .run(record.name, record.state.status, JSON.stringify(record), record.id);
}

/** Its execs go with it. No error when it is not there. */
export function deleteContainer(state: State, id: ContainerId): void {
  state.db.query("DELETE FROM containers WHERE id = ?").run(id);
  state.db.query("DELETE FROM execs WHERE container_id = ?").run(id);
}

export function containerById(state: State, id: ContainerId): ContainerRecord | undefined {
  const row = state.db.query<Row, [string]>("SELECT record FROM containers WHERE id = ?").get(id);
  return row === null ? undefined : parse(row);
}

export function containerByName(state: State, name: string): ContainerRecord | undefined {
  const row = state.db.query<Row, [string]>("SELECT record FROM containers WHERE name = ?").get(name);
  return row === null ? undefined : parse(row);
}

/** At most two, which is enough to tell whether the prefix is ambiguous. */
export function containersByPrefix(state: State, prefix: string): ContainerRecord[] {
  return state.db
    .query<Row, [string, string]>("SELECT record FROM containers WHERE id >= ? AND id < ? LIMIT 2")
    .all(prefix, `${prefix}g`)
    .map(parse);
}

/** All records, newest first; also those that are being made or removed. */
export function allContainers(state: State): ContainerRecord[] {
  return state.db
    .query<Row, []>("SELECT record FROM containers ORDER BY created_at DESC, rowid DESC")
    .all()
    .map(parse);
}

/** Those that the records say have a process, and those that wait to be restarted. */
export function activeContainers(state: State): ContainerRecord[] {
  return state.db
    .query<Row, []>("SELECT record FROM containers WHERE state IN ('running', 'paused', 'restarting')")
    .all()
    .map(parse);
}

export type Verb = "create" | "start" | "remove" | "restart" | "build";

export interface Operation {
  containerId: ContainerId;
  verb: Verb;
  owner: ProcessIdentity;
}

/** Writes down what is about to be done to a container. */
export function beginOperation(state: State, operation: Operation): void {
  state.db
    .query("INSERT OR REPLACE INTO operations (container_id, verb, pid, pid_started) VALUES (?, ?, ?, ?)")
    .run(operation.containerId, operation.verb, operation.owner.pid, operation.owner.started);
}

/** The intent is done, or undone. */
export function endOperation(state: State, id: ContainerId): void {
  state.db.query("DELETE FROM operations WHERE container_id = ?").run(id);
}

interface OperationRow {
  container_id: ContainerId;
  verb: Verb;
  pid: number;
  pid_started: number;
}

function parseOperation(row: OperationRow): Operation {
  return {
    containerId: row.container_id,
    verb: row.verb,
    owner: { pid: row.pid, started: row.pid_started },
  };
}

/** Intents of processes that live, and of dead ones. */
export function allOperations(state: State): Operation[] {
  return state.db
    .query<OperationRow, []>("SELECT container_id, verb, pid, pid_started FROM operations")
    .all()
    .map(parseOperation);
}

/** The intent that is written down for a container. */
export function operationOn(state: State, id: ContainerId): Operation | undefined {
  const row = state.db
    .query<OperationRow, [string]>(
      "SELECT container_id, verb, pid, pid_started FROM operations WHERE container_id = ?",
    )
    .get(id);
  return row === null ? undefined : parseOperation(row);
}
