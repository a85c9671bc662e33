/** The tree of commands. A command's file is loaded when the command is run or its own help is asked for. */
import { build, buildCache, builder } from "./catalog/builds.ts";
import {
  attach,
  create,
  exec,
  inspectContainer,
  kill,
  listContainers,
  logs,
  pause,
  port,
  pruneContainers,
  removeContainers,
  rename,
  restart,
  run,
  start,
  stats,
  stop,
  top,
  unpause,
  wait,
} from "./catalog/containers.ts";
import {
  copyImage,
  diffImages,
  history,
  importImage,
  inspectImage,
  layersOfImage,
  listImages,
  load,
  pruneImages,
  pull,
  push,
  removeImages,
  save,
  tag,
} from "./catalog/images.ts";
import { manifests } from "./catalog/manifests.ts";
import { networks } from "./catalog/networks.ts";
import { login, logout, search } from "./catalog/registries.ts";
import { checkStorage, diskUsage, events, info, inspect, version } from "./catalog/system.ts";
import { volumes } from "./catalog/volumes.ts";
import { add, buildah, commit, config, containers, copy, from, mount, unmount } from "./catalog/working.ts";
import { type Command, type CommandEntry, CommandError, type CommandGroup } from "./command.ts";
import { registry } from "./registry/group.ts";
import { nearest } from "./suggest.ts";

export const groups: readonly CommandGroup[] = [
  buildah,
  buildCache,
  builder,
  {
    name: "container",
    summary: "Manage containers",
    children: [
      attach,
      create,
      exec,
      inspectContainer,
      kill,
      logs,
      listContainers,
      pause,
      port,
      pruneContainers,
      rename,
      restart,
      removeContainers,
      run,
      start,
      stats,
      stop,
      top,
      unpause,
      wait,
    ],
  },
  {
    name: "image",
    summary: "Manage images",
    children: [
      build,
      copyImage,
      diffImages,
      history,
      importImage,
      inspectImage,
      layersOfImage,
      load,
      listImages,
      pruneImages,
      pull,
      push,
      removeImages,
      save,
      tag,
    ],
  },
  manifests,
  networks,
  registry,
  { name: "system", summary: "Manage the engine", children: [checkStorage, diskUsage, events, info] },
  volumes,
];

/** The commands of one word; the first are what the help shows first. */
export const commonCommands: readonly CommandEntry[] = [
  run,
  exec,
  { ...listContainers, name: "ps", aliases: [] },
  build,
  pull,
  push,
  { ...listImages, name: "images", aliases: [] },
  login,
  logout,
  search,
  load,
  version,
  info,
];

export const otherCommands: readonly CommandEntry[] = [
  add,
  attach,
  { ...build, name: "bud" },
  commit,
  config,
  { ...containers, aliases: [] },
  copy,
  create,
  events,
  from,
  history,
  importImage,
  inspect,
  kill,
  logs,
  mount,
  pause,
  port,
  rename,
  restart,
  { ...removeContainers, aliases: [] },
  { ...removeImages, name: "rmi", aliases: [] },
  save,
  start,
  stats,
  stop,
  tag,
  top,
  { ...unmount, aliases: [] },
  { ...unmount, name: "unmount", aliases: [] },
  unpause,
  wait,
];

/** Every way to write the command that `entry` is: `davit container ls`, `davit ps`. */
export function spellings(entry: CommandEntry): string[] {
  const same = (other: CommandEntry) => other.load === entry.load;
  const paths: string[] = [];
  for (const group of groups) {
    for (const child of group.children.filter(same)) {
      paths.push(...[child.name, ...(child.aliases ?? [])].map((name) => `${group.name} ${name}`));
    }
  }
  paths.push(...[...commonCommands, ...otherCommands].filter(same).map((command) => command.name));
  return paths;
}

export type FoundCommand =
  | {
      kind: "command";
      command: Command;
      entry: CommandEntry;
      /** `container ls` */
      path: string;
      /** What follows the command's name. */
      words: readonly string[];
    }
  | { kind: "help"; group: CommandGroup | undefined; asked: boolean };

/** @throws CommandError when there is no such command; it suggests the nearest. */
export async function findCommand(words: readonly string[], program: string): Promise<FoundCommand> {
  const [first, ...rest] = words;
  if (first === undefined) return { kind: "help", group: undefined, asked: false };
  if (first === "help") return await findHelp(rest, program);
  const entry = [...commonCommands, ...otherCommands].find((command) => command.name === first);
  if (entry !== undefined) return await found(entry, entry.name, rest);
  const group = groups.find((candidate) => candidate.name === first);
  if (group === undefined) throw unknownCommand(program, first);
  return await findInGroup(group, rest, program);
}

async function findInGroup(
  group: CommandGroup,
  words: readonly string[],
  program: string,
): Promise<FoundCommand> {
  const [name, ...rest] = words;
  if (name === undefined) return { kind: "help", group, asked: false };
  if (name === "--help" || name === "-h") return { kind: "help", group, asked: true };
  const entry = group.children.find((child) => child.name === name || child.aliases?.includes(name));
  if (entry === undefined) throw unknownCommand(program, name, group);
  return await found(entry, `${group.name} ${name}`, rest);
}

async function findHelp(words: readonly string[], program: string): Promise<FoundCommand> {
  if (words.length === 0) return { kind: "help", group: undefined, asked: true };
  const topic = await findCommand(words.slice(0, 2), program);
  if (topic.kind === "help") return { ...topic, asked: true };
  return { ...topic, words: ["--help"] };
}

async function found(entry: CommandEntry, path: string, words: readonly string[]): Promise<FoundCommand> {
  return { kind: "command", command: await entry.load(), entry, path, words };
}

function unknownCommand(program: string, word: string, group?: CommandGroup): CommandError {
  const path = group === undefined ? program : `${program} ${group.name}`;
  const known =
    group?.children.map((child) => child.name) ??
    [...commonCommands, ...otherCommands, ...groups].map((command) => command.name);
  const near = nearest(word, known);
  const hint =
    near.length === 0 ? "" : `Did you mean ${near.map((name) => `'${path} ${name}'`).join(" or ")}?\n\n`;
  const usage = group === undefined ? "" : `Usage:  ${path}\n\n`;
  return new CommandError(
    `${program}: unknown command: ${path} ${word}\n\n${hint}${usage}Run '${path} --help' for more information`,
  );
}
