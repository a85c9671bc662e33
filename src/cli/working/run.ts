import { StartFailure } from "../../core/errors.ts";
import { isAbsolute, resolve } from "../../core/paths.ts";
import { type WorkingRunRequest, workingContainersOf } from "../../engine/working.ts";
import { type Action, type Command, CommandError } from "../command.ts";
import type { FlagSet } from "../flags/flag-set.ts";
import type { Io } from "../io.ts";
import { splitCsv } from "../options/key-values.ts";
import { asBuildah, failure, readingContainer } from "./failures.ts";
import { accepted, historyFlag, unsupported } from "./flags.ts";
import { namespaceFlags } from "./run-defaults.ts";
import { interruptible } from "./shown.ts";

export const run: Command = {
  synopsis: "[OPTIONS] CONTAINER [--] COMMAND [ARG...]",
  summary: "Run a command inside of a working container",
  count: { least: 0 },
  flagsEndAtFirstWord: true,
  examples: [
    "buildah run busybox-working-container -- sh -c 'echo hi > /greeting'",
    "buildah run -v $PWD:/src:ro busybox-working-container ls /src",
  ],
  define: defineRun,
};

function defineRun(flags: FlagSet): Action {
  const history = historyFlag(flags);
  const options = declare(flags);
  return asBuildah(async (invocation) => {
    const { io, args } = invocation;
    const [name, ...words] = args;
    if (name === undefined) throw failure("container ID must be specified");
    const command = words[0] === "--" ? words.slice(1) : words;
    if (command.length === 0) throw failure("command must be specified");
    const { terminal, tty } = options;
    const asked = terminal.changed || tty.changed ? terminal.value || tty.value : undefined;
    const request: WorkingRunRequest = {
      ...read(io, options),
      command,
      addHistory: history(invocation),
      streams: streamsOf(io, asked),
    };
    const working = workingContainersOf(await invocation.engine());
    try {
      const status = await interruptible(io, (signal) =>
        readingContainer(name, () => working.run(name, request, { signal })),
      );
      if (status !== 0) await io.stderr.write(`Error: while running runtime: exit status ${status}\n`);
      return status;
    } catch (error) {
      if (!(error instanceof StartFailure)) throw error;
      // Buildah's own status for what its runtime refuses.
      throw new CommandError(`Error: ${error.message}`, 1);
    }
  });
}

function declare(flags: FlagSet) {
  unsupported(flags, ["runtime-flag"]);
  accepted(flags, { bools: ["no-pivot"], strings: ["isolation"] });
  return {
    terminal: flags.bool("terminal", "Allocate a pseudo-TTY in the container", { short: "t" }),
    tty: flags.bool("tty", "Allocate a pseudo-TTY in the container", { hidden: true }),
    capAdd: flags.list("cap-add", "Add the specified capability"),
    capDrop: flags.list("cap-drop", "Drop the specified capability"),
    contextDir: flags.string("contextdir", "Context directory path, for --mount with a relative source"),
    env: flags.list("env", "Add environment variable to be set temporarily when running command", {
      short: "e",
    }),
    hostname: flags.string("hostname", "Set the hostname inside of the container"),
    mount: flags.list("mount", "Attach a filesystem mount to the container", { kind: "mount" }),
    network: flags.string("network", "'private', 'none', 'ns:path' of network namespace to join, or 'host'"),
    noHosts: flags.bool("no-hosts", "Do not override the /etc/hosts file within the container"),
    runtime: flags.string("runtime", "Name or path of another OCI runtime"),
    user: flags.string("user", "User[:group] to run the command as"),
    volume: flags.list("volume", "Bind mount a host location into the container while running the command", {
      short: "v",
    }),
    workingdir: flags.string("workingdir", "Temporarily set working directory for command"),
    namespaces: namespaceFlags(flags),
  };
}

const proxyVariables = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

function read(io: Io, options: ReturnType<typeof declare>): Omit<WorkingRunRequest, "command" | "streams"> {
  const spaces = Object.entries(options.namespaces()).filter(([, mode]) => mode !== "");
  return {
    ...(options.user.changed ? { user: options.user.value } : {}),
    ...(options.workingdir.changed ? { workingDirectory: options.workingdir.value } : {}),
    ...(options.hostname.changed ? { hostname: options.hostname.value } : {}),
    ...(options.network.changed ? { network: options.network.value } : {}),
    ...(options.runtime.changed ? { runtime: options.runtime.value } : {}),
    environment: options.env.value.flatMap((text) => variable(io, text)),
    proxy: proxies(io),
    addCapabilities: options.capAdd.value.flatMap(splitCsv),
    dropCapabilities: options.capDrop.value.flatMap(splitCsv),
    namespaces: Object.fromEntries(spaces),
    volumes: options.volume.value.map((text) => absolute(io, text)),
    mounts: options.mount.value,
    contextDirectory: resolve(io.cwd, options.contextDir.value),
    noHosts: options.noHosts.value,
  };
}

/** A name alone takes the value that it has here, if it has one. */
function variable({ env }: Io, text: string): string[] {
  if (text.includes("=")) return [text];
  const value = env[text];
  return value === undefined ? [] : [`${text}=${value}`];
}

function proxies({ env }: Io): Record<string, string> {
  const names = proxyVariables.flatMap((name) => [name, name.toUpperCase()]);
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name] ?? ""]] : [])));
}

/** Sources are meant from here. */
function absolute({ cwd }: Io, volume: string): string {
  const colon = volume.indexOf(":");
  const source = colon < 0 ? volume : volume.slice(0, colon);
  return source === "" || isAbsolute(source) ? volume : resolve(cwd, source) + volume.slice(source.length);
}

function streamsOf({ stdin, stdout }: Io, asked: boolean | undefined): "ours" | "terminal" | "made-terminal" {
  if (asked === true && !stdin.isTerminal) return "made-terminal";
  return (asked ?? (stdin.isTerminal && stdout.isTerminal)) ? "terminal" : "ours";
}
