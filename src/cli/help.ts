/** The help texts of the program, of a group of commands, and of one command. */

import { usageLine } from "./cli.ts";
import type { CommandEntry, CommandGroup } from "./command.ts";
import { commonCommands, type FoundCommand, groups, otherCommands, spellings } from "./commands.ts";
import type { FlagSet } from "./flags/flag-set.ts";
import { describeFlags } from "./flags/help.ts";

/** Help for what was found: everything, a group or one command. */
export function helpFor(
  found: FoundCommand & { kind: "help" },
  program: string,
  globalFlags: FlagSet,
  columns: number,
): string {
  return found.group === undefined
    ? helpForProgram(program, globalFlags, columns)
    : helpForGroup(found.group, program);
}

function helpForProgram(program: string, flags: FlagSet, columns: number): string {
  return [
    `Usage:  ${program} [OPTIONS] COMMAND\n`,
    "A container engine without a daemon\n",
    `Common Commands:\n${rows(commonCommands)}`,
    `Management Commands:\n${rows(groups)}`,
    `Commands:\n${rows(otherCommands)}`,
    `Global Options:\n${describeFlags(flags.all, columns)}`,
    `Environment:
  DAVIT_HOST        Engine API to connect to, as -H
  DOCKER_HOST       The same, where DAVIT_HOST is not set
  DAVIT_DATA_ROOT   As --data-root
  DAVIT_EXEC_ROOT   As --exec-root
  DAVIT_CONFIG_FILE File in place of /etc/docker/daemon.json and /etc/davit/daemon.json
  DOCKER_CONFIG     As --config
  DOCKER_DEFAULT_PLATFORM
                    As --platform of pull, create and run
  NO_COLOR          No colours\n`,
    `Run '${program} COMMAND --help' for more information on a command.\n`,
  ].join("\n");
}

function helpForGroup(group: CommandGroup, program: string): string {
  return [
    `Usage:  ${program} ${group.name} COMMAND\n`,
    `${group.summary}\n`,
    `Commands:\n${rows(group.children)}`,
    `Run '${program} ${group.name} COMMAND --help' for more information on a command.\n`,
  ].join("\n");
}

/** Help for one command: usage, what it does, its other names, flags and examples. */
export function helpForCommand(
  found: FoundCommand & { kind: "command" },
  flags: FlagSet,
  program: string,
  columns: number,
): string {
  const { command, entry, path } = found;
  const names = spellings(entry).map((name) => `${program} ${name}`);
  const parts = [
    `Usage:  ${usageLine(`${program} ${path}`, command)}\n`,
    `${command.description ?? command.summary}\n`,
  ];
  if (names.length > 1) parts.push(`Aliases:\n  ${names.join(", ")}\n`);
  const options = describeFlags(flags.all, columns);
  if (options !== "") parts.push(`Options:\n${options}`);
  if (command.examples !== undefined) {
    parts.push(`Examples:\n${command.examples.map((example) => `  ${program} ${example}\n`).join("")}`);
  }
  return parts.join("\n");
}

function rows(entries: readonly (CommandEntry | CommandGroup)[]): string {
  const width = Math.max(11, ...entries.map((entry) => entry.name.length));
  return entries.map((entry) => `  ${entry.name.padEnd(width)} ${entry.summary}\n`).join("");
}
