/** Commands that build. */
import type { CommandEntry, CommandGroup } from "../command.ts";

export const build: CommandEntry = {
  name: "build",
  summary: "Build an image from a Dockerfile",
  load: async () => (await import("../build/build.ts")).build,
};

const list: CommandEntry = {
  name: "ls",
  summary: "List what the build cache holds",
  aliases: ["list"],
  load: async () => (await import("../build/cache.ts")).listCache,
};

const pruneBuilds: CommandEntry = {
  name: "prune",
  summary: "Remove build cache",
  load: async () => (await import("../build/cache.ts")).pruneCache,
};

export const builder: CommandGroup = {
  name: "builder",
  summary: "Manage builds",
  children: [build, list, pruneBuilds],
};

export const buildCache: CommandGroup = {
  name: "build-cache",
  summary: "Manage the build cache",
  children: [list, pruneBuilds],
};
