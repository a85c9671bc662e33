/**
 * RUN: a container on the step's snapshot, run by the OCI runtime as our own child: no monitor is needed, as the step
 * ends with the build.
 */

import { Unavailable } from "../../core/errors.ts";
import type { HostConfig } from "../../core/objects.ts";
import { join } from "../../core/paths.ts";
import { removeTree } from "../../linux/directories.ts";
import { closeSync, existsSync, readFileSync, rmSync, writeFileSync } from "../../linux/files.ts";
import { openPipe } from "../../linux/pipes.ts";
import { openProcess } from "../../linux/processes.ts";
import { resolvConf } from "../../network/resolv.ts";
import {
  containerCgroup,
  containerPids,
  prepareCgroupMove,
  removeCgroup,
  wasOomKilled,
} from "../../runtime/cgroups.ts";
import { keepFilter, writeConfig } from "../../runtime/config-file.ts";
import { resolveDevices } from "../../runtime/devices.ts";
import { startFailure } from "../../runtime/failures.ts";
import type { RuntimeSpec } from "../../runtime/oci.ts";
import type { OciRuntime } from "../../runtime/runtimes.ts";
import { makeSpec, type ResolvedMount, type SpecInput } from "../../runtime/spec.ts";
import { resolveUser } from "../../runtime/users.ts";
import type { RunOperation } from "../graph/operations.ts";
import type { BuildRooms } from "../rooms.ts";
import { addDevices } from "./cdi.ts";
import { StepFailure } from "./failure.ts";
import type { BuildNetwork, BuildNetworks } from "./network.ts";
import { type Sandbox, sandboxPath } from "./sandbox.ts";
import { type Missing, missingIn, noteStubs, type Stubs } from "./stubs.ts";

/** BuildKit's, so that nothing of this machine gets into an image. */
const hostname = "buildkitsandbox";

export interface RunLimits {
  /** Bytes. */
  readonly shmSize?: number | undefined;
  readonly ulimits?:
    | readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[]
    | undefined;
  readonly cgroupParent?: string | undefined;
}

/** What a program that a person runs (engine/working) has otherwise than a step of a build. */
export interface RunTerms {
  readonly hostname: string;
  /** Capabilities, devices, limits, DNS. */
  readonly hostConfig: HostConfig;
  /** In the place of those that a step has. */
  readonly namespaces: Partial<SpecInput["namespaces"]>;
  /**
   * The program is given our own standard streams; `terminal`: by way of a terminal, as our input is one;
   * `made-terminal`: by way of one that is made for it.
   */
  readonly streams: "forwarded" | "ours" | "terminal" | "made-terminal";
  /** No /etc/hosts is shown over that of the tree. */
  readonly keepsHosts: boolean;
  /** Is told what the runtime is about to make in the tree to mount on it, and takes it away when nobody needs it. */
  readonly leaveStubs: (missing: readonly Missing[]) => void;
}

export interface RunContext {
  /** Absent for a step of a build. */
  readonly terms?: RunTerms;
  readonly rooms: BuildRooms;
  readonly networks: BuildNetworks;
  /** Its directory becomes the runtime's bundle. */
  readonly sandbox: Sandbox;
  readonly limits: RunLimits;
  /** Proxy variables, which are no part of what is built. */
  readonly proxy: Readonly<Record<string, string>>;
  readonly mounts: readonly ResolvedMount[];
  /** `NAME=value` that secrets bring. */
  readonly secretEnvironment: readonly string[];
  readonly output: (stream: "stdout" | "stderr", data: Uint8Array) => void;
  readonly signal: AbortSignal;
}

/**
 * Runs the step's program in the tree.
 * @throws StepFailure with BuildKit's words when it fails
 */
export async function runStep(operation: RunOperation, root: string, context: RunContext): Promise<void> {
  const { exitCode, isOutOfMemory } = await runInTree(operation, root, context);
  if (exitCode === 0) return;
  const reason = isOutOfMemory ? ": cannot allocate memory: killed by the kernel's OOM killer" : "";
  throw new StepFailure(
    `process ${quoted(operation)} did not complete successfully: exit code: ${exitCode}${reason}`,
    exitCode,
  );
}

/** How a program has ended. */
export interface RunEnd {
  readonly exitCode: number;
  readonly isOutOfMemory: boolean;
}

/**
 * As `runStep`, for who wants to know how the program ends.
 * @throws StepFailure when it cannot be started
 */
export async function runInTree(operation: RunOperation, root: string, context: RunContext): Promise<RunEnd> {
  const { rooms, signal } = context;
  void prepareCgroupMove(rooms.cgroups);
  const { id, directory: bundle } = context.sandbox;
  const network = operation.network === "bridge" ? await context.networks.take() : undefined;
  try {
    const spec = specOf(operation, { root, bundle, id, network, context });
    const runtime = rooms.runtime();
    writeConfig(bundle, spec, runtime);
    const stubs = stubsOf(root, mountPointsOf(spec), context);
    signal.throwIfAborted();
    try {
      return await runContainer(runtime, id, bundle, operation, context);
    } finally {
      stubs.remove();
    }
  } finally {
    if (network !== undefined) context.networks.give(network);
  }
}

function stubsOf(root: string, mountPoints: readonly string[], { terms }: RunContext): Stubs {
  if (terms === undefined) return noteStubs(root, mountPoints);
  terms.leaveStubs(missingIn(root, mountPoints));
  return { remove: () => {} };
}

interface SpecParts {
  root: string;
  bundle: string;
  id: string;
  network: BuildNetwork | undefined;
  context: RunContext;
}

function specOf(operation: RunOperation, { root, bundle, id, network, context }: SpecParts): RuntimeSpec {
  const { rooms, limits, proxy, mounts, secretEnvironment, terms } = context;
  const { instance } = rooms;
  const script = writeScript(operation, bundle);
  const isInsecure = operation.security === "insecure";
  const proxies = Object.entries(proxy).map(([name, value]) => `${name}=${value}`);
  const { spec } = makeSpec({
    rootfs: root,
    cgroupsPath: containerCgroup(instance, id, limits.cgroupParent),
    host: rooms.host(),
    args: operation.arguments,
    config: {
      Env: [...proxies, ...operation.environment, ...secretEnvironment],
      WorkingDir: operation.workingDirectory,
      User: operation.user,
      ...(terms?.streams === "terminal" || terms?.streams === "made-terminal" ? { Tty: true } : {}),
    },
    hostConfig: {
      ...terms?.hostConfig,
      ...(limits.shmSize === undefined ? {} : { ShmSize: limits.shmSize }),
      ...(limits.ulimits === undefined ? {} : { Ulimits: [...limits.ulimits] }),
      ...(operation.network === "host" ? { NetworkMode: "host" } : {}),
      ...(isInsecure ? { Privileged: true } : {}),
    },
    user: resolveUser(root, operation.user),
    hostname: terms?.hostname ?? hostname,
    mounts: [...mounts, ...script],
    etcFiles: writeEtcFiles(operation, bundle, network, terms),
    namespaces: {
      network:
        operation.network === "host" ? "host" : network === undefined ? "private" : { path: network.path },
      pid: "private",
      ipc: "private",
      uts: "private",
      cgroup: rooms.cgroups().version === "v2" ? "private" : "host",
      ...terms?.namespaces,
    },
    devices: resolveDevices(isInsecure ? { Privileged: true } : (terms?.hostConfig ?? {})),
  });
  addDevices(spec, operation.devices ?? []);
  // Docker's containers are told their name in a variable; BuildKit's steps are not.
  const told = `HOSTNAME=${hostname}`;
  if (!operation.environment.includes(told)) {
    spec.process.env = spec.process.env.filter((variable) => variable !== told);
  }
  return spec;
}

/** A heredoc that is a program of its own. */
function writeScript({ script }: RunOperation, bundle: string): ResolvedMount[] {
  if (script === undefined) return [];
  const source = join(bundle, "script");
  writeFileSync(source, script.content, { mode: 0o755 });
  return [{ type: "bind", source, destination: script.path, readonly: true, readonlyNonRecursive: true }];
}

function writeEtcFiles(
  operation: RunOperation,
  bundle: string,
  network: BuildNetwork | undefined,
  terms: RunTerms | undefined,
) {
  const [hosts, resolv] = [join(bundle, "hosts"), join(bundle, "resolv.conf")];
  const { Dns: servers, DnsSearch: search, DnsOptions: options } = terms?.hostConfig ?? {};
  const isKept = servers?.length === 1 && servers[0] === "none";
  if (!isKept) writeFileSync(resolv, resolvConf({ mode: operation.network, servers, search, options }));
  const resolvFile = isKept ? {} : { resolvConf: resolv };
  if (terms?.keepsHosts === true) return resolvFile;
  const name = terms?.hostname ?? hostname;
  writeFileSync(hosts, hostsText(name, operation.extraHosts, network?.endpoint.gateway));
  return { hosts, ...resolvFile };
}

function hostsText(own: string, extraHosts: readonly string[], gateway: string | undefined): string {
  const extra = extraHosts.map((entry) => {
    const at = entry.search(/[:=]/);
    const [name, address] = [entry.slice(0, at), entry.slice(at + 1)];
    return `${address === "host-gateway" ? (gateway ?? address) : address}\t${name}\n`;
  });
  const local = `127.0.0.1\tlocalhost ${own}\n::1\tlocalhost ip6-localhost ip6-loopback\n`;
  return local + extra.join("");
}

/** What is mounted below /dev, /proc and /sys lies in file systems of the container's own. */
function mountPointsOf({ mounts }: RuntimeSpec): string[] {
  const places = mounts.map(({ destination }) => destination);
  return places.filter((path) => !/^\/(?:dev|proc|sys)\/./.test(path));
}

async function runContainer(
  runtime: OciRuntime,
  id: string,
  bundle: string,
  operation: RunOperation,
  context: RunContext,
): Promise<RunEnd> {
  const { rooms, signal } = context;
  const cgroup = containerCgroup(rooms.instance, id, context.limits.cgroupParent);
  const log = join(bundle, "runtime.log");
  const pidFile = join(bundle, "pid");
  const args = [
    `--root=${runtime.stateDirectory}`,
    `--log=${log}`,
    "run",
    `--pid-file=${pidFile}`,
    `--bundle=${bundle}`,
    id,
  ];
  const { child, forwarded } = await spawnRuntime([runtime.path, ...args], context);
  const kill = () => killAll(rooms, cgroup);
  const onAbort = () => {
    child.kill("SIGKILL");
    kill();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  void keepFilterWhenMade(runtime, id, bundle, pidFile, child.exited);
  let exitCode: number;
  try {
    [exitCode] = await Promise.all([child.exited, forwarded]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  const isOutOfMemory = exitCode === 137 && wasOomKilled(rooms.cgroups(), cgroup);
  await removeContainer(rooms, runtime, id, cgroup);
  signal.throwIfAborted();
  if (exitCode === 0) return { exitCode, isOutOfMemory };
  const said = existsSync(log) ? readFileSync(log, "utf8").trim() : "";
  // crun writes of its own failures only; a program that fails leaves the log empty.
  if (said !== "" && !existsSync(pidFile)) throw runtimeFailure(operation, said);
  return { exitCode, isOutOfMemory };
}

/** @returns the runtime, and the end of what it says. */
async function spawnRuntime(
  command: string[],
  { output, terms }: RunContext,
): Promise<{ child: Bun.Subprocess; forwarded: Promise<unknown> }> {
  if (terms?.streams === "made-terminal") {
    const { spawnTyped } = await import("./typing.ts");
    return spawnTyped(command);
  }
  if (terms !== undefined && terms.streams !== "forwarded") {
    const child = Bun.spawn(command, { stdin: "inherit", stdout: "inherit", stderr: "inherit", env: {} });
    return { child, forwarded: Promise.resolve() };
  }
  const [toOutput, toError] = [openPipe(), openPipe()];
  const forwarded = Promise.all([
    forward(toOutput.reader, (data) => output("stdout", data)),
    forward(toError.reader, (data) => output("stderr", data)),
  ]);
  const streams = { stdout: toOutput.writer, stderr: toError.writer };
  try {
    return { child: Bun.spawn(command, { stdin: "ignore", ...streams, env: {} }), forwarded };
  } finally {
    closeSync(toOutput.writer);
    closeSync(toError.writer);
  }
}

function quoted({ arguments: words }: RunOperation): string {
  return JSON.stringify(words.join(" "));
}

function runtimeFailure(operation: RunOperation, said: string): StepFailure {
  const { message } = startFailure("create", said, operation.arguments[0] ?? "");
  const reason = message.replace(/^.*?runc create failed: /, "").replace(/: unknown$/, "");
  return new StepFailure(`process ${quoted(operation)} did not complete successfully: ${reason}`, 1);
}

/** Reads a pipe to its end, and closes it. */
async function forward(reader: number, take: (data: Uint8Array) => void): Promise<void> {
  try {
    for await (const chunk of Bun.file(reader).stream()) take(chunk);
  } finally {
    closeSync(reader);
  }
}

/** The runtime compiles the system call filter once; the next container is given what it made. */
async function keepFilterWhenMade(
  runtime: OciRuntime,
  id: string,
  bundle: string,
  pidFile: string,
  exited: Promise<number>,
): Promise<void> {
  if (!existsSync(join(bundle, "seccomp.key"))) return;
  let hasEnded = false;
  void exited.then(() => {
    hasEnded = true;
  });
  while (!existsSync(pidFile)) {
    if (hasEnded) return;
    await Bun.sleep(1);
  }
  keepFilter(bundle, id, runtime);
}

function killAll(rooms: BuildRooms, cgroup: string): void {
  for (const pid of containerPids(rooms.cgroups(), cgroup)) {
    using handle = openProcess(pid);
    handle?.signal(9);
  }
}

const patience = 5_000;

/** Ends what is left of it, its cgroups and the runtime's record. */
async function removeContainer(
  rooms: BuildRooms,
  runtime: OciRuntime,
  id: string,
  cgroup: string,
): Promise<void> {
  for (const deadline = Date.now() + patience; !removeCgroup(rooms.cgroups(), cgroup); ) {
    if (Date.now() > deadline)
      throw new Unavailable(`processes of a build step cannot be ended: cgroup ${cgroup}`);
    killAll(rooms, cgroup);
    await Bun.sleep(2);
  }
  rmSync(join(runtime.stateDirectory, id), { recursive: true, force: true });
}

/** For repair: ends what a dead build left running, and removes its traces. */
export async function removeLostRun(
  rooms: Pick<BuildRooms, "instance" | "cgroups" | "runtime">,
  id: string,
): Promise<void> {
  const cgroup = containerCgroup(rooms.instance, id);
  for (
    const deadline = Date.now() + patience;
    !removeCgroup(rooms.cgroups(), cgroup) && Date.now() < deadline;
  ) {
    for (const pid of containerPids(rooms.cgroups(), cgroup)) {
      using handle = openProcess(pid);
      handle?.signal(9);
    }
    await Bun.sleep(2);
  }
  rmSync(join(rooms.runtime().stateDirectory, id), { recursive: true, force: true });
  removeTree(sandboxPath(rooms.instance, id));
}
