/** Commands that act on networks. */
import type { CommandGroup } from "../command.ts";

export const networks: CommandGroup = {
  name: "network",
  summary: "Manage networks",
  children: [
    {
      name: "inspect",
      summary: "Display detailed information on one or more networks",
      load: async () => (await import("../system/inspect.ts")).inspectNetworks,
    },
    {
      name: "ls",
      summary: "List networks",
      aliases: ["list"],
      load: async () => (await import("../network/list.ts")).list,
    },
  ],
};
