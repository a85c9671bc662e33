/** A real container for tests: busybox's root file system, conmon and a runtime, in an instance of its own. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeInstance, type Instance } from "../../src/core/instance.ts";
import type { ContainerConfig, HostConfig } from "../../src/core/objects.ts";
import type { AttachedStreams } from "../../src/core/streams.ts";
import { openProcess } from "../../src/linux/processes.ts";
import { attach } from "../../src/runtime/attach.ts";
import {
  type CgroupLayout,
  containerCgroup,
  detectCgroups,
  removeCgroup,
  removeInstanceCgroups,
} from "../../src/runtime/cgroups.ts";
import { writeConfig } from "../../src/runtime/config-file.ts";
import { type ExitRecord, findConmon, launchConmon, readExitRecord } from "../../src/runtime/conmon.ts";
import { resolveDevices } from "../../src/runtime/devices.ts";
import { type ExecLaunch, type RunningExec, spawnExec, startExec } from "../../src/runtime/exec.ts";
import { type ExecProcessInput, makeExecProcess } from "../../src/runtime/exec-process.ts";
import type { RuntimeSpec } from "../../src/runtime/oci.ts";
import { checkResources } from "../../src/runtime/resources.ts";
import { deleteContainer, findRuntime, type OciRuntime, startContainer } from "../../src/runtime/runtimes.ts";
import { makeSpec, type ResolvedMount, readHostFacts, type SpecInput } from "../../src/runtime/spec.ts";
import { resolveUser } from "../../src/runtime/users.ts";

export const searchPath = process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin";
const repository = join(import.meta.dir, "..", "..");

/** Unpacks busybox's image into a directory, as a container's root. */
export function unpackRoot(): { path: string; remove(): void } {
  const directory = mkdtempSync("/tmp/davit-test-root-");
  const archive = join(directory, "image.tar");
  const root = join(directory, "root");
  mkdirSync(root);
  const steps = [
    ["sh", join(repository, "scripts/busybox-image.sh"), archive],
    ["sh", "-c", `tar -xOf ${archive} --wildcards '*/layer.tar' | tar -x -C ${root}`],
  ];
  for (const command of steps) {
    const outcome = Bun.spawnSync(command, { stdio: ["ignore", "ignore", "pipe"] });
    if (outcome.exitCode !== 0) throw new Error(`${command.join(" ")}: ${outcome.stderr}`);
  }
  return { path: root, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

export interface BoxOptions {
  rootfs: string;
  runtime: "crun" | "runc";
  args: readonly string[];
  config?: ContainerConfig;
  host?: HostConfig;
  mounts?: readonly ResolvedMount[];
  namespaces?: Partial<SpecInput["namespaces"]>;
  spec?: Partial<SpecInput>;
  exitCommand?: (bundle: string) => readonly string[];
  inheritedFds?: readonly number[];
  /** Another container, whose runtime's records this one shares, as in one instance. */
  beside?: Box;
}

/** A created container: its program waits for `start`. Disposing ends it and removes all of it. */
export class Box implements AsyncDisposable {
  readonly directory: string;
  readonly instance: Instance;
  readonly cgroups: CgroupLayout = detectCgroups();
  readonly id = `t${crypto.randomUUID().slice(0, 12)}`;
  readonly bundle: string;
  readonly cgroupPath: string;
  readonly logPath: string;
  runtime: OciRuntime;
  spec: RuntimeSpec | undefined;
  warnings: string[] = [];
  pid = 0;
  conmonPid = 0;

  private constructor(runtime: string) {
    this.directory = mkdtempSync("/tmp/davit-test-");
    this.instance = describeInstance(join(this.directory, "data"), join(this.directory, "exec"));
    this.bundle = join(this.instance.execRoot, "containers", this.id);
    this.logPath = join(this.directory, "log");
    this.cgroupPath = containerCgroup(this.instance, this.id);
    mkdirSync(this.bundle, { recursive: true });
    this.runtime = findRuntime(
      { execRoot: this.instance.execRoot, searchPath, cgroups: () => this.cgroups },
      runtime,
    );
  }

  static async create(options: BoxOptions): Promise<Box> {
    const box = new Box(options.runtime);
    try {
      await box.#launch(options);
      return box;
    } catch (error) {
      await box[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #launch(options: BoxOptions): Promise<void> {
    if (options.beside !== undefined) this.runtime = options.beside.runtime;
    const host = readHostFacts(this.cgroups);
    const config = options.config ?? {};
    const checked = checkResources(
      options.host ?? {},
      () => this.cgroups,
      () => host.cpus,
    );
    const hostConfig: HostConfig = { ...options.host, ...checked.resources };
    const made = makeSpec({
      rootfs: options.rootfs,
      cgroupsPath: this.cgroupPath,
      host,
      args: options.args,
      config,
      hostConfig,
      user: resolveUser(options.rootfs, config.User ?? "", hostConfig.GroupAdd ?? []),
      hostname: config.Hostname ?? this.id,
      mounts: options.mounts ?? [],
      etcFiles: {},
      namespaces: {
        network: "private",
        pid: "private",
        ipc: "private",
        uts: "private",
        cgroup: "host",
        ...options.namespaces,
      },
      devices: resolveDevices(hostConfig),
      ...options.spec,
    });
    this.spec = made.spec;
    this.warnings = [...checked.warnings, ...made.warnings];
    writeConfig(this.bundle, made.spec, this.runtime);
    using conmon = await launchConmon({
      instance: this.instance,
      conmon: findConmon(searchPath),
      runtime: this.runtime,
      cgroups: () => this.cgroups,
      id: this.id,
      bundle: this.bundle,
      logPath: this.logPath,
      tty: config.Tty ?? false,
      stdin: config.OpenStdin ?? false,
      stdinOnce: config.StdinOnce ?? false,
      exitCommand: options.exitCommand?.(this.bundle) ?? [],
      inheritedFds: options.inheritedFds ?? [],
    });
    const launched = await conmon.create();
    this.pid = launched.pid;
    this.conmonPid = launched.conmonPid;
  }

  attach(): Promise<AttachedStreams> {
    return attach(this.bundle);
  }

  start(): Promise<void> {
    return startContainer(this.runtime, this.id);
  }

  /** Waits until the first process is the container's own program; just after `start` it is still the runtime's. */
  async running(program: string): Promise<void> {
    while (readFileSync(`/proc/${this.pid}/comm`, "utf8") !== `${program}\n`) await Bun.sleep(2);
  }

  /** Waits for what conmon leaves at the end. */
  async ended(): Promise<ExitRecord> {
    for (;;) {
      const record = readExitRecord(this.bundle);
      if (record !== undefined) return record;
      await Bun.sleep(2);
    }
  }

  #execs = 0;

  async execLaunch(
    args: readonly string[],
    options: Partial<ExecProcessInput> & { stdin?: boolean; attached?: boolean } = {},
  ): Promise<ExecLaunch> {
    const { spec } = this;
    if (spec === undefined) throw new Error("no container");
    this.#execs += 1;
    const directory = join(this.bundle, "exec", String(this.#execs));
    const conmon = await spawnExec({
      instance: this.instance,
      cgroups: () => this.cgroups,
      conmon: findConmon(searchPath),
      runtime: this.runtime,
      containerId: this.id,
      directory,
      tty: options.tty ?? false,
      stdin: options.stdin ?? false,
      attached: options.attached ?? true,
    });
    return {
      conmon,
      directory,
      meanwhile: () => {},
      process: () =>
        makeExecProcess({
          container: spec.process,
          args,
          env: [],
          cwd: undefined,
          tty: false,
          user: undefined,
          privileged: false,
          host: () => readHostFacts(this.cgroups),
          ...options,
        }),
    };
  }

  async exec(args: readonly string[], options: Partial<ExecProcessInput> & { stdin?: boolean } = {}) {
    return startExec(await this.execLaunch(args, options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await deleteContainer(this.runtime, this.id, { force: true });
    using conmon = this.conmonPid === 0 ? undefined : openProcess(this.conmonPid);
    await conmon?.ended(AbortSignal.timeout(10_000));
    removeCgroup(this.cgroups, this.cgroupPath);
    removeInstanceCgroups(this.cgroups, this.instance);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export interface Outcome {
  exitCode: number;
  oomKilled: boolean;
  stdout: string;
  stderr: string;
  warnings: string[];
}

/** Runs a container to its end, as `run --rm` does. */
export async function runBox(options: BoxOptions, input?: Uint8Array): Promise<Outcome> {
  await using box = await Box.create(options);
  const streams = await box.attach();
  await box.start();
  if (input !== undefined) {
    await streams.write(input);
    await streams.closeInput();
  }
  const output = await collect(streams);
  const { exitCode, oomKilled } = await box.ended();
  await deleteContainer(box.runtime, box.id, { ended: { layout: box.cgroups, cgroupPath: box.cgroupPath } });
  if (existsSync(join(box.runtime.stateDirectory, box.id))) throw new Error("the runtime still knows it");
  return { exitCode, oomKilled, warnings: box.warnings, ...output };
}

export async function runExec(
  running: RunningExec,
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const output = await collect(running.streams);
  return { exitCode: await running.exited, ...output };
}

export async function collect(streams: AttachedStreams): Promise<{ stdout: string; stderr: string }> {
  const parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  for await (const frame of streams.output) parts[frame.stream].push(frame.data);
  return {
    stdout: Buffer.concat(parts.stdout).toString("utf8"),
    stderr: Buffer.concat(parts.stderr).toString("utf8"),
  };
}
