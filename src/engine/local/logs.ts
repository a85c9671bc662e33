/** A container's log, and its processes and figures while it runs. */
import { InvalidParameter, NotImplemented } from "../../core/errors.ts";
import { logPath } from "../../core/instance.ts";
import type { OutputFrame } from "../../core/streams.ts";
import { readLog } from "../../runtime/logs.ts";
import { containerById, wasStarted } from "../../state/containers.ts";
import type { LogsOptions } from "../engine.ts";
import { hasEnded } from "./liveness.ts";
import type { Local } from "./local.ts";
import { findContainer } from "./lookup.ts";
import { liveState } from "./status.ts";

/**
 * @throws NotFound; InvalidParameter when no stream is chosen; NotImplemented for a driver that keeps
 * nothing to read
 */
export async function* logs(
  local: Local,
  reference: string,
  options: LogsOptions,
): AsyncGenerator<OutputFrame> {
  const record = findContainer(local.state, reference);
  const { stdout = false, stderr = false, follow, ...rest } = options;
  if (!stdout && !stderr) throw new InvalidParameter("you must choose at least one stream");
  if (record.hostConfig.LogConfig?.Type === "none") {
    throw new NotImplemented("configured logging driver does not support reading");
  }
  if (!wasStarted(record) && record.state.status !== "running") return;
  const ended = (): boolean => {
    const now = containerById(local.state, record.id);
    if (now === undefined) return true;
    return liveState(now) === undefined ? now.state.status !== "restarting" : hasEnded(local, now.state);
  };
  yield* readLog(logPath(local.instance, record.id), {
    stdout,
    stderr,
    ...rest,
    ...(follow === true ? { follow: { hasEnded: ended } } : {}),
  });
}
