/** The tree of commands. A command's file is loaded when the command is run or its own help is asked for. */
import { type Command, type CommandEntry, CommandError, type CommandGroup } from "./command.ts";
import { nearest } from "./suggest.ts";

const attach: CommandEntry = {
  name: "attach",
  summary: "Attach local standard input, output, and error streams to a running container",
  load: async () => (await import("./container/attach.ts")).attach,
};
const create: CommandEntry = {
  name: "create",
  summary: "Create a new container",
  load: async () => (await import("./container/create.ts")).create,
};
const exec: CommandEntry = {
  name: "exec",
  summary: "Execute a command in a running container",
  load: async () => (await import("./container/exec.ts")).exec,
};
const inspectContainer: CommandEntry = {
  name: "inspect",
  summary: "Display detailed information on one or more containers",
  load: async () => (await import("./system/inspect.ts")).inspectContainers,
};
const kill: CommandEntry = {
  name: "kill",
  summary: "Kill one or more running containers",
  load: async () => (await import("./container/kill.ts")).kill,
};
const logs: CommandEntry = {
  name: "logs",
  summary: "Fetch the logs of a container",
  load: async () => (await import("./container/logs.ts")).logs,
};
const listContainers: CommandEntry = {
  name: "ls",
  summary: "List containers",
  aliases: ["list", "ps"],
  load: async () => (await import("./container/list.ts")).list,
};
const pause: CommandEntry = {
  name: "pause",
  summary: "Pause all processes within one or more containers",
  load: async () => (await import("./container/pause.ts")).pause,
};
const port: CommandEntry = {
  name: "port",
  summary: "List port mappings or a specific mapping for the container",
  load: async () => (await import("./container/port.ts")).port,
};
const pruneContainers: CommandEntry = {
  name: "prune",
  summary: "Remove all stopped containers",
  load: async () => (await import("./container/prune.ts")).prune,
};
const rename: CommandEntry = {
  name: "rename",
  summary: "Rename a container",
  load: async () => (await import("./container/rename.ts")).rename,
};
const restart: CommandEntry = {
  name: "restart",
  summary: "Restart one or more containers",
  load: async () => (await import("./container/restart.ts")).restart,
};
const removeContainers: CommandEntry = {
  name: "rm",
  summary: "Remove one or more containers",
  aliases: ["remove"],
  load: async () => (await import("./container/remove.ts")).remove,
};
const run: CommandEntry = {
  name: "run",
  summary: "Create and run a new container from an image",
  load: async () => (await import("./container/run.ts")).run,
};
const start: CommandEntry = {
  name: "start",
  summary: "Start one or more stopped containers",
  load: async () => (await import("./container/start.ts")).start,
};
const stats: CommandEntry = {
  name: "stats",
  summary: "Display a live stream of container(s) resource usage statistics",
  load: async () => (await import("./container/stats.ts")).stats,
};
const stop: CommandEntry = {
  name: "stop",
  summary: "Stop one or more running containers",
  load: async () => (await import("./container/stop.ts")).stop,
};
const top: CommandEntry = {
  name: "top",
  summary: "Display the running processes of a container",
  load: async () => (await import("./container/top.ts")).top,
};
const unpause: CommandEntry = {
  name: "unpause",
  summary: "Unpause all processes within one or more containers",
  load: async () => (await import("./container/pause.ts")).unpause,
};
const wait: CommandEntry = {
  name: "wait",
  summary: "Block until one or more containers stop, then print their exit codes",
  load: async () => (await import("./container/wait.ts")).wait,
};

const history: CommandEntry = {
  name: "history",
  summary: "Show the history of an image",
  load: async () => (await import("./image/history.ts")).history,
};
const importImage: CommandEntry = {
  name: "import",
  summary: "Import the contents from a tarball to create a filesystem image",
  load: async () => (await import("./image/import.ts")).importImage,
};
const inspectImage: CommandEntry = {
  name: "inspect",
  summary: "Display detailed information on one or more images",
  load: async () => (await import("./system/inspect.ts")).inspectImages,
};
const load: CommandEntry = {
  name: "load",
  summary: "Load an image from a tar archive or STDIN",
  load: async () => (await import("./image/load.ts")).load,
};
const listImages: CommandEntry = {
  name: "ls",
  summary: "List images",
  aliases: ["list"],
  load: async () => (await import("./image/list.ts")).list,
};
const removeImages: CommandEntry = {
  name: "rm",
  summary: "Remove one or more images",
  aliases: ["remove"],
  load: async () => (await import("./image/remove.ts")).remove,
};
const save: CommandEntry = {
  name: "save",
  summary: "Save one or more images to a tar archive (streamed to STDOUT by default)",
  load: async () => (await import("./image/save.ts")).save,
};
const tag: CommandEntry = {
  name: "tag",
  summary: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  load: async () => (await import("./image/tag.ts")).tag,
};

const events: CommandEntry = {
  name: "events",
  summary: "Get real time events from the server",
  load: async () => (await import("./system/events.ts")).events,
};
const info: CommandEntry = {
  name: "info",
  summary: "Display system-wide information",
  load: async () => (await import("./system/info.ts")).info,
};
const inspect: CommandEntry = {
  name: "inspect",
  summary: "Return low-level information on Docker objects",
  load: async () => (await import("./system/inspect.ts")).inspect,
};
const version: CommandEntry = {
  name: "version",
  summary: "Show the version information",
  load: async () => (await import("./system/version.ts")).version,
};

export const groups: readonly CommandGroup[] = [
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
    children: [history, importImage, inspectImage, load, listImages, removeImages, save, tag],
  },
  {
    name: "network",
    summary: "Manage networks",
    children: [
      {
        name: "inspect",
        summary: "Display detailed information on one or more networks",
        load: async () => (await import("./system/inspect.ts")).inspectNetworks,
      },
      {
        name: "ls",
        summary: "List networks",
        aliases: ["list"],
        load: async () => (await import("./network/list.ts")).list,
      },
    ],
  },
  { name: "system", summary: "Manage the engine", children: [events, info] },
  {
    name: "volume",
    summary: "Manage volumes",
    children: [
      {
        name: "create",
        summary: "Create a volume",
        load: async () => (await import("./volume/create.ts")).create,
      },
      {
        name: "inspect",
        summary: "Display detailed information on one or more volumes",
        load: async () => (await import("./system/inspect.ts")).inspectVolumes,
      },
      {
        name: "ls",
        summary: "List volumes",
        aliases: ["list"],
        load: async () => (await import("./volume/list.ts")).list,
      },
      {
        name: "prune",
        summary: "Remove unused local volumes",
        load: async () => (await import("./volume/prune.ts")).prune,
      },
      {
        name: "rm",
        summary: "Remove one or more volumes",
        aliases: ["remove"],
        load: async () => (await import("./volume/remove.ts")).remove,
      },
    ],
  },
];

/** The commands of one word; the first five are what the help shows first. */
export const commonCommands: readonly CommandEntry[] = [
  run,
  exec,
  { ...listContainers, name: "ps", aliases: [] },
  { ...listImages, name: "images", aliases: [] },
  load,
  version,
  info,
];

export const otherCommands: readonly CommandEntry[] = [
  attach,
  create,
  events,
  history,
  importImage,
  inspect,
  kill,
  logs,
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
