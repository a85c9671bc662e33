/** Records of commands that run beside a container's own. They go with their container. */
import type { ContainerId, ExecId } from "../core/ids.ts";
import type { ExecConfig } from "../core/objects.ts";
import type { ProcessIdentity } from "./containers.ts";
import type { State } from "./state.ts";

export type ExecState =
  | { status: "created" }
  | { status: "running"; process: ProcessIdentity }
  | { status: "exited"; exitCode: number };

export interface ExecRecord {
  id: ExecId;
  containerId: ContainerId;
  config: ExecConfig;
  state: ExecState;
}

interface Row {
  record: string;
}

/** Makes or replaces the record. */
export function putExec(state: State, record: ExecRecord): void {
  state.db
    .query("INSERT OR REPLACE INTO execs (id, container_id, record) VALUES (?, ?, ?)")
    .run(record.id, record.containerId, JSON.stringify(record));
}

export function execById(state: State, id: string): ExecRecord | undefined {
  const row = state.db.query<Row, [string]>("SELECT record FROM execs WHERE id = ?").get(id);
  return row === null ? undefined : JSON.parse(row.record);
}

export function execsOf(state: State, containerId: ContainerId): ExecRecord[] {
  return state.db
    .query<Row, [string]>("SELECT record FROM execs WHERE container_id = ?")
    .all(containerId)
    .map((row) => JSON.parse(row.record));
}

/** Leaves so many of a container's finished ones, the newest. */
export function forgetFinished(state: State, containerId: ContainerId, kept: number): void {
  state.db
    .query(
      `DELETE FROM execs WHERE rowid IN (
         SELECT rowid FROM execs WHERE container_id = ?1 AND record ->> '$.state.status' = 'exited'
         ORDER BY rowid DESC LIMIT -1 OFFSET ?2)`,
    )
    .run(containerId, kept);
}
