import { type Command, noArguments } from "../command.ts";
import { filterFlag } from "../filters.ts";
import { listFormatFlag } from "../format/flag.ts";
import { naturalOrder } from "../format/order.ts";
import { formatRows } from "../format/rows.ts";
import { volumeLayout, volumeRow } from "./row.ts";

export const list: Command = {
  synopsis: "[OPTIONS]",
  summary: "List volumes",
  count: noArguments,
  examples: ["volume ls -q --filter dangling=true"],
  define(flags) {
    flags.bool("cluster", "Display only cluster volumes", { unsupported: true });
    const filters = filterFlag(flags, 'Provide filter values (e.g. "dangling=true")');
    const format = listFormatFlag(flags);
    const quiet = flags.bool("quiet", "Only display volume names", { short: "q" });
    return async ({ engine, io }) => {
      const { Volumes } = await (await engine()).volumes.list(filters.value);
      const sorted = [...(Volumes ?? [])].sort((a, b) => naturalOrder(a.Name, b.Name));
      await io.stdout.write(formatRows(volumeLayout, format.value, quiet.value, sorted.map(volumeRow)));
      return 0;
    };
  },
};
