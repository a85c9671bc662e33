/**
 * The engines that are compared, each with roots of its own and each driven by its own command line, since that
 * is what a user waits for.
 */
import { copyFileSync, existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeInstance } from "../src/core/instance.ts";
import { unmountIfMounted } from "../src/linux/mounts.ts";
import { missingForDockerd, startDockerd } from "../test/harness/dockerd.ts";
import { mountPoints, ownershipOf } from "../test/harness/kernel.ts";
import { tearDown } from "../test/harness/teardown.ts";

export type EngineName = "davit" | "Docker" | "Podman";

export interface Subject extends AsyncDisposable {
  readonly name: EngineName;
  /** Versions of the engine and of what it runs containers with. */
  readonly version: string;
  /** The command line before the verb. */
  readonly command: readonly string[];
  /** Clients of another release that speak to the same engine. */
  readonly otherClients?: readonly { command: readonly string[]; version: string }[];
  readonly environment: Record<string, string>;
  /** Path of the network namespace that its commands run in, where that is not the bench's own. */
  readonly network?: string;
  /** Removes running containers without waiting for them to end by themselves; their ids come after it. */
  readonly removal: readonly string[];
  /** Part of the arguments or environment of all its processes that are not a container's own. */
  readonly mark: string;
}

function outputOf(command: readonly string[], environment: Record<string, string> = {}): string {
  const done = Bun.spawnSync([...command], { env: { ...process.env, ...environment }, stdin: "ignore" });
  return done.exitCode === 0 ? done.stdout.toString().trim() : "";
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}

/** The davit that `npm run build` made: a copy of it, so that a build in between does not change what is measured. */
export function startDavit(built: string): Subject {
  const top = mkdtempSync(join(tmpdir(), "davit-bench-"));
  const executable = join(top, "davit");
  copyFileSync(built, executable);
  const environment = { DAVIT_DATA_ROOT: join(top, "data"), DAVIT_EXEC_ROOT: join(top, "run") };
  const versions = [
    firstLine(outputOf([executable, "--version"])),
    firstLine(outputOf(["crun", "--version"])),
    firstLine(outputOf(["conmon", "--version"])),
  ];
  return {
    name: "davit",
    version: versions.filter((version) => version !== "").join(", "),
    command: [executable],
    removal: ["rm", "-f"],
    environment,
    mark: top,
    async [Symbol.asyncDispose]() {
      await removeContainers(this);
      await tearDown(ownershipOf(describeInstance(environment.DAVIT_DATA_ROOT, environment.DAVIT_EXEC_ROOT)));
      rmSync(top, { recursive: true, force: true });
    },
  };
}

/** Every docker command line on this machine, each once. */
function dockerClients(): string[] {
  const directories = [...(process.env.PATH ?? "").split(":"), "/usr/bin"];
  const paths = directories.map((directory) => join(directory, "docker")).filter((path) => existsSync(path));
  return [...new Set(paths.map((path) => realpathSync(path)))];
}

/** A dockerd of the bench's own, sealed off in namespaces so that its firewall rules do not meet anybody's. */
export async function startDocker(): Promise<Subject | undefined> {
  const clients = dockerClients();
  const missing = missingForDockerd() ?? (clients.length === 0 ? "no docker command" : undefined);
  if (missing !== undefined) {
    console.log(`Docker is left out: ${missing}`);
    return undefined;
  }
  const daemon = await startDockerd();
  const environment = { DOCKER_HOST: daemon.host, DOCKER_CONTEXT: "" };
  const versionOf = (client: string) => firstLine(outputOf([client, "--version"]));
  const [first = "docker"] = clients;
  const server = outputOf([first, "version", "--format", "{{.Server.Version}}"], environment);
  // The one that was released, and is installed, with this daemon; others are measured beside it.
  const client = clients.find((path) => versionOf(path).includes(server)) ?? first;
  const subject: Subject = {
    name: "Docker",
    version: `dockerd ${server} (${firstLine(outputOf(["runc", "--version"]))}), ${versionOf(client)}`,
    command: [client],
    otherClients: clients
      .filter((path) => path !== client)
      .map((path) => ({ command: [path], version: versionOf(path) })),
    removal: ["rm", "-f"],
    environment,
    mark: daemon.host.replace("unix://", "").replace(/\/docker\.sock$/, ""),
    async [Symbol.asyncDispose]() {
      await removeContainers(subject);
      await daemon[Symbol.asyncDispose]();
    },
  };
  return subject;
}

/** Podman with storage and state of its own. */
export function startPodman(): Subject | undefined {
  if (Bun.which("podman") === null) {
    console.log("Podman is left out: no podman command");
    return undefined;
  }
  const top = mkdtempSync(join(tmpdir(), "davit-bench-podman-"));
  const command = [
    "podman",
    ...["--root", join(top, "root")],
    ...["--runroot", join(top, "run")],
    ...["--tmpdir", join(top, "tmp")],
    ...["--network-config-dir", join(top, "networks")],
    ...["--storage-driver", "overlay"],
    ...["--cgroup-manager", "cgroupfs"],
    ...["--events-backend", "file"],
  ];
  // By default it sets limits above its own, which not every machine allows.
  const configuration = join(top, "containers.conf");
  writeFileSync(configuration, '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n');
  return {
    name: "Podman",
    version: `${firstLine(outputOf(["podman", "--version"]))}, ${firstLine(outputOf(["crun", "--version"]))}`,
    command,
    // Its own -f first asks politely for ten seconds.
    removal: ["rm", "-f", "--time", "0"],
    environment: { CONTAINERS_CONF: configuration },
    mark: top,
    async [Symbol.asyncDispose]() {
      await removeContainers(this);
      for (const path of mountPoints().toReversed()) {
        if (path.startsWith(`${top}/`)) unmountIfMounted(path);
      }
      rmSync(top, { recursive: true, force: true });
    },
  };
}

async function removeContainers({ command, environment, removal }: Subject): Promise<void> {
  const ids = outputOf([...command, "ps", "-aq"], environment)
    .split("\n")
    .filter((id) => id !== "");
  if (ids.length > 0) outputOf([...command, ...removal, ...ids], environment);
}
