import { NotFound } from "../../core/errors.ts";
import { type Command, CommandError, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { filterFlag } from "../filters.ts";
import { humanSize } from "../format/units.ts";

export const prune: Command = {
  synopsis: "[OPTIONS]",
  summary: "Remove all stopped containers",
  count: noArguments,
  examples: ["container prune", "container prune -f --filter label=temporary"],
  define(flags) {
    const filters = filterFlag(flags, 'Provide filter values (e.g. "until=<timestamp>")', null);
    const force = flags.bool("force", "Do not prompt for confirmation", { short: "f" });
    return async ({ engine, io }) => {
      const unknown = Object.keys(filters.value).find((name) => name !== "label");
      if (unknown !== undefined)
        throw new CommandError(`--filter ${unknown}=… is not supported yet by davit`);
      if (!force.value && !(await confirm(io, "WARNING! This will remove all stopped containers."))) return 0;
      const { containers } = await engine();
      const stopped = await containers.list({
        all: true,
        size: true,
        filters: { ...filters.value, status: ["created", "exited", "dead"] },
      });
      const removed: string[] = [];
      let bytes = 0;
      for (const { Id, SizeRw = 0 } of stopped) {
        try {
          await containers.remove(Id);
          removed.push(Id);
          bytes += SizeRw;
        } catch (error) {
          // Somebody else was quicker.
          if (!(error instanceof NotFound)) throw error;
        }
      }
      const list = removed.length === 0 ? "" : `Deleted Containers:\n${removed.join("\n")}\n\n`;
      await io.stdout.write(`${list}Total reclaimed space: ${humanSize(bytes)}\n`);
      return 0;
    };
  },
};
