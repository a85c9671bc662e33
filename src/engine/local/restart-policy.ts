/**
 * Restart policies. Whoever settles a container's end decides; a process of its own (`davit internal restart`)
 * waits for the back-off and starts the container again. It can be killed: the next command launches another.
 */
import type { ContainerId } from "../../core/ids.ts";
import type { ContainerRecord } from "../../state/containers.ts";
import type { Local } from "./local.ts";

/** Milliseconds. Docker's restartmanager: doubles from 100 ms to a minute, anew after 10 s of good health. */
const firstDelay = 100;
const longestDelay = 60_000;
const healthyAfter = 10_000;

export interface Restart {
  /** Unix milliseconds. */
  at: number;
  delay: number;
}

/** When to start it again; undefined when its policy leaves it as it is. `record` tells how it has just ended. */
export function nextRestart(record: ContainerRecord): Restart | undefined {
  if (!wantsRestart(record)) return undefined;
  const finished = Date.parse(record.finishedAt);
  const ranFor = finished - Date.parse(record.startedAt);
  const delay =
    ranFor >= healthyAfter || record.restartDelay === 0
      ? firstDelay
      : Math.min(record.restartDelay * 2, longestDelay);
  return { at: Date.now() + delay, delay };
}

function wantsRestart(record: ContainerRecord): boolean {
  if (record.stoppedByUser) return false;
  const policy = record.hostConfig.RestartPolicy ?? {};
  switch (policy.Name) {
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure": {
      const most = policy.MaximumRetryCount ?? 0;
      return record.exitCode !== 0 && (most === 0 || record.restartCount < most);
    }
    default:
      return false;
  }
}

/** The arguments that start an internal verb of this instance. */
export function internalCommand(local: Local, verb: string, ...words: string[]): string[] {
  const { dataRoot, execRoot } = local.instance;
  return [...local.self, "--data-root", dataRoot, "--exec-root", execRoot, "internal", verb, ...words];
}

/** Launches the process that restarts a container. */
export function spawnRestarter(local: Local, id: ContainerId): void {
  spawnInternal(local, "restart", id);
}

/** Launches an internal verb in a process that outlives us. */
export function spawnInternal(local: Local, verb: string, ...words: string[]): void {
  Bun.spawn(internalCommand(local, verb, ...words), {
    stdio: ["ignore", "ignore", "ignore"],
    detached: true,
    cwd: "/",
    env: { PATH: local.searchPath },
  }).unref();
}
