import { type Command, CommandError, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { filterFlag } from "../filters.ts";
import { humanSize } from "../format/units.ts";

export const prune: Command = {
  synopsis: "[OPTIONS]",
  summary: "Remove unused local volumes",
  count: noArguments,
  examples: ["volume prune", "volume prune -a --filter label=temporary"],
  define(flags) {
    const all = flags.bool("all", "Remove all unused volumes, not just anonymous ones", { short: "a" });
    const filters = filterFlag(flags, 'Provide filter values (e.g. "label=<label>")', null);
    const force = flags.bool("force", "Do not prompt for confirmation", { short: "f" });
    return async ({ engine, io }) => {
      const wanted = { ...filters.value };
      if (all.value) {
        if (wanted.all !== undefined) {
          throw new CommandError("conflicting options: cannot specify both --all and --filter all=1");
        }
        wanted.all = ["true"];
      }
      const which = all.value ? "all local volumes" : "anonymous local volumes";
      const warning = `WARNING! This will remove ${which} not used by at least one container.`;
      if (!force.value && !(await confirm(io, warning))) return 0;
      const { VolumesDeleted, SpaceReclaimed } = await (await engine()).volumes.prune(wanted);
      const removed = VolumesDeleted ?? [];
      const list = removed.length === 0 ? "" : `Deleted Volumes:\n${removed.join("\n")}\n\n`;
      await io.stdout.write(`${list}Total reclaimed space: ${humanSize(SpaceReclaimed)}\n`);
      return 0;
    };
  },
};
