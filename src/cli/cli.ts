/**
 * The command-line door: finds the command, reads its flags, runs it, and turns what went wrong into Docker's
 * words and exit status.
 */

import { DavitError, hasErrno, LinuxError, messageOf, StartFailure } from "../core/errors.ts";
import { join, resolve } from "../core/paths.ts";
import type { Engine, ExecPlan } from "../engine/engine.ts";
import { type Command, CommandError, Diverted, type Invocation, type RegistryPlan } from "./command.ts";
import { type FoundCommand, findCommand } from "./commands.ts";
import { FlagSet } from "./flags/flag-set.ts";
import { FlagError, parseFlags } from "./flags/parse.ts";
import type { Io } from "./io.ts";

/** Where the engine is, as the global flags say. */
export interface EngineChoice {
  /** `unix://…`, `tcp://…`; undefined for the engine in this process. */
  host: string | undefined;
  dataRoot: string | undefined;
  execRoot: string | undefined;
  storageDriver: string | undefined;
  registry?: RegistryPlan;
  exec?: ExecPlan;
}

export interface CliOptions {
  program: string;
  version: string;
  io: Io;
  /** Opens the engine that the global flags (and, in `main`, the environment) name. */
  openEngine(choice: EngineChoice): Promise<Engine>;
}

/** 128 + SIGPIPE, as a shell shows a program that wrote to a closed pipe. */
const brokenPipeStatus = 141;

/** Runs one command line (without the program's own name). Resolves to the exit status; all output is written. */
export async function runCli(words: readonly string[], options: CliOptions): Promise<number> {
  const { io, program } = options;
  let found: FoundCommand | undefined;
  let engine: Promise<Engine> | undefined;
  let debug = false;
  try {
    const global = globalFlags();
    const parsed = parseFlags(global.flags, words, false);
    if (global.version.value) {
      await io.stdout.write(`${program} version ${options.version}\n`);
      return 0;
    }
    found = await findCommand(parsed.positional, program);
    if (found.kind === "help" || parsed.help) {
      const { helpFor } = await import("./help.ts");
      const stream = parsed.help || (found.kind === "help" && found.asked) ? io.stdout : io.stderr;
      const topic = found.kind === "help" ? found : { kind: "help" as const, group: undefined, asked: true };
      await stream.write(helpFor(topic, program, global.flags, columnsOf(io)));
      return 0;
    }
    debug = global.debug.value;
    const choice: EngineChoice = {
      host: global.host.value || undefined,
      dataRoot: global.dataRoot.value || undefined,
      execRoot: global.execRoot.value || undefined,
      storageDriver: global.storageDriver.value || undefined,
    };
    const invocation: Omit<Invocation, "args" | "words"> = {
      io,
      program,
      configDirectory: configDirectoryOf(global.config.value, io),
      engine: (plan = {}) => {
        engine ??= options.openEngine({ ...choice, ...plan });
        return engine;
      },
    };
    return await runCommand(found, invocation);
  } catch (error) {
    if (debug) await io.stderr.write(`${traceOf(error)}\n`);
    return await report(error, found, options, engine !== undefined);
  } finally {
    await engine?.then(
      (opened) => opened.close(),
      () => {},
    );
  }
}

async function runCommand(
  found: FoundCommand & { kind: "command" },
  invocation: Omit<Invocation, "args" | "words">,
): Promise<number> {
  const { command, path, words } = found;
  const { io, program } = invocation;
  const flags = new FlagSet();
  const act = command.define(flags);
  const parsed = parseFlags(flags, words, command.flagsEndAtFirstWord !== true);
  for (const warning of parsed.warnings) await io.stderr.write(`${warning}\n`);
  if (parsed.help) {
    const { helpForCommand } = await import("./help.ts");
    await io.stdout.write(helpForCommand(found, flags, program, columnsOf(io)));
    return 0;
  }
  checkCount(command, parsed.positional.length, `${program} ${path}`);
  const whole: Invocation = { ...invocation, args: parsed.positional, words };
  try {
    return await act(whole);
  } catch (error) {
    if (error instanceof Diverted) return await error.act(whole);
    throw error;
  }
}

/** The flags before the command. */
export function globalFlags() {
  const flags = new FlagSet();
  for (const name of ["context", "log-level", "tlscacert", "tlscert", "tlskey"]) {
    flags.string(name, "As docker's", { unsupported: true });
  }
  for (const name of ["tls", "tlsverify"]) flags.bool(name, "As docker's", { unsupported: true });
  return {
    flags,
    config: flags.string("config", "Location of client config files", { shownDefault: '"~/.docker"' }),
    host: flags.string("host", "Engine API to connect to, instead of the engine in this process", {
      short: "H",
    }),
    dataRoot: flags.string("data-root", "Directory of images, volumes and records", {
      shownDefault: '"/var/lib/davit"',
    }),
    execRoot: flags.string("exec-root", "Directory of what runs now", { shownDefault: '"/run/davit"' }),
    storageDriver: flags.string(
      "storage-driver",
      "How a new data root keeps layers: overlay2, btrfs or vfs",
      {
        shownDefault: "what works there",
      },
    ),
    debug: flags.bool("debug", "Show the cause of failures", { short: "D" }),
    version: flags.bool("version", "Print version information and quit", { short: "v" }),
  };
}

function configDirectoryOf(given: string, { cwd, env }: Io): string {
  return resolve(cwd, given || env.DOCKER_CONFIG || join(env.HOME || "/root", ".docker"));
}

/** @throws CommandError in Docker's words when a command was given too many or too few words. */
function checkCount(command: Command, given: number, name: string): void {
  const { least, most } = command.count;
  if (given >= least && (most === undefined || given <= most)) return;
  const plural = (count: number) => `${count} argument${count === 1 ? "" : "s"}`;
  let wants: string;
  if (most === 0) wants = "accepts no arguments";
  else if (most === least) wants = `requires ${plural(least)}`;
  else if (most === undefined) wants = `requires at least ${plural(least)}`;
  else if (least === 0) wants = `requires at most ${plural(most)}`;
  else wants = `requires at least ${least} and at most ${plural(most)}`;
  const verb = most === undefined ? "See" : "Run";
  throw new CommandError(
    `${name.split(" ")[0]}: '${name}' ${wants}\n\nUsage:  ${usageLine(name, command)}\n\n` +
      `${verb} '${name} --help' for more information`,
  );
}

export function usageLine(name: string, command: Command): string {
  return command.synopsis === "" ? name : `${name} ${command.synopsis}`;
}

function columnsOf(io: Io): number {
  const width = io.stdout.size()?.width ?? 0;
  return width > 0 ? width : 80;
}

/** Where an error was thrown, and what caused it. */
function traceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const trace = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause === undefined ? trace : `${trace}\ncaused by ${traceOf(error.cause)}`;
}

/** Prints what went wrong and gives the exit status for it. */
async function report(
  error: unknown,
  found: FoundCommand | undefined,
  options: CliOptions,
  isEngineOpen: boolean,
): Promise<number> {
  const { io, program } = options;
  const say = async (text: string): Promise<void> => {
    try {
      await io.stderr.write(`${text}\n`);
    } catch (failure) {
      if (!hasErrno(failure, "EPIPE", "EIO")) throw failure;
    }
  };
  if (hasErrno(error, "EPIPE")) return brokenPipeStatus;
  const command = found?.kind === "command" ? found.command : undefined;
  const name = found?.kind === "command" ? `${program} ${found.path}` : program;
  if (error instanceof FlagError) {
    const usage = command === undefined ? `${program} [OPTIONS] COMMAND [ARG...]` : usageLine(name, command);
    await say(`${error.message}\n\nUsage:  ${usage}\n\nRun '${name} --help' for more information`);
    return 125;
  }
  if (error instanceof CommandError) {
    if (error.message !== "") await say(error.message);
    return error.exitCode;
  }
  // A file that the command itself could not read is nothing that an engine has said.
  const isOwn = error instanceof LinuxError && !isEngineOpen;
  const message = isOwn ? error.message : describeFailure(error);
  if (command?.runsContainer === true) {
    await say(`${program}: ${message}\n\nRun '${name} --help' for more information`);
    return error instanceof StartFailure && error.exitCode !== 128 ? error.exitCode : 125;
  }
  await say(message);
  return 1;
}

/** What we say ourselves of an engine that does not answer, or is too old. */
const ownWords = /^(Cannot connect to|error during connect|"--[\w-]+" requires API version)/;

/** The line for a failure: the engine's own carry Docker's prefix, so that people and scripts find it. */
export function describeFailure(error: unknown): string {
  if (error instanceof DavitError && !ownWords.test(error.message)) {
    return `Error response from daemon: ${error.message}`;
  }
  return messageOf(error);
}
