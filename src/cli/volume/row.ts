/** A volume as a row of `volume ls`. */
import type { Volume } from "../../core/objects.ts";
import { joinLabels } from "../container/row.ts";
import { type ListLayout, Row } from "../format/rows.ts";
import { humanSize } from "../format/units.ts";

export const volumeLayout: ListLayout = {
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

export function volumeRow(volume: Volume): Row {
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
