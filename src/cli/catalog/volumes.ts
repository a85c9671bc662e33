/** Commands that act on volumes. */
import type { CommandGroup } from "../command.ts";

export const volumes: CommandGroup = {
  name: "volume",
  summary: "Manage volumes",
  children: [
    {
      name: "create",
      summary: "Create a volume",
      load: async () => (await import("../volume/create.ts")).create,
    },
    {
      name: "inspect",
      summary: "Display detailed information on one or more volumes",
      load: async () => (await import("../system/inspect.ts")).inspectVolumes,
    },
    {
      name: "ls",
      summary: "List volumes",
      aliases: ["list"],
      load: async () => (await import("../volume/list.ts")).list,
    },
    {
      name: "prune",
      summary: "Remove unused local volumes",
      load: async () => (await import("../volume/prune.ts")).prune,
    },
    {
      name: "rm",
      summary: "Remove one or more volumes",
      aliases: ["remove"],
      load: async () => (await import("../volume/remove.ts")).remove,
    },
  ],
};
