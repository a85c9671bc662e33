/**
 * The beginning of an exec while the engine is still being opened: its conmon, which takes as long to load its
 * libraries as this process takes to get ready. `exec.ts` goes on with it, or puts it away.
 */
import { Conflict, InvalidParameter, NotFound } from "../../core/errors.ts";
import { type ContainerId, type ExecId, randomId } from "../../core/ids.ts";
import { bundlePath } from "../../core/instance.ts";
import { join } from "../../core/paths.ts";
import { rmSync } from "../../linux/files.ts";
import { type ConmonLink, findConmon } from "../../runtime/conmon.ts";
import { type ExecSpawn, spawnExec } from "../../runtime/exec.ts";
import type { ContainerRecord } from "../../state/containers.ts";
import type { ExecPlan } from "../engine.ts";
import type { Local } from "./local.ts";
import { requireLive } from "./lookup.ts";

type ExecOptions = Pick<ExecPlan, "tty" | "stdin" | "attached">;

interface ExecAhead extends ExecPlan {
  id: ExecId;
  /** As it was found: it ran. */
  record: ContainerRecord;
  conmon: Promise<ConmonLink>;
}

const begun = new WeakMap<Local, ExecAhead>();

/** Spawns the conmon of an exec. Whatever is wrong is told by those who create and start it. */
export async function beginExec(local: Local, plan: ExecPlan): Promise<void> {
  const record = runningContainer(local, plan.container);
  if (record === undefined) return;
  const id = randomId() as ExecId;
  const conmon = (async () => spawnExec(execSpawn(local, record, id, plan)))();
  begun.set(local, { ...plan, id, record, conmon });
  await conmon.catch(() => undefined);
}

function runningContainer(local: Local, reference: string): ContainerRecord | undefined {
  try {
    const { record, live } = requireLive(local, reference);
    return live.status === "running" ? record : undefined;
  } catch (error) {
    if (error instanceof NotFound || error instanceof Conflict || error instanceof InvalidParameter) {
      return undefined;
    }
    throw error;
  }
}

/** What conmon has to know before it starts. @throws Unavailable, InvalidParameter without conmon or the runtime. */
export function execSpawn(
  local: Local,
  record: ContainerRecord,
  id: ExecId,
  options: ExecOptions,
): ExecSpawn {
  const { tty, stdin, attached } = options;
  return {
    instance: local.instance,
    conmon: findConmon(local.searchPath),
    cgroups: local.cgroups,
    runtime: local.runtime(record.runtime),
    containerId: record.id,
    directory: execDirectory(local, record.id, id),
    tty,
    stdin,
    attached,
  };
}

export function execDirectory(local: Local, containerId: ContainerId, id: ExecId): string {
  return join(bundlePath(local.instance, containerId), "exec", id);
}

/** What was begun for an exec in this container, which was found a moment ago: the exec has to have this id. */
export function execAhead(
  local: Local,
  reference: string,
): { id: ExecId; record: ContainerRecord } | undefined {
  const ahead = begun.get(local);
  return ahead?.container === reference ? ahead : undefined;
}

/** The conmon that waits for this exec, if there is one; one that waits for something else is put away. */
export async function conmonAhead(
  local: Local,
  id: ExecId,
  options: ExecOptions,
): Promise<ConmonLink | undefined> {
  const ahead = begun.get(local);
  const { tty, stdin, attached } = options;
  if (ahead?.id !== id || ahead.tty !== tty || ahead.stdin !== stdin || ahead.attached !== attached) {
    await endAhead(local);
    return undefined;
  }
  begun.delete(local);
  return ahead.conmon;
}

/** Nothing is left of what was begun. */
export async function endAhead(local: Local): Promise<void> {
  const ahead = begun.get(local);
  if (ahead === undefined) return;
  begun.delete(local);
  const conmon = await ahead.conmon.catch(() => undefined);
  await conmon?.abandon();
  rmSync(execDirectory(local, ahead.record.id, ahead.id), { recursive: true, force: true });
}
