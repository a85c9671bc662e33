/** OCI runtimes by name or path, and the verbs that davit asks of them. OCI runtime-spec, runtime.md. */

import {
  Conflict,
  hasErrno,
  InvalidParameter,
  NotFound,
  SystemFailure,
  Unavailable,
} from "../core/errors.ts";
import { basename, isAbsolute, join } from "../core/paths.ts";
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "../linux/files.ts";
import { openFlag } from "../linux/paths.ts";
import { type CgroupLayout, removeCgroup } from "./cgroups.ts";
import { startFailure } from "./failures.ts";

export interface OciRuntime {
  /** As the user named it: `crun`, `runc`, a path. */
  name: string;
  /** Absolute path of the program. */
  path: string;
  /** Where it keeps its own state: its `--root`. */
  stateDirectory: string;
}

export interface RuntimeSearch {
  execRoot: string;
  /** PATH. */
  searchPath: string;
  /** Asked for where no runtime is. */
  cgroups: () => CgroupLayout;
  /** Runtimes of daemon.json, by name. */
  configured?: Record<string, { path: string }>;
}

const installHint = "apt-get install crun";

/**
 * Finds a runtime by name or absolute path. Without one: crun, or runc where crun is missing or refuses the host's
 * cgroup layout.
 * @throws InvalidParameter for an unknown name, Unavailable when none fits.
 */
export function findRuntime(search: RuntimeSearch, requested?: string): OciRuntime {
  if (requested !== undefined && requested !== "") return namedRuntime(search, requested);
  const crun = locate(search, "crun");
  const runc = locate(search, "runc");
  const cgroups = search.cgroups();
  if (cgroups.version === "hybrid") {
    if (runc !== undefined) return runc;
    throw new Unavailable(
      "cgroups are in hybrid mode (some controllers in v1, some in v2), which crun refuses: install runc " +
        "(apt-get install runc), or mount the controllers listed in " +
        `${cgroups.unified}/cgroup.controllers in v1 too`,
    );
  }
  const found = crun ?? runc;
  if (found !== undefined) return found;
  throw new Unavailable(`no OCI runtime is installed: crun or runc is needed (${installHint})`);
}

function namedRuntime(search: RuntimeSearch, requested: string): OciRuntime {
  // Docker's own names for its default.
  if (requested === "io.containerd.runc.v2" || requested === "default") return findRuntime(search);
  const found = locate(search, requested);
  if (found !== undefined) return found;
  const configured = search.configured?.[requested];
  if (configured !== undefined) {
    throw new Unavailable(`the OCI runtime ${requested} is not installed: ${configured.path} does not exist`);
  }
  if (requested === "crun" || requested === "runc") {
    throw new Unavailable(`the OCI runtime ${requested} is not installed (apt-get install ${requested})`);
  }
  throw new InvalidParameter(`unknown or invalid runtime name: ${requested}`);
}

function locate(search: RuntimeSearch, name: string): OciRuntime | undefined {
  const program = search.configured?.[name]?.path ?? name;
  // Only an absolute path is taken as a path: what is in the working directory must not decide.
  if (program.includes("/") && !isAbsolute(program)) return undefined;
  const path = Bun.which(program, { PATH: `${search.searchPath}:/usr/sbin:/usr/bin:/usr/local/bin` });
  if (path === null) return undefined;
  const directory = `runtime-${name.replace(/^\/+/, "").replaceAll(/[^A-Za-z0-9_.-]/g, "-")}`;
  return { name, path, stateDirectory: join(search.execRoot, directory) };
}

interface Outcome {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs the program to its end. Costs about 0.3 ms beside what the program itself takes. */
async function run(runtime: OciRuntime, args: readonly string[], captureOutput = false): Promise<Outcome> {
  const child = Bun.spawn([runtime.path, `--root=${runtime.stateDirectory}`, ...args], {
    stdin: "ignore",
    stdout: captureOutput ? "pipe" : "ignore",
    stderr: "pipe",
    env: {},
  });
  const [exitCode, stdout, stderr] = await Promise.all([
    child.exited,
    child.stdout instanceof ReadableStream ? new Response(child.stdout).text() : "",
    new Response(child.stderr).text(),
  ]);
  return { exitCode, stdout, stderr };
}

function failure(verb: string, id: string, outcome: Outcome): Error {
  const text = outcome.stderr.trim();
  if (/does not exist|no such file or directory.*status|container not found/i.test(text)) {
    return new NotFound(`No such container: ${id}`);
  }
  if (/not running|no such process|already finished|stopped/i.test(text)) {
    return new Conflict(`container ${id} is not running`);
  }
  return new SystemFailure(`OCI runtime ${verb} failed: ${text || `exit status ${outcome.exitCode}`}`);
}

/** Lets a created container's program run. @throws StartFailure. */
export async function startContainer(runtime: OciRuntime, id: string): Promise<void> {
  if (isCrun(runtime) && openGate(join(runtime.stateDirectory, id, "exec.fifo"))) return;
  const outcome = await run(runtime, ["start", id]);
  if (outcome.exitCode !== 0) throw startFailure("start", outcome.stderr, id);
}

/** Verbs that only touch crun's own files are done here: to load crun takes 4 ms, its work a tenth of one. */
export function isCrun(runtime: OciRuntime): boolean {
  return basename(runtime.path) === "crun";
}

/** crun and runc know a container by the directory of its id, and nothing of one that has none. */
function keepsRecordByName(runtime: OciRuntime): boolean {
  return isCrun(runtime) || basename(runtime.path) === "runc";
}

/**
 * What `crun start` does: the container's init waits to read one byte from this fifo, and as long as the fifo is
 * there the container counts as created. False when nobody reads (yet): then crun itself is asked.
 */
function openGate(fifo: string): boolean {
  let fd: number;
  try {
    fd = openSync(fifo, openFlag.writeOnly | openFlag.nonBlocking);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENXIO")) return false;
    throw error;
  }
  try {
    unlinkSync(fifo);
    writeSync(fd, "\0");
    return true;
  } finally {
    closeSync(fd);
  }
}

/** @throws NotFound when the runtime does not know the container, Conflict when it does not run. */
export async function killContainer(
  runtime: OciRuntime,
  id: string,
  signal: number,
  options: { all?: boolean } = {},
): Promise<void> {
  const all = options.all ? ["--all"] : [];
  const outcome = await run(runtime, ["kill", ...all, id, String(signal)]);
  if (outcome.exitCode !== 0) throw failure("kill", id, outcome);
}

export interface DeleteOptions {
  /** Kills what still runs. */
  force?: boolean;
  /** Where its cgroups are, for a container that is known to have ended. */
  ended?: { layout: CgroupLayout; cgroupPath: string };
}

/** Removes the runtime's record and cgroups. Gone already is no error. */
export async function deleteContainer(
  runtime: OciRuntime,
  id: string,
  options: DeleteOptions = {},
): Promise<void> {
  if (keepsRecordByName(runtime) && !existsSync(join(runtime.stateDirectory, id))) return;
  if (
    options.ended !== undefined &&
    isCrun(runtime) &&
    removeCgroup(options.ended.layout, options.ended.cgroupPath)
  ) {
    // No process is left in its cgroups: all that crun still has of it is this directory.
    rmSync(join(runtime.stateDirectory, id), { recursive: true, force: true });
    return;
  }
  const outcome = await run(runtime, ["delete", ...(options.force ? ["--force"] : []), id]);
  if (outcome.exitCode === 0) return;
  const error = failure("delete", id, outcome);
  if (!(error instanceof NotFound)) throw error;
}

/**
 * Asks for all processes to be frozen. crun does not wait until they are; runc gives up after a fifth of a second:
 * `freezeContainer` waits.
 */
export async function pauseContainer(runtime: OciRuntime, id: string): Promise<void> {
  const outcome = await run(runtime, ["pause", id]);
  if (outcome.exitCode !== 0) throw failure("pause", id, outcome);
}

export async function resumeContainer(runtime: OciRuntime, id: string): Promise<void> {
  const outcome = await run(runtime, ["resume", id]);
  if (outcome.exitCode !== 0) throw failure("resume", id, outcome);
}

export interface RuntimeState {
  status: "creating" | "created" | "running" | "stopped" | "paused";
  /** 0 when it has ended. */
  pid: number;
}

/** undefined when the runtime does not know the container. */
export async function containerState(runtime: OciRuntime, id: string): Promise<RuntimeState | undefined> {
  const outcome = await run(runtime, ["state", id], true);
  if (outcome.exitCode !== 0) {
    const error = failure("state", id, outcome);
    if (error instanceof NotFound) return undefined;
    throw error;
  }
  const state: unknown = JSON.parse(outcome.stdout);
  if (typeof state === "object" && state !== null && "status" in state && "pid" in state) {
    const { status, pid } = state;
    if (isStatus(status) && typeof pid === "number") return { status, pid };
  }
  throw new SystemFailure(`OCI runtime state failed: not understood: ${outcome.stdout.slice(0, 200)}`);
}

function isStatus(value: unknown): value is RuntimeState["status"] {
  return (
    value === "creating" ||
    value === "created" ||
    value === "running" ||
    value === "stopped" ||
    value === "paused"
  );
}

/** The first argument of the process that a bundle's configuration asks for; for error messages. */
export function programOf(processFile: string): string {
  try {
    const document: unknown = JSON.parse(readFileSync(processFile, "utf8"));
    const process = isObject(document) && isObject(document.process) ? document.process : document;
    if (isObject(process) && Array.isArray(process.args)) return String(process.args[0] ?? "");
    return "";
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return "";
    throw error;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
