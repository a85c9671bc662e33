/** An instance of davit for one test: own roots, and nothing left of it afterwards, or the test fails. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describeInstance, type Instance } from "../../src/core/instance.ts";
import type { Engine, ExecPlan } from "../../src/engine/engine.ts";
import { openLocalEngine } from "../../src/engine/local/index.ts";
import { busyboxArchive } from "./images.ts";
import { filledSets, findInKernel, type KernelFacts, type Ownership, ownershipOf } from "./kernel.ts";
import { strayRecords } from "./records.ts";
import { describeFacts, tearDown } from "./teardown.ts";

const repository = join(import.meta.dir, "..", "..");

/** The executable under test. */
export const davitBinary = resolve(process.env.DAVIT_BIN ?? join(repository, "dist", "davit"));

export interface Finished {
  /** 128 + n after signal n. */
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  stdin?: string | Uint8Array;
  /** On top of our own environment. */
  env?: Record<string, string>;
  cwd?: string;
  /** Milliseconds after which it is killed and the test fails. */
  timeout?: number;
}

export type SpawnOptions = Omit<RunOptions, "stdin" | "timeout">;

/** How a command's pipes look to a test. */
export type Spawned = Bun.Subprocess<"pipe", "pipe", "pipe">;

export interface DavitInstance extends AsyncDisposable {
  readonly instance: Instance;
  /** Directory for the test's own files; gone with the instance. Below it are the roots. */
  readonly directory: string;
  /** Variables that make any davit process one of this instance. */
  readonly env: Record<string, string>;
  /** Runs `davit ARGS` to its end. */
  run(args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** Runs `davit ARGS`, which must succeed, and gives its output without the last line feed. */
  output(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Starts `davit ARGS`; it is killed with the instance if it still runs then. */
  spawn(args: readonly string[], options?: SpawnOptions): Spawned;
  /**
   * A LocalEngine in this process, closed with the instance.
   * `exitFault`: conmon's exit command for containers that it starts is killed at this point.
   * `exec`: is begun while the engine is opened.
   */
  engine(options?: { exitFault?: string; exec?: ExecPlan }): Promise<Engine>;
  /** Loads `davit-busybox:latest`. */
  loadBusybox(): Promise<void>;
}

const defaultTimeout = 60_000;
/** What the kernel and conmon need to let go of a container that is gone. */
const patience = 5_000;

export interface InstanceOptions {
  /** Whether it has `davit-busybox:latest` from the start; it has. */
  busybox?: boolean;
  /** Elsewhere than in the instance's directory, for a file system of its own; not removed with the instance. */
  dataRoot?: string;
}

/** @throws at dispose, when something of a removed container is still there. */
export async function newInstance(options: InstanceOptions = {}): Promise<DavitInstance> {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-"));
  const instance = describeInstance(options.dataRoot ?? join(directory, "data"), join(directory, "exec"));
  const env = { DAVIT_DATA_ROOT: instance.dataRoot, DAVIT_EXEC_ROOT: instance.execRoot };
  const spawned: Spawned[] = [];
  const engines: Engine[] = [];

  const spawn = (args: readonly string[], spawnOptions: SpawnOptions = {}): Spawned => {
    const child = Bun.spawn([davitBinary, ...args], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      cwd: spawnOptions.cwd ?? directory,
      env: { ...process.env, ...env, ...spawnOptions.env },
    });
    spawned.push(child);
    return child;
  };

  const davit: DavitInstance = {
    instance,
    directory,
    env,
    spawn,
    run: (args, runOptions = {}) => finish(spawn(args, runOptions), args, runOptions),
    async output(args, runOptions) {
      const finished = await davit.run(args, runOptions);
      if (finished.code !== 0) throw new Error(describeFailure(args, finished));
      return finished.stdout.replace(/\n$/, "");
    },
    async engine({ exitFault, exec } = {}) {
      const self = exitFault === undefined ? davitBinary : faultyDavit(directory, exitFault);
      const engine = await openLocalEngine({
        instance,
        self: [self],
        searchPath: process.env.PATH ?? "",
        ...(exec === undefined ? {} : { exec }),
      });
      engines.push(engine);
      return engine;
    },
    async loadBusybox() {
      await davit.output(["load", "--quiet", "--input", await busyboxArchive()]);
    },
    async [Symbol.asyncDispose]() {
      for (const child of spawned) child.kill("SIGKILL");
      await Promise.all(spawned.map((child) => child.exited));
      const faults = existsSync(join(instance.dataRoot, "davit.db")) ? await removeContainers(davit) : [];
      for (const engine of engines) await engine.close();
      await tearDown(ownershipOf(instance));
      rmSync(directory, { recursive: true, force: true });
      if (faults.length === 0) return;
      const failure = new Error(`left behind by ${instance.name}:\n${faults.join("\n")}`);
      // The test runner does not show what is suppressed by the failure of the test itself.
      console.error(failure.message);
      throw failure;
    },
  };

  if (options.busybox ?? true) {
    try {
      await davit.loadBusybox();
    } catch (error) {
      await davit[Symbol.asyncDispose]();
      throw error;
    }
  }
  return davit;
}

/** A program that is davit, killed at a point. */
function faultyDavit(directory: string, point: string): string {
  const path = join(directory, "faulty-davit");
  writeFileSync(path, `#!/bin/sh\nDAVIT_FAULT=${point} exec ${davitBinary} "$@"\n`, { mode: 0o755 });
  return path;
}

async function finish(child: Spawned, args: readonly string[], options: RunOptions): Promise<Finished> {
  const timeout = options.timeout ?? defaultTimeout;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeout);
  try {
    const feeding = feed(child, options.stdin);
    const [code, stdout, stderr] = await Promise.all([
      child.exited,
      child.stdout.text(),
      child.stderr.text(),
    ]);
    await feeding;
    const finished = { code, stdout, stderr };
    if (late) throw new Error(`no end after ${timeout} ms: ${describeFailure(args, finished)}`);
    return finished;
  } finally {
    clearTimeout(timer);
  }
}

/** A command may end before it has read all its input. */
async function feed(child: Spawned, input: string | Uint8Array | undefined): Promise<void> {
  try {
    if (input !== undefined) child.stdin.write(input);
    await child.stdin.end();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EPIPE")) throw error;
  }
}

function describeFailure(args: readonly string[], { code, stdout, stderr }: Finished): string {
  return `davit ${args.join(" ")}: exit code ${code}\n${stdout}${stderr}`;
}

/** Removes all containers as a user would, and tells what that left. */
async function removeContainers(davit: DavitInstance): Promise<string[]> {
  const listed = await davit.run(["ps", "--all", "--quiet", "--no-trunc"]);
  if (listed.code !== 0) return [describeFailure(["ps"], listed)];
  const ids = listed.stdout.split("\n").filter((line) => line !== "");
  if (ids.length > 0) {
    const removed = await davit.run(["rm", "--force", "--volumes", ...ids]);
    if (removed.code !== 0) return [describeFailure(["rm", "--force"], removed)];
  }
  const deadline = Date.now() + patience;
  for (;;) {
    const left = leftOf(davit.instance);
    if (left.length === 0 || Date.now() > deadline) return left;
    await Bun.sleep(20);
  }
}

/** What an instance without containers must not have. Its bridge, table and cgroup parents may stay. */
export function leftOf(instance: Instance): string[] {
  const owner: Ownership = ownershipOf(instance);
  const facts = findInKernel(owner);
  const surplus: KernelFacts = {
    mounts: facts.mounts,
    processes: facts.processes,
    links: facts.links.filter((name) => name !== instance.bridge),
    tables: [],
    cgroups: facts.cgroups.filter((path) => !path.endsWith(instance.cgroupParent)),
  };
  return [
    ...describeFacts(surplus),
    ...facts.tables.flatMap((table) => filledSets(table)).map((text) => `nftables ${text}`),
    ...strayRecords(instance),
  ];
}
