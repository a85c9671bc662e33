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
import type { CgroupLayout } from "./cgroups.ts";
import { type ConmonLink, readPid, spawnConmon } from "./conmon.ts";
import { startFailure } from "./failures.ts";
import { toJson } from "./json.ts";
import type { ProcessSpec } from "./oci.ts";
import type { OciRuntime } from "./runtimes.ts";

export interface ExecLaunch {
  instance: Instance;
  cgroups: CgroupLayout;
  /** Absolute path of conmon, from `findConmon`. */
  conmon: string;
  runtime: OciRuntime;
  containerId: string;
  /** The exec's own directory, `<container bundle>/exec/<exec id>`: process.json, pid, exit code. Made here. */
  directory: string;
  /** A terminal for the process. */
  tty: boolean;
  stdin: boolean;
  /** Makes the process, while conmon starts; `terminal` is `tty`. */
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

/** Starts attached. @throws StartFailure (126, 127) when the process cannot be run. */
export async function startExec(launch: ExecLaunch): Promise<RunningExec> {
  const conmon = await spawnExec(launch, ["--exec-attach"]);
  try {
    const process = writeProcess(launch);
    conmon.release();
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
  using conmon = await spawnExec(launch, []);
  const process = writeProcess(launch);
  conmon.release();
  launch.meanwhile();
  return { pid: await startedPid(conmon, process) };
}

/** Spawns conmon, which waits for the process to be written. */
async function spawnExec(launch: ExecLaunch, options: readonly string[]): Promise<ConmonLink> {
  mkdirSync(launch.directory, { recursive: true, mode: 0o710 });
  const args = ["--exec", `--exec-process-spec=${processFile(launch)}`, "--log-path=none", ...options];
  if (launch.tty) args.push("--terminal");
  if (launch.stdin) args.push("--stdin");
  // A terminal can be left without ending its input.
  if (launch.stdin && launch.tty) args.push("--leave-stdin-open");
  return spawnConmon({ ...launch, id: launch.containerId, inheritedFds: [] }, launch.directory, args);
}

function processFile({ directory }: ExecLaunch): string {
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
  const exitFile = join(directory, "exit");
  if (existsSync(exitFile)) {
    return { running: false, exitCode: Number.parseInt(readFileSync(exitFile, "utf8"), 10) };
  }
  const pidFile = join(directory, "pid");
  if (!existsSync(pidFile)) return { running: false, exitCode: undefined };
  const pid = readPid(pidFile);
  return existsSync(`/proc/${pid}`) ? { running: true, pid } : { running: false, exitCode: undefined };
}
