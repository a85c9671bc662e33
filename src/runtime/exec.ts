/**
 * Runs one more process in a running container, through a conmon of its own: the process outlives us, its output is
 * taken also when nobody reads it any more, and its exit code is kept. That costs about 5 ms more than to run the
 * runtime directly; but then the process would die of our death, at its next write.
 */

import type { Instance } from "../core/instance.ts";
import { join } from "../core/paths.ts";
import type { AttachedStreams } from "../core/streams.ts";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "../linux/files.ts";
import { attach, resizeTerminal } from "./attach.ts";
import { type CgroupLayout, readText } from "./cgroups.ts";
import { type ConmonLink, readPid, spawnConmon } from "./conmon.ts";
import { startFailure } from "./failures.ts";
import { toJson } from "./json.ts";
import type { ProcessSpec } from "./oci.ts";
import type { OciRuntime } from "./runtimes.ts";

/** What conmon has to know before it starts. */
export interface ExecSpawn {
  instance: Instance;
  cgroups: () => CgroupLayout;
  /** Absolute path of conmon, from `findConmon`. */
  conmon: string;
  runtime: OciRuntime;
  containerId: string;
  /** The exec's own directory, `<container bundle>/exec/<exec id>`: process.json, pid, exit code. Made here. */
  directory: string;
  /** A terminal for the process. */
  tty: boolean;
  stdin: boolean;
  /** Somebody reads its output from the beginning. */
  attached: boolean;
}

export interface ExecLaunch {
  conmon: ConmonLink;
  directory: string;
  /** Makes the process, while conmon starts; `terminal` is that of the spawn. */
  process: () => ProcessSpec;
  /** Called while the runtime starts it. Must not fail. */
  meanwhile: () => void;
}

export interface RunningExec {
  /** As the host sees it. */
  readonly pid: number;
  readonly streams: AttachedStreams;
  /** Settles when the process has ended: its exit code. */
  readonly exited: Promise<number>;
  resize(size: { height: number; width: number }): void;
}

/** Starts with a conmon spawned as attached. @throws StartFailure (126, 127) when the process cannot be run. */
export async function startExec(launch: ExecLaunch): Promise<RunningExec> {
  const { conmon } = launch;
  try {
    const process = writeProcess(launch);
    await conmon.listening();
    const streams = await attach(launch.directory);
    conmon.release();
    launch.meanwhile();
    const pid = await startedPid(conmon, process);
    return {
      pid,
      streams,
      exited: exitCode(conmon),
      resize: (size) => resizeTerminal(launch.directory, size),
    };
  } catch (error) {
    conmon[Symbol.dispose]();
    throw error;
  }
}

async function exitCode(link: ConmonLink): Promise<number> {
  using conmon = link;
  return (await conmon.report()).data;
}

/** Starts with nobody attached; returns when it runs. Its exit code is found with `execStatus`. */
export async function startDetachedExec(launch: ExecLaunch): Promise<{ pid: number }> {
  using conmon = launch.conmon;
  const process = writeProcess(launch);
  conmon.release();
  launch.meanwhile();
  return { pid: await startedPid(conmon, process) };
}

/** Spawns conmon, which waits for the process to be written: by `startExec` or `startDetachedExec`. */
export async function spawnExec(spawn: ExecSpawn): Promise<ConmonLink> {
  mkdirSync(spawn.directory, { recursive: true, mode: 0o710 });
  const args = ["--exec", `--exec-process-spec=${processFile(spawn)}`, "--log-path=none"];
  if (spawn.attached) args.push("--exec-attach");
  if (spawn.tty) args.push("--terminal");
  if (spawn.stdin) args.push("--stdin");
  // A terminal can be left without ending its input.
  if (spawn.stdin && spawn.tty) args.push("--leave-stdin-open");
  const launch = { ...spawn, id: spawn.containerId, inheritedFds: [] };
  const conmon = await spawnConmon(launch, spawn.directory, args);
  // It goes on as far as to listen for who attaches, and waits there once more.
  if (spawn.attached) conmon.release();
  return conmon;
}

function processFile({ directory }: { directory: string }): string {
  return join(directory, "process.json");
}

function writeProcess(launch: ExecLaunch): ProcessSpec {
  const process = launch.process();
  writeFileSync(processFile(launch), toJson(process), { mode: 0o600 });
  return process;
}

async function startedPid(conmon: ConmonLink, process: ProcessSpec): Promise<number> {
  const report = await conmon.report();
  if (report.data >= 0) return report.data;
  throw startFailure("exec", report.message ?? "", process.args[0] ?? "");
}

/** What the exec's directory tells: running with this pid, or ended with this code (unknown if conmon was killed). */
export function execStatus(
  directory: string,
): { running: true; pid: number } | { running: false; exitCode: number | undefined } {
  const pid = pidIn(join(directory, "pid"));
  // When the process is gone, its conmon takes a moment to write down how it has ended.
  const goesOn = pid !== undefined && (existsSync(`/proc/${pid}`) || monitorLives(directory));
  // Looked for last: it may have come meanwhile.
  const exitFile = join(directory, "exit");
  if (existsSync(exitFile)) {
    return { running: false, exitCode: Number.parseInt(readFileSync(exitFile, "utf8"), 10) };
  }
  return goesOn ? { running: true, pid } : { running: false, exitCode: undefined };
}

function pidIn(file: string): number | undefined {
  return existsSync(file) ? readPid(file) : undefined;
}

function monitorLives(directory: string): boolean {
  const pid = pidIn(join(directory, "conmon.pid"));
  // Another process may have its pid by now.
  return pid !== undefined && readText(`/proc/${pid}/comm`) === "conmon\n";
}
