/** More processes in a running container. */

import { Conflict, InvalidParameter, NotFound, StartFailure } from "../../core/errors.ts";
import { type ExecId, randomId } from "../../core/ids.ts";
import { bundlePath } from "../../core/instance.ts";
import type { ExecConfig, ExecInspect } from "../../core/objects.ts";
import { join } from "../../core/paths.ts";
import type { AttachedStreams, OutputFrame } from "../../core/streams.ts";
import { readFileSync } from "../../linux/files.ts";
import { isAlive, startTimeOf } from "../../linux/processes.ts";
import { prepareCgroupMove } from "../../runtime/cgroups.ts";
import {
  type ExecLaunch,
  execStatus,
  type RunningExec,
  spawnExec,
  startDetachedExec,
  startExec,
} from "../../runtime/exec.ts";
import { makeExecProcess } from "../../runtime/exec-process.ts";
import type { ProcessSpec, RuntimeSpec } from "../../runtime/oci.ts";
import { resolveUser } from "../../runtime/users.ts";
import type { ContainerRecord } from "../../state/containers.ts";
import { appendEvent, type NewEvent, ringBell } from "../../state/events.ts";
import { type ExecRecord, execById, forgetFinished, putExec } from "../../state/execs.ts";
import { cleanWorkingDirectory } from "./configuration.ts";
import { conmonAhead, endAhead, execAhead, execDirectory, execSpawn } from "./exec-ahead.ts";
import { containerEvent, type Local } from "./local.ts";
import { findContainer, requireLive } from "./lookup.ts";

/** Finished ones that are kept for `inspect`; older ones are forgotten at the next create. */
const keptFinished = 64;

export async function createExec(
  local: Local,
  reference: string,
  config: ExecConfig,
): Promise<{ Id: string }> {
  try {
    return { Id: makeExec(local, reference, config) };
  } catch (error) {
    await endAhead(local);
    throw error;
  }
}

/** Made for a conmon that waits, and recorded when it has gone on: until then nobody else knows of them. */
const unrecorded = new Map<string, { exec: ExecRecord; container: ContainerRecord }>();

function makeExec(local: Local, reference: string, config: ExecConfig): ExecId {
  const begun = execAhead(local, reference);
  // It is good for one.
  const ahead = begun === undefined || unrecorded.has(begun.id) ? undefined : begun;
  const record = ahead?.record ?? requireRunning(local, reference);
  void prepareCgroupMove(local.cgroups);
  if (config.Cmd.length === 0) throw new InvalidParameter("No exec command specified");
  const exec: ExecRecord = {
    id: ahead?.id ?? (randomId() as ExecId),
    containerId: record.id,
    config,
    state: { status: "created" },
  };
  if (ahead === undefined) commit(local, () => recordCreated(local, record, exec));
  else unrecorded.set(exec.id, { exec, container: record });
  return exec.id;
}

/** @throws NotFound, Conflict */
function requireRunning(local: Local, reference: string): ContainerRecord {
  const { record, live } = requireLive(local, reference);
  if (live.status !== "paused") return record;
  throw new Conflict(`container ${reference} is paused, unpause the container before exec`);
}

/** What became of an exec and its events are one transaction: it stands in the way of a command that is soon over. */
function commit(local: Local, work: () => void): void {
  local.state.transaction(work);
  ringBell(local.instance);
}

/** Part of a transaction. */
function recordCreated(local: Local, container: ContainerRecord, exec: ExecRecord): void {
  putExec(local.state, exec);
  appendEvent(local.state, eventOf(container, exec, "exec_create"));
}

function eventOf(container: ContainerRecord, exec: ExecRecord, action: string): NewEvent {
  return containerEvent(container, `${action}: ${exec.config.Cmd.join(" ")}`, { execID: exec.id });
}

/** Execs that this process holds attached, for resize. */
const attached = new Map<string, RunningExec>();

export async function startAttached(
  local: Local,
  execId: string,
  options: { tty?: boolean; stdin?: boolean },
): Promise<AttachedStreams> {
  const exec = requireFresh(local, execId);
  const tty = options.tty ?? exec.config.Tty === true;
  let running: RunningExec;
  try {
    running = await run(local, exec, async () =>
      startExec(await prepare(local, exec, { tty, stdin: options.stdin === true, attached: true })),
    );
  } catch (error) {
    // The stream is open already by then, in Docker: what went wrong is said there, the exit code by inspect.
    if (error instanceof StartFailure) return saying(`${error.message}\r\n`);
    throw error;
  }
  putExec(local.state, { ...exec, state: { status: "running", process: identity(running.pid) } });
  attached.set(exec.id, running);
  const recorded = running.exited.then((exitCode) => {
    attached.delete(exec.id);
    recordEnd(local, exec, exitCode);
  });
  return { ...forward(running.streams), output: thenWait(running.streams.output, recorded) };
}

/** Streams of a process that never was: a message and the end. */
function saying(message: string): AttachedStreams {
  return {
    output: (async function* () {
      yield { stream: "stdout", data: Buffer.from(message) };
    })(),
    write: async () => {},
    closeInput: async () => {},
    close: () => {},
  };
}

/** The streams end only when the exit code is known: who has read them may ask for it. */
async function* thenWait(
  frames: AsyncIterable<OutputFrame>,
  ended: Promise<void>,
): AsyncGenerator<OutputFrame> {
  yield* frames;
  await ended;
}

function forward(streams: AttachedStreams): Omit<AttachedStreams, "output"> {
  return {
    write: (data) => streams.write(data),
    closeInput: () => streams.closeInput(),
    close: () => streams.close(),
  };
}

export async function startDetached(local: Local, execId: string): Promise<void> {
  const exec = requireFresh(local, execId);
  const options = { tty: exec.config.Tty === true, stdin: false, attached: false };
  const { pid } = await run(local, exec, async () => startDetachedExec(await prepare(local, exec, options)));
  putExec(local.state, { ...exec, state: { status: "running", process: identity(pid) } });
}

/** Runs the launch; a process that cannot be run has ended, with the code that says why. */
async function run<Launched>(
  local: Local,
  exec: ExecRecord,
  launch: () => Promise<Launched>,
): Promise<Launched> {
  try {
    return await launch();
  } catch (error) {
    const exitCode =
      error instanceof Error && "exitCode" in error && typeof error.exitCode === "number"
        ? error.exitCode
        : 126;
    unrecorded.delete(exec.id);
    putExec(local.state, { ...exec, state: { status: "exited", exitCode } });
    await endAhead(local);
    // Where the container ended meanwhile, and took the way of the launch along, that is what went wrong.
    if (!(error instanceof StartFailure)) requireLive(local, exec.containerId);
    throw error;
  }
}

function requireFresh(local: Local, execId: string): ExecRecord {
  const exec = findExec(local, execId);
  if (exec.state.status === "running") throw new Conflict(`exec command ${execId} is already running`);
  if (exec.state.status === "exited") throw new Conflict(`exec command ${execId} has already run`);
  return exec;
}

function findExec(local: Local, execId: string): ExecRecord {
  const exec = unrecorded.get(execId)?.exec ?? execById(local.state, execId);
  if (exec === undefined) throw new NotFound(`No such exec instance: ${execId}`);
  return exec;
}

async function prepare(
  local: Local,
  exec: ExecRecord,
  options: { tty: boolean; stdin: boolean; attached: boolean },
): Promise<ExecLaunch> {
  const record = unrecorded.get(exec.id)?.container ?? requireLive(local, exec.containerId).record;
  const ahead = await conmonAhead(local, exec.id, options);
  return {
    conmon: ahead ?? (await spawnExec(execSpawn(local, record, exec.id, options))),
    directory: execDirectory(local, record.id, exec.id),
    process: () => processOf(local, record, exec.config, options.tty),
    meanwhile: () => {
      commit(local, () => {
        if (unrecorded.delete(exec.id)) recordCreated(local, record, exec);
        appendEvent(local.state, eventOf(record, exec, "exec_start"));
        forgetFinished(local.state, record.id, keptFinished);
      });
    },
  };
}

function processOf(local: Local, record: ContainerRecord, config: ExecConfig, tty: boolean): ProcessSpec {
  const file = join(bundlePath(local.instance, record.id), "config.json");
  const spec: RuntimeSpec = JSON.parse(readFileSync(file, "utf8"));
  const user = config.User
    ? resolveUser(local.snapshots.mountPath(record.id), config.User, record.hostConfig.GroupAdd ?? [])
    : undefined;
  return makeExecProcess({
    container: spec.process,
    args: config.Cmd,
    containerEnv: record.config.Env,
    env: config.Env ?? [],
    cwd: config.WorkingDir ? cleanWorkingDirectory(config.WorkingDir) : undefined,
    tty,
    user,
    privileged: config.Privileged === true,
    host: local.host,
    ...(config.ConsoleSize
      ? { consoleSize: { height: config.ConsoleSize[0], width: config.ConsoleSize[1] } }
      : {}),
  });
}

function recordEnd(local: Local, exec: ExecRecord, exitCode: number): void {
  const container = findContainerOrNone(local, exec);
  if (container === undefined) return;
  commit(local, () => {
    putExec(local.state, { ...exec, state: { status: "exited", exitCode } });
    const attributes = { execID: exec.id, exitCode: String(exitCode) };
    appendEvent(local.state, containerEvent(container, "exec_die", attributes));
  });
}

/** The container may have been removed while its exec ended. */
function findContainerOrNone(local: Local, exec: ExecRecord) {
  try {
    return findContainer(local.state, exec.containerId);
  } catch (error) {
    if (error instanceof NotFound) return undefined;
    throw error;
  }
}

function identity(pid: number): { pid: number; started: number } {
  return { pid, started: startTimeOf(pid) ?? 0 };
}

export async function resizeExec(
  local: Local,
  execId: string,
  size: { height: number; width: number },
): Promise<void> {
  findExec(local, execId);
  attached.get(execId)?.resize(size);
}

export async function inspectExec(local: Local, execId: string): Promise<ExecInspect> {
  const exec = settleExec(local, findExec(local, execId));
  const { config, state } = exec;
  const [entrypoint = "", ...args] = config.Cmd;
  return {
    ID: exec.id,
    Running: state.status === "running",
    ExitCode: state.status === "exited" ? state.exitCode : null,
    ProcessConfig: {
      tty: config.Tty === true,
      entrypoint,
      arguments: args,
      privileged: config.Privileged === true,
      ...(config.User ? { user: config.User } : {}),
    },
    OpenStdin: config.AttachStdin === true,
    OpenStderr: config.AttachStderr === true,
    OpenStdout: config.AttachStdout === true,
    CanRemove: false,
    ContainerID: exec.containerId,
    DetachKeys: config.DetachKeys ?? "",
    Pid: state.status === "running" ? state.process.pid : 0,
  };
}

/** A running exec whose process is gone has ended with the code that its directory tells. */
function settleExec(local: Local, exec: ExecRecord): ExecRecord {
  if (exec.state.status !== "running") return exec;
  const { pid, started } = exec.state.process;
  if (isAlive(pid, started) || attached.has(exec.id)) return exec;
  const status = execStatus(join(bundlePath(local.instance, exec.containerId), "exec", exec.id));
  if (status.running) return exec;
  const ended: ExecRecord = { ...exec, state: { status: "exited", exitCode: status.exitCode ?? 255 } };
  putExec(local.state, ended);
  return ended;
}
