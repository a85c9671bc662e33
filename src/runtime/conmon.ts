/**
 * conmon: the small program that stays with each container. It owns the container's stdio, its log and its exit
 * status, and runs the exit command when the container has ended. It is launched, told apart from us (own session,
 * own cgroup, reparented to init) and from then on lives by itself.
 *
 * Files in the bundle: `attach` (socket), `ctl` and `winsz` (fifos), `conmon.pid`, `pid` (the container's init),
 * `exit` (its exit code), `oom` (made when the OOM killer struck), `conmon.log` (why conmon itself failed).
 */
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { hasErrno, SystemFailure, Unavailable } from "../core/errors.ts";
import type { Instance } from "../core/instance.ts";
import { closeFd, socketPair } from "../linux/sockets.ts";
import { type CgroupLayout, enterConmonCgroup } from "./cgroups.ts";
import { startFailure } from "./failures.ts";
import { type OciRuntime, programOf } from "./runtimes.ts";

export interface ConmonLaunch {
  instance: Instance;
  /** Absolute path of conmon, from `findConmon`. */
  conmon: string;
  runtime: OciRuntime;
  cgroups: CgroupLayout;
  id: string;
  /** Absolute path; holds config.json. */
  bundle: string;
  /** CRI-format log; undefined keeps none. */
  logPath: string | undefined;
  tty: boolean;
  /** The container's stdin is open (`-i`). */
  stdin: boolean;
  /** stdin ends when the first attached client leaves. */
  stdinOnce: boolean;
  /** Program and arguments that conmon runs once the container has ended and its exit file stands. */
  exitCommand: readonly string[];
  /** Sockets of published ports: conmon holds them open until the container has ended. */
  inheritedFds: readonly number[];
}

export interface LaunchedContainer {
  /** The container's init, which waits for `startContainer` before it becomes the container's program. */
  pid: number;
  conmonPid: number;
}

/**
 * Creates the container: everything is set up, its program does not run yet (`startContainer` does that).
 * @throws StartFailure with the runtime's reason in Docker's words.
 */
export async function launchConmon(launch: ConmonLaunch): Promise<LaunchedContainer> {
  const { bundle, exitCommand } = launch;
  const [exitProgram, ...exitArguments] = exitCommand;
  const log = launch.logPath === undefined ? "none" : `k8s-file:${launch.logPath}`;
  const args = ["--log-path", log, "--no-sync-log", "--persist-dir", bundle];
  if (launch.tty) args.push("--terminal");
  if (launch.stdin) args.push("--stdin");
  // Docker closes stdin for good only without a terminal: a terminal can be left and entered again.
  if (launch.stdin && !(launch.stdinOnce && !launch.tty)) args.push("--leave-stdin-open");
  if (exitProgram !== undefined) args.push("--exit-command", exitProgram);
  for (const argument of exitArguments) args.push("--exit-command-arg", argument);

  const report = await spawnConmon(launch, bundle, args);
  if (report.data < 0) {
    throw startFailure("create", report.message ?? "", programOf(join(bundle, "config.json")));
  }
  return { pid: report.data, conmonPid: readPid(join(bundle, "conmon.pid")) };
}

/** What is common to containers and execs: how conmon is reached and left. */
export interface ConmonSpawn {
  instance: Instance;
  conmon: string;
  runtime: OciRuntime;
  cgroups: CgroupLayout;
  id: string;
  inheritedFds: readonly number[];
}

/** What conmon says on its sync pipe: `data` is a pid, an exit code, or negative with the runtime's message. */
export interface ConmonReport {
  data: number;
  message?: string;
}

/** Spawns conmon and waits for its first report: the pid of what it made, or the failure. */
export async function spawnConmon(
  launch: ConmonSpawn,
  directory: string,
  args: readonly string[],
): Promise<ConmonReport> {
  const command = [
    launch.conmon,
    "--api-version=1",
    "--cid",
    launch.id,
    "--cuuid",
    launch.id,
    "--runtime",
    launch.runtime.path,
    "--bundle",
    directory,
    "--full-attach",
    "--conmon-pidfile",
    join(directory, "conmon.pid"),
    "--container-pidfile",
    join(directory, "pid"),
    `--runtime-arg=--root=${launch.runtime.stateDirectory}`,
    ...args,
  ];
  const sync = socketPair();
  const start = socketPair();
  const errors = openSync(join(directory, "conmon.log"), "w", 0o600);
  let child: Bun.Subprocess;
  try {
    child = Bun.spawn(command, {
      // Own session: no terminal signal reaches it even before it has cut itself loose.
      detached: true,
      // conmon leaves its `oom` file in its working directory, and must not pin ours.
      cwd: directory,
      env: { PATH: standardPath, _OCI_SYNCPIPE: "3", _OCI_STARTPIPE: "4" },
      stdio: ["ignore", "ignore", errors, sync.theirs, start.theirs, ...launch.inheritedFds],
    });
  } finally {
    closeFd(sync.theirs);
    closeFd(start.theirs);
    closeSync(errors);
  }
  const report = firstLine(sync.ours);
  // conmon waits for this before it forks, so that all of it is in the right cgroup.
  try {
    enterConmonCgroup(launch.cgroups, launch.instance, child.pid);
  } finally {
    closeFd(start.ours);
  }
  const [line] = await Promise.all([report, child.exited]);
  if (line === undefined) {
    const reason = readFileSync(join(directory, "conmon.log"), "utf8").trim();
    throw new SystemFailure(`conmon failed: ${reason || `exit status ${child.exitCode}`}`);
  }
  return parseReport(line);
}

const standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const longestReport = 64 * 1024;

/** The first line that arrives, or undefined when the peer closes before there is one. Closes the descriptor. */
async function firstLine(fd: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  let text = "";
  const socket = await Bun.connect({
    fd,
    socket: {
      data: (_, chunk) => {
        text += chunk.toString("utf8");
        const end = text.indexOf("\n");
        if (end >= 0) resolve(text.slice(0, end));
        else if (text.length > longestReport) resolve(undefined);
      },
      close: () => resolve(undefined),
      error: () => resolve(undefined),
    },
  });
  const line = await promise;
  socket.terminate();
  return line;
}

function parseReport(line: string): ConmonReport {
  const value: unknown = JSON.parse(line);
  if (typeof value === "object" && value !== null && "data" in value && typeof value.data === "number") {
    const message = "message" in value && typeof value.message === "string" ? value.message : undefined;
    return message === undefined ? { data: value.data } : { data: value.data, message };
  }
  throw new SystemFailure(`conmon said what is not understood: ${line.slice(0, 200)}`);
}

function readPid(path: string): number {
  const pid = Number.parseInt(readFileSync(path, "utf8"), 10);
  if (!(pid > 0)) throw new SystemFailure(`${path} holds no pid`);
  return pid;
}

/** @throws Unavailable when conmon is not installed. */
export function findConmon(searchPath: string): string {
  const path = Bun.which("conmon", { PATH: `${searchPath}:/usr/libexec/podman:/usr/lib/podman` });
  if (path !== null) return path;
  throw new Unavailable("conmon is not installed: it comes in the package `conmon` (apt-get install conmon)");
}

/** What conmon left when the container ended: exit code (128+n for signal n), and whether the OOM killer came. */
export interface ExitRecord {
  exitCode: number;
  /** Unix milliseconds. */
  finishedAt: number;
  oomKilled: boolean;
}

/** undefined while the container runs, or when conmon was killed before it could write. */
export function readExitRecord(bundle: string): ExitRecord | undefined {
  const path = join(bundle, "exit");
  try {
    const exitCode = Number.parseInt(readFileSync(path, "utf8"), 10);
    if (Number.isNaN(exitCode)) return undefined;
    return { exitCode, finishedAt: statSync(path).mtimeMs, oomKilled: exists(join(bundle, "oom")) };
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

