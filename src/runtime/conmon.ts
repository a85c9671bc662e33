/**
 * conmon: the small program that stays with each container. It owns the container's stdio, its log and its exit
 * status, and runs the exit command when the container has ended. It is launched, told apart from us (own session,
 * own cgroup, reparented to init) and from then on lives by itself.
 *
 * Files in the bundle: `attach` (socket), `ctl` and `winsz` (fifos), `conmon.pid`, `pid` (the container's init),
 * `exit` (its exit code), `oom` (made when the OOM killer struck), `conmon.log` (why conmon itself failed),
 * `runtime.log` (why the runtime refused, when there is a terminal).
 */

import { Closing } from "../core/closing.ts";
import { hasErrno, SystemFailure, Unavailable } from "../core/errors.ts";
import type { Instance } from "../core/instance.ts";
import { join } from "../core/paths.ts";
import { closeSync, existsSync, openSync, readFileSync, statSync, writeSync } from "../linux/files.ts";
import { readLines } from "../linux/lines.ts";
import { closeFd, socketPair } from "../linux/sockets.ts";
import { type CgroupLayout, enterConmonCgroup, prepareCgroupMove } from "./cgroups.ts";
import { keepFilter } from "./config-file.ts";
import { startFailure } from "./failures.ts";
import { type OciRuntime, programOf } from "./runtimes.ts";
import { programOfRuntime } from "./sealed-program.ts";

export interface ConmonLaunch {
  instance: Instance;
  /** Absolute path of conmon, from `findConmon`. */
  conmon: string;
  runtime: OciRuntime;
  cgroups: () => CgroupLayout;
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

/** A conmon that waits for what it needs: it loads its libraries while the container's bundle is made. */
export interface WaitingConmon extends Disposable {
  /**
   * Creates the container out of the bundle, which stands by now: everything is set up, its program does not run yet
   * (`startContainer` does that).
   * @throws StartFailure with the runtime's reason in Docker's words.
   */
  create(): Promise<LaunchedContainer>;
}

/** Spawns the conmon of a container. Disposed of before `create`, it ends and has done nothing. */
export async function launchConmon(launch: ConmonLaunch): Promise<WaitingConmon> {
  const { bundle, exitCommand } = launch;
  const [exitProgram, ...exitArguments] = exitCommand;
  const log = launch.logPath === undefined ? "none" : `k8s-file:${launch.logPath}`;
  const args = [`--log-path=${log}`];
  if (launch.tty) args.push("--terminal");
  if (launch.stdin) args.push("--stdin");
  // Docker closes stdin for good only without a terminal: a terminal can be left and entered again.
  if (launch.stdin && !(launch.stdinOnce && !launch.tty)) args.push("--leave-stdin-open");
  if (exitProgram !== undefined) args.push(`--exit-command=${exitProgram}`);
  for (const argument of exitArguments) args.push(`--exit-command-arg=${argument}`);

  const conmon = await spawnConmon(launch, bundle, args);
  return {
    create: async () => {
      conmon.release();
      const report = await conmon.report();
      if (report.data < 0) throw startFailure("create", report.message ?? "", programIn(bundle));
      keepFilter(bundle, launch.id, launch.runtime);
      return { pid: report.data, conmonPid: readPid(join(bundle, "conmon.pid")) };
    },
    [Symbol.dispose]: () => conmon[Symbol.dispose](),
  };
}

/** What is common to containers and execs: how conmon is reached. */
export interface ConmonSpawn {
  instance: Instance;
  conmon: string;
  runtime: OciRuntime;
  /** Asked for when conmon has been spawned: to find them out takes half a millisecond, which conmon can use. */
  cgroups: () => CgroupLayout;
  /** The container's id. */
  id: string;
  inheritedFds: readonly number[];
}

/** What conmon says on its sync pipe: `data` is a pid, an exit code, or negative with the runtime's message. */
export interface ConmonReport {
  data: number;
  message?: string;
}

/** Our end of a conmon that has just been spawned. Disposed of before the first release, it is killed. */
export interface ConmonLink extends Disposable {
  /** Lets it go on from where it waits: at its beginning, and once more before an attached exec. */
  release(): void;
  /** Its next report. @throws StartFailure or SystemFailure when it ends without one. */
  report(): Promise<ConmonReport>;
  /** For an attached exec: settles when its attach socket listens. */
  listening(): Promise<void>;
  /** In place of what it waits for: it is told to go on, finds nothing to run, and has ended when this settles. */
  abandon(): Promise<void>;
}

/** Spawns conmon, which waits for `release`. */
export async function spawnConmon(
  launch: ConmonSpawn,
  directory: string,
  args: readonly string[],
): Promise<ConmonLink> {
  // Closed when this fails; else with the link.
  using opened = new Closing();
  using lent = new Closing();
  const program = opened.use(programOfRuntime(launch.runtime));
  const command = [
    launch.conmon,
    "--api-version=1",
    `--cid=${launch.id}`,
    `--cuuid=${launch.id}`,
    `--runtime=${program.path}`,
    `--runtime-arg=--root=${launch.runtime.stateDirectory}`,
    `--bundle=${directory}`,
    "--full-attach",
    "--no-sync-log",
    `--persist-dir=${directory}`,
    `--conmon-pidfile=${join(directory, "conmon.pid")}`,
    `--container-pidfile=${join(directory, "pid")}`,
    ...args,
  ];
  const isExec = args.includes("--exec");
  // With a terminal the runtime's own words would go to it, where they can be lost.
  if (args.includes("--terminal")) command.push(`--runtime-arg=--log=${join(directory, runtimeLog)}`);
  const isAttached = args.includes("--exec-attach");
  const pair = () => {
    const { ours, theirs } = socketPair();
    lent.defer(() => closeFd(theirs));
    return { ours, theirs };
  };
  const sync = pair();
  const attach = isAttached ? pair() : undefined;
  const start = pair();
  let startIsOpen = true;
  const closeStart = () => {
    if (startIsOpen) closeFd(start.ours);
    startIsOpen = false;
  };
  opened.defer(closeStart);
  const errors = openSync(join(directory, "conmon.log"), "w", 0o600);
  lent.defer(() => closeSync(errors));
  const pipes = [sync.theirs, start.theirs, ...(attach === undefined ? [] : [attach.theirs])];
  const child = Bun.spawn(command, {
    // Own session: no terminal signal reaches it even before it has cut itself loose.
    detached: true,
    // conmon leaves its `oom` file in its working directory, and must not pin ours.
    cwd: directory,
    env: { PATH: standardPath, _OCI_SYNCPIPE: "3", _OCI_STARTPIPE: "4", _OCI_ATTACHPIPE: "5" },
    stdio: ["ignore", "ignore", errors, ...pipes, ...launch.inheritedFds],
  });
  lent[Symbol.dispose]();
  let isReleased = false;
  // It takes our closing of the start pipe for its release.
  opened.defer(() => {
    if (!isReleased) child.kill("SIGKILL");
  });
  // While it loads its libraries.
  void prepareCgroupMove(launch.cgroups);
  const reports = opened.use(await readLines(sync.ours));
  const attachments = attach === undefined ? undefined : opened.use(await readLines(attach.ours));
  const prepare = () => {
    // Before it forks: all of it is then in the right cgroup.
    enterConmonCgroup(launch.cgroups(), launch.instance, child.pid);
    program.fill();
    isReleased = true;
  };

  const failure = async () => {
    await child.exited;
    const refusal = readIfThere(join(directory, runtimeLog));
    if (refusal !== "") return startFailure(isExec ? "exec" : "create", refusal, programIn(directory));
    const reason = readFileSync(join(directory, "conmon.log"), "utf8").trim();
    return new SystemFailure(`conmon failed: ${reason || `exit status ${child.exitCode}`}`);
  };
  const held = opened.move();
  return {
    release: () => {
      if (!isReleased) prepare();
      try {
        writeSync(start.ours, "\n");
      } catch (error) {
        // It has ended already; its report tells why.
        if (!hasErrno(error, "EPIPE")) throw error;
      }
    },
    report: async () => {
      const line = await reports.next();
      if (line === undefined) throw await failure();
      // The process that we spawned ends once it has written the pid file of the one that stays.
      await child.exited;
      return parseReport(line);
    },
    listening: async () => {
      if ((await attachments?.next()) === undefined) throw await failure();
    },
    abandon: async () => {
      using _ = held;
      if (!isReleased) child.kill("SIGKILL");
      closeStart();
      await child.exited;
      // The one that it has left behind holds the other end until it ends.
      while ((await reports.next()) !== undefined);
    },
    [Symbol.dispose]: () => held[Symbol.dispose](),
  };
}

/** The program that was to run: from a container's bundle or an exec's directory. */
function programIn(directory: string): string {
  return programOf(join(directory, "config.json")) || programOf(join(directory, "process.json"));
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** Where the runtime says why it refuses a process with a terminal. */
const runtimeLog = "runtime.log";
const standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function parseReport(line: string): ConmonReport {
  const value: unknown = JSON.parse(line);
  if (typeof value === "object" && value !== null && "data" in value && typeof value.data === "number") {
    const message = "message" in value && typeof value.message === "string" ? value.message : undefined;
    return message === undefined ? { data: value.data } : { data: value.data, message };
  }
  throw new SystemFailure(`conmon said what is not understood: ${line.slice(0, 200)}`);
}

/** The pid in a file that conmon or the runtime wrote. */
export function readPid(path: string): number {
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
    return { exitCode, finishedAt: statSync(path).mtimeMs, oomKilled: existsSync(join(bundle, "oom")) };
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
