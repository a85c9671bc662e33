import type { Volume } from "../../core/objects.ts";
import { type Command, noArguments } from "../command.ts";
import { joinLabels } from "../container/row.ts";
import { filterFlag } from "../filters.ts";
import { listFormatFlag } from "../format/flag.ts";
import { naturalOrder } from "../format/order.ts";
import { formatRows, type ListLayout, Row } from "../format/rows.ts";
import { humanSize } from "../format/units.ts";

const layout: ListLayout = {
  headings: {
    Name: "VOLUME NAME",
    Driver: "DRIVER",
    Scope: "SCOPE",
    Availability: "AVAILABILITY",
    Mountpoint: "MOUNTPOINT",
    Labels: "LABELS",
    Links: "LINKS",
    Size: "SIZE",
    Group: "GROUP",
    Status: "STATUS",
  },
  table: "{{.Driver}}\t{{.Name}}",
  quiet: "{{.Name}}",
  rawQuiet: "name: {{.Name}}",
  raw: "name: {{.Name}}\ndriver: {{.Driver}}\n",
};

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
      await io.stdout.write(formatRows(layout, format.value, quiet.value, sorted.map(volumeRow)));
      return 0;
    };
  },
};

function volumeRow(volume: Volume): Row {
  const usage = volume.UsageData ?? undefined;
  return new Row(
    "*formatter.volumeContext",
    {
      Name: () => volume.Name,
      Driver: () => volume.Driver,
      Scope: () => volume.Scope,
      Mountpoint: () => volume.Mountpoint,
      Labels: () => joinLabels(volume.Labels),
      Links: () => (usage === undefined ? "N/A" : String(usage.RefCount)),
      Size: () => (usage === undefined ? "N/A" : humanSize(usage.Size)),
      Group: () => "N/A",
      Availability: () => "N/A",
      Status: () => "N/A",
    },
    { Label: (name) => volume.Labels?.[name] ?? "" },
  );
}
