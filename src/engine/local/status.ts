/** A container's state in the API's words and in people's. */
import { humanDuration } from "../../core/durations.ts";
import type { ContainerStateObject, ContainerStatus } from "../../core/objects.ts";
import { type ContainerRecord, type ContainerState, never } from "../../state/containers.ts";

/** A state with a process. */
export type LiveState = Extract<ContainerState, { status: "running" | "paused" }>;

/** What only a container that runs, or is paused, has; undefined for others. */
export function liveState(record: ContainerRecord): LiveState | undefined {
  return record.state.status === "running" || record.state.status === "paused" ? record.state : undefined;
}

/** The word that the API has for it. */
export function statusOf(record: ContainerRecord): ContainerStatus {
  const { status } = record.state;
  return status === "creating" ? "created" : status;
}

/** `State` of inspect. */
export function stateObject(record: ContainerRecord): ContainerStateObject {
  const { state } = record;
  const runs = state.status === "running" || state.status === "paused";
  return {
    Status: statusOf(record),
    Running: runs || state.status === "restarting",
    Paused: state.status === "paused",
    Restarting: state.status === "restarting",
    OOMKilled: record.oomKilled,
    Dead: false,
    Pid: runs ? state.process.pid : 0,
    ExitCode: runs ? 0 : record.exitCode,
    Error: record.error,
    StartedAt: record.startedAt,
    FinishedAt: record.finishedAt,
  };
}

/** `Status` of a list row: `Up 3 minutes (Paused)`, `Exited (0) 2 hours ago`. */
export function statusLine(record: ContainerRecord, now = Date.now()): string {
  switch (record.state.status) {
    case "running":
      return `Up ${since(record.startedAt, now)}`;
    case "paused":
      return `Up ${since(record.startedAt, now)} (Paused)`;
    case "restarting":
      return `Restarting (${record.exitCode}) ${since(record.finishedAt, now)} ago`;
    case "removing":
      return "Removal In Progress";
    case "exited":
      return record.finishedAt === never
        ? "Created"
        : `Exited (${record.exitCode}) ${since(record.finishedAt, now)} ago`;
    default:
      return "Created";
  }
}

function since(time: string, now: number): string {
  return humanDuration(now - Date.parse(time));
}
