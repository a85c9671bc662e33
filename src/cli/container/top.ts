import { atLeastOne, type Command } from "../command.ts";
import { alignTabs } from "../format/tabs.ts";

export const top: Command = {
  synopsis: "CONTAINER [ps OPTIONS]",
  summary: "Display the running processes of a container",
  count: atLeastOne,
  flagsEndAtFirstWord: true,
  examples: ["top web", "top web -o pid,args"],
  define:
    () =>
    async ({ args: [name = "", ...options], engine, io }) => {
      const processes = await (await engine()).containers.top(
        name,
        options.length === 0 ? undefined : options.join(" "),
      );
      const rows = [processes.Titles, ...(processes.Processes ?? [])];
      const text = rows.map((row) => `${row.join("\t")}\n`).join("");
      await io.stdout.write(alignTabs(text, { least: 20, padding: 3 }));
      return 0;
    },
};
