/** `run`: a program in a working container, as a build step would run it, but on the container's own files. */

import type { RunOperation } from "../../build/graph/operations.ts";
import { StepFailure } from "../../build/steps/failure.ts";
import { BuildNetworks } from "../../build/steps/network.ts";
import { type RunTerms, runInTree } from "../../build/steps/run.ts";
import { openSandbox } from "../../build/steps/sandbox.ts";
import type { Missing } from "../../build/steps/stubs.ts";
import { InvalidParameter, StartFailure } from "../../core/errors.ts";
import type { HostConfig } from "../../core/objects.ts";
import type { RunDefaults, WorkingRecord, WorkingStub } from "../../state/working-containers.ts";
import { roomsOf } from "../local/build-rooms.ts";
import { type Local, timestamp } from "../local/local.ts";
import type { WorkingRunRequest } from "../working.ts";
import { type OpenWorking, openWorking } from "./open.ts";
import { openMounts } from "./run-mounts.ts";

export async function run(
  local: Local,
  reference: string,
  request: WorkingRunRequest,
  options: { signal?: AbortSignal } = {},
): Promise<number> {
  const signal = options.signal ?? new AbortController().signal;
  if (request.command.length === 0) throw new InvalidParameter("command must be specified");
  await using container = await openWorking(local, reference, { mode: "shared", signal });
  const { record } = container;
  const root = await container.root();
  const rooms = { ...roomsOf(local), runtime: () => local.runtime(request.runtime) };
  using networks = new BuildNetworks(local.state);
  using sandbox = openSandbox(local.state);
  await using mounts = await openMounts(local, rooms, sandbox.directory, { record, request, signal });
  const { streams } = request;
  const ending = runInTree(operationOf(record, request), root, {
    rooms,
    networks,
    sandbox,
    limits: limitsOf(record.defaults),
    proxy: request.proxy ?? {},
    mounts: mounts.mounts,
    secretEnvironment: [],
    output: typeof streams === "function" ? streams : () => {},
    terms: { ...termsOf(record, request), leaveStubs: (missing) => noteStubs(container, missing) },
    signal,
  });
  const { exitCode } = await ending.catch((error: unknown) => {
    throw error instanceof StepFailure ? notStarted(error) : error;
  });
  if (exitCode === 0 && request.addHistory === true) {
    const shell = (record.config.config.Shell ?? ["/bin/sh", "-c"]).join(" ");
    const line = { created: timestamp(), created_by: `${shell} ${request.command.join(" ")}` };
    container.change((now) => ({ ...now, history: [...now.history, line] }));
  }
  return exitCode;
}

/** In the runtime's own words. */
function notStarted(error: StepFailure): StartFailure {
  const reason = error.message.replace(/^process .*? did not complete successfully: /s, "");
  return new StartFailure(reason, 127, { cause: error });
}

function operationOf({ config: image, defaults }: WorkingRecord, request: WorkingRunRequest): RunOperation {
  const { config, architecture, os } = image;
  const network = networkOf(request.network ?? defaults.network);
  return {
    kind: "run",
    digest: "",
    title: "",
    input: { kind: "scratch", digest: "", title: "" },
    ignoreCache: true,
    arguments: request.command,
    environment: [...(config.Env ?? []), ...(request.environment ?? [])],
    workingDirectory: request.workingDirectory || config.WorkingDir || "/",
    user: request.user ?? config.User ?? "",
    script: undefined,
    mounts: [],
    network: network.mode,
    security: "sandbox",
    extraHosts: defaults.hostConfig.ExtraHosts ?? [],
    platform: { architecture, os },
  };
}

/** @throws InvalidParameter for a network that is none */
function networkOf(text: string): { mode: RunOperation["network"]; path: string | undefined } {
  if (text.startsWith("ns:")) return { mode: "none", path: text.slice("ns:".length) };
  if (text.startsWith("/")) return { mode: "none", path: text };
  switch (text) {
    case "":
    case "private":
    case "bridge":
    case "default":
      return { mode: "bridge", path: undefined };
    case "host":
      return { mode: "host", path: undefined };
    case "none":
      return { mode: "none", path: undefined };
    default:
      throw new InvalidParameter(`unable to find network with name or ID ${text}: network not found`);
  }
}

/** Others may run in it at the same time: who is the last to leave takes them away. */
function noteStubs(container: OpenWorking, missing: readonly Missing[]): void {
  if (missing.length === 0) return;
  container.change((record) => {
    const known = new Set(record.stubs.map(({ path }) => path));
    const stubs = missing.filter(({ path }) => !known.has(path)).map(stubRecord);
    return { ...record, stubs: [...record.stubs, ...stubs] };
  });
}

function stubRecord({ path, above }: Missing): WorkingStub {
  if (above === undefined) return { path };
  return { path, above: { path: above.path, atime: String(above.atime), mtime: String(above.mtime) } };
}

function termsOf(record: WorkingRecord, request: WorkingRunRequest): Omit<RunTerms, "leaveStubs"> {
  const { hostConfig } = record.defaults;
  const spaces = { ...record.defaults.namespaces, ...request.namespaces };
  const { path } = networkOf(request.network ?? record.defaults.network);
  const { streams } = request;
  return {
    hostname: request.hostname || record.config.config.Hostname || record.id.slice(0, 12),
    hostConfig: withCapabilities(hostConfig, request),
    namespaces: {
      ...(path === undefined ? {} : { network: { path } }),
      pid: namespaceOf(spaces.pid),
      ipc: namespaceOf(spaces.ipc),
      uts: namespaceOf(spaces.uts),
      // What is usual depends on the machine's cgroups.
      ...(spaces.cgroup === "" ? {} : { cgroup: namespaceOf(spaces.cgroup) }),
    },
    streams: typeof streams === "function" ? "forwarded" : streams,
    keepsHosts: request.noHosts === true,
  };
}

/** What this command adds is added, whatever `from` dropped; and the other way round. */
function withCapabilities(hostConfig: HostConfig, request: WorkingRunRequest): HostConfig {
  const { addCapabilities: add = [], dropCapabilities: drop = [] } = request;
  const without = (names: readonly string[], others: readonly string[]) =>
    names.filter((name) => !others.some((other) => plain(other) === plain(name)));
  return {
    ...hostConfig,
    CapAdd: [...without(hostConfig.CapAdd ?? [], drop), ...add],
    CapDrop: [...without(hostConfig.CapDrop ?? [], add), ...drop],
  };
}

function plain(capability: string): string {
  return capability.toUpperCase().replace(/^CAP_/, "");
}

function namespaceOf(text: string): "private" | "host" | { path: string } {
  if (text === "" || text === "private" || text === "container") return "private";
  return text === "host" ? "host" : { path: text.replace(/^ns:/, "") };
}

function limitsOf({ hostConfig }: RunDefaults) {
  const { ShmSize, Ulimits, CgroupParent } = hostConfig;
  return {
    shmSize: ShmSize,
    ulimits: Ulimits ?? undefined,
    cgroupParent: CgroupParent || undefined,
  };
}
