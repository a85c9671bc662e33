/**
 * RUN: a container on the step's snapshot, run by the OCI runtime as our own child: no monitor is needed, as the step
 * ends with the build.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Unavailable } from "../../core/errors.ts";
import { removeTree } from "../../linux/directories.ts";
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
import { makeSpec, type ResolvedMount } from "../../runtime/spec.ts";
import { resolveUser } from "../../runtime/users.ts";
import type { RunOperation } from "../graph/operations.ts";
import type { BuildRooms } from "../rooms.ts";
import { StepFailure } from "./failure.ts";
import type { BuildNetwork, BuildNetworks } from "./network.ts";
import { type Sandbox, sandboxPath } from "./sandbox.ts";
import { noteStubs } from "./stubs.ts";

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

export interface RunContext {
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
  const { rooms, signal } = context;
  void prepareCgroupMove(rooms.cgroups());
  const { id, directory: bundle } = context.sandbox;
  const network = operation.network === "bridge" ? await context.networks.take() : undefined;
  try {
    const spec = specOf(operation, { root, bundle, id, network, context });
    const runtime = rooms.runtime();
    writeConfig(bundle, spec, runtime);
    const stubs = noteStubs(root, mountPointsOf(spec));
    signal.throwIfAborted();
    try {
      await runContainer(runtime, id, bundle, operation, context);
    } finally {
      stubs.remove();
    }
  } finally {
    if (network !== undefined) context.networks.give(network);
  }
}

interface SpecParts {
  root: string;
  bundle: string;
  id: string;
  network: BuildNetwork | undefined;
  context: RunContext;
}

function specOf(operation: RunOperation, { root, bundle, id, network, context }: SpecParts): RuntimeSpec {
  const { rooms, limits, proxy, mounts, secretEnvironment } = context;
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
    },
    hostConfig: {
      ...(limits.shmSize === undefined ? {} : { ShmSize: limits.shmSize }),
      ...(limits.ulimits === undefined ? {} : { Ulimits: [...limits.ulimits] }),
      ...(operation.network === "host" ? { NetworkMode: "host" } : {}),
      ...(isInsecure ? { Privileged: true } : {}),
    },
    user: resolveUser(root, operation.user),
    hostname,
    mounts: [...mounts, ...script],
    etcFiles: writeEtcFiles(operation, bundle, network),
    namespaces: {
      network:
        operation.network === "host" ? "host" : network === undefined ? "private" : { path: network.path },
      pid: "private",
      ipc: "private",
      uts: "private",
      cgroup: rooms.cgroups().version === "v2" ? "private" : "host",
    },
    devices: resolveDevices(isInsecure ? { Privileged: true } : {}),
  });
  return spec;
}

/** A heredoc that is a program of its own. */
function writeScript({ script }: RunOperation, bundle: string): ResolvedMount[] {
  if (script === undefined) return [];
  const source = join(bundle, "script");
  writeFileSync(source, script.content, { mode: 0o755 });
  return [{ type: "bind", source, destination: script.path, readonly: true, readonlyNonRecursive: true }];
}

function writeEtcFiles(operation: RunOperation, bundle: string, network: BuildNetwork | undefined) {
  const [hosts, resolv] = [join(bundle, "hosts"), join(bundle, "resolv.conf")];
  writeFileSync(hosts, hostsText(operation.extraHosts, network?.endpoint.gateway));
  writeFileSync(resolv, resolvConf({ mode: operation.network }));
  return { hosts, resolvConf: resolv };
}

function hostsText(extraHosts: readonly string[], gateway: string | undefined): string {
  const extra = extraHosts.map((entry) => {
    const at = entry.search(/[:=]/);
    const [name, address] = [entry.slice(0, at), entry.slice(at + 1)];
    return `${address === "host-gateway" ? (gateway ?? address) : address}\t${name}\n`;
  });
  const local = `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n`;
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
): Promise<void> {
  const { rooms, signal, output } = context;
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
  const child = Bun.spawn([runtime.path, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: {},
  });
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
    [exitCode] = await Promise.all([
      child.exited,
      forward(child.stdout, (data) => output("stdout", data)),
      forward(child.stderr, (data) => output("stderr", data)),
    ]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  const isOutOfMemory = exitCode === 137 && wasOomKilled(rooms.cgroups(), cgroup);
  await removeContainer(rooms, runtime, id, cgroup);
  signal.throwIfAborted();
  if (exitCode === 0) return;
  const said = existsSync(log) ? readFileSync(log, "utf8").trim() : "";
  // crun writes of its own failures only; a program that fails leaves the log empty.
  if (said !== "" && !existsSync(pidFile)) throw runtimeFailure(operation, said);
  const reason = isOutOfMemory ? ": cannot allocate memory: killed by the kernel's OOM killer" : "";
  throw new StepFailure(
    `process ${quoted(operation)} did not complete successfully: exit code: ${exitCode}${reason}`,
    exitCode,
  );
}

function quoted({ arguments: words }: RunOperation): string {
  return JSON.stringify(words.join(" "));
}

function runtimeFailure(operation: RunOperation, said: string): StepFailure {
  const { message } = startFailure("create", said, operation.arguments[0] ?? "");
  const reason = message.replace(/^.*?runc create failed: /, "").replace(/: unknown$/, "");
  return new StepFailure(`process ${quoted(operation)} did not complete successfully: ${reason}`, 1);
}

async function forward(stream: ReadableStream<Uint8Array>, take: (data: Uint8Array) => void): Promise<void> {
  for await (const chunk of stream) take(chunk);
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
