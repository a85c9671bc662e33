import type { ImageDeleteItem } from "../../core/objects.ts";
import { type Command, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { filterFlag } from "../filters.ts";
import { humanSize } from "../format/units.ts";

export const prune: Command = {
  synopsis: "[OPTIONS]",
  summary: "Remove unused images",
  count: noArguments,
  examples: ["image prune", "image prune -a --filter until=24h"],
  define(flags) {
    const all = flags.bool("all", "Remove all unused images, not just dangling ones", { short: "a" });
    const filters = filterFlag(flags, 'Provide filter values (e.g. "until=<timestamp>")', null);
    const force = flags.bool("force", "Do not prompt for confirmation", { short: "f" });
    return async ({ engine, io }) => {
      const which = all.value
        ? "all images without at least one container associated to them"
        : "all dangling images";
      if (!force.value && !(await confirm(io, `WARNING! This will remove ${which}.`))) return 0;
      const { images } = await engine();
      const dangling = [...(filters.value.dangling ?? []), String(!all.value)];
      const { ImagesDeleted, SpaceReclaimed } = await images.prune({ ...filters.value, dangling });
      const removed = (ImagesDeleted ?? []).map(describe);
      const list = removed.length === 0 ? "" : `Deleted Images:\n${removed.join("\n")}\n\n`;
      await io.stdout.write(`${list}Total reclaimed space: ${humanSize(SpaceReclaimed)}\n`);
      return 0;
    };
  },
};

function describe(item: ImageDeleteItem): string {
  return "Deleted" in item ? `deleted: ${item.Deleted}` : `untagged: ${item.Untagged}`;
}
