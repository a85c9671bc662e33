/** A container's state in the API's words and in people's. */
import type { ContainerStateObject, ContainerStatus } from "../../core/objects.ts";
import { type ContainerRecord, never } from "../../state/containers.ts";

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

/** go-units' HumanDuration: `Less than a second`, `About a minute`, `3 hours`. */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.floor(seconds / 3600 + 0.5);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(hours / 24 / 365)} years`;
}
