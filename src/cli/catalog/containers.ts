/** Commands that act on containers. */
import type { CommandEntry } from "../command.ts";

export const attach: CommandEntry = {
  name: "attach",
  summary: "Attach local standard input, output, and error streams to a running container",
  load: async () => (await import("../container/attach.ts")).attach,
};

export const create: CommandEntry = {
  name: "create",
  summary: "Create a new container",
  load: async () => (await import("../container/create.ts")).create,
};

export const exec: CommandEntry = {
  name: "exec",
  summary: "Execute a command in a running container",
  load: async () => (await import("../container/exec.ts")).exec,
};

export const inspectContainer: CommandEntry = {
  name: "inspect",
  summary: "Display detailed information on one or more containers",
  load: async () => (await import("../system/inspect.ts")).inspectContainers,
};

export const kill: CommandEntry = {
  name: "kill",
  summary: "Kill one or more running containers",
  load: async () => (await import("../container/kill.ts")).kill,
};

export const logs: CommandEntry = {
  name: "logs",
  summary: "Fetch the logs of a container",
  load: async () => (await import("../container/logs.ts")).logs,
};

export const listContainers: CommandEntry = {
  name: "ls",
  summary: "List containers",
  aliases: ["list", "ps"],
  load: async () => (await import("../container/list.ts")).list,
};

export const pause: CommandEntry = {
  name: "pause",
  summary: "Pause all processes within one or more containers",
  load: async () => (await import("../container/pause.ts")).pause,
};

export const port: CommandEntry = {
  name: "port",
  summary: "List port mappings or a specific mapping for the container",
  load: async () => (await import("../container/port.ts")).port,
};

export const pruneContainers: CommandEntry = {
  name: "prune",
  summary: "Remove all stopped containers",
  load: async () => (await import("../container/prune.ts")).prune,
};

export const rename: CommandEntry = {
  name: "rename",
  summary: "Rename a container",
  load: async () => (await import("../container/rename.ts")).rename,
};

export const restart: CommandEntry = {
  name: "restart",
  summary: "Restart one or more containers",
  load: async () => (await import("../container/restart.ts")).restart,
};

export const removeContainers: CommandEntry = {
  name: "rm",
  summary: "Remove one or more containers",
  aliases: ["remove"],
  load: async () => (await import("../container/remove.ts")).remove,
};

export const run: CommandEntry = {
  name: "run",
  summary: "Create and run a new container from an image",
  load: async () => (await import("../container/run.ts")).run,
};

export const start: CommandEntry = {
  name: "start",
  summary: "Start one or more stopped containers",
  load: async () => (await import("../container/start.ts")).start,
};

export const stats: CommandEntry = {
  name: "stats",
  summary: "Display a live stream of container(s) resource usage statistics",
  load: async () => (await import("../container/stats.ts")).stats,
};

export const stop: CommandEntry = {
  name: "stop",
  summary: "Stop one or more running containers",
  load: async () => (await import("../container/stop.ts")).stop,
};

export const top: CommandEntry = {
  name: "top",
  summary: "Display the running processes of a container",
  load: async () => (await import("../container/top.ts")).top,
};

export const unpause: CommandEntry = {
  name: "unpause",
  summary: "Unpause all processes within one or more containers",
  load: async () => (await import("../container/pause.ts")).unpause,
};

export const wait: CommandEntry = {
  name: "wait",
  summary: "Block until one or more containers stop, then print their exit codes",
  load: async () => (await import("../container/wait.ts")).wait,
};
