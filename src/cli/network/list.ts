import { shortId } from "../../core/ids.ts";
import type { Network } from "../../core/objects.ts";
import { type Command, noArguments } from "../command.ts";
import { joinLabels } from "../container/row.ts";
import { filterFlag } from "../filters.ts";
import { listFormatFlag } from "../format/flag.ts";
import { naturalOrder } from "../format/order.ts";
import { formatRows, type ListLayout, Row } from "../format/rows.ts";
import { goTimeOf } from "../format/units.ts";

const layout: ListLayout = {
  headings: {
    ID: "NETWORK ID",
    Name: "NAME",
    Driver: "DRIVER",
    Scope: "SCOPE",
    IPv4: "IPV4",
    IPv6: "IPV6",
    Internal: "INTERNAL",
    Labels: "LABELS",
    CreatedAt: "CREATED AT",
  },
  table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
  quiet: "{{.ID}}",
  rawQuiet: "network_id: {{.ID}}",
  raw: "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
};

export const list: Command = {
  synopsis: "[OPTIONS]",
  summary: "List networks",
  count: noArguments,
  examples: ["network ls --format '{{.Name}}: {{.Driver}}'"],
  define(flags) {
    const filters = filterFlag(flags, 'Provide filter values (e.g. "driver=bridge")');
    const format = listFormatFlag(flags);
    const noTruncation = flags.bool("no-trunc", "Do not truncate the output");
    const quiet = flags.bool("quiet", "Only display network IDs", { short: "q" });
    return async ({ engine, io }) => {
      const networks = await (await engine()).networks.list(filters.value);
      networks.sort((a, b) => naturalOrder(a.Name, b.Name));
      const rows = networks.map((network) => networkRow(network, !noTruncation.value));
      await io.stdout.write(formatRows(layout, format.value, quiet.value, rows));
      return 0;
    };
  },
};

function networkRow(network: Network, truncate: boolean): Row {
  return new Row(
    "*network.networkContext",
    {
      ID: () => (truncate ? shortId(network.Id) : network.Id),
      Name: () => network.Name,
      Driver: () => network.Driver,
      Scope: () => network.Scope,
      IPv4: () =>
        String(Object.entries(network).some(([name, value]) => name === "EnableIPv4" && value === true)),
      IPv6: () => String(network.EnableIPv6),
      Internal: () => String(network.Internal),
      Labels: () => joinLabels(network.Labels),
      CreatedAt: () => goTimeOf(network.Created),
    },
    { Label: (name) => network.Labels?.[name] ?? "" },
  );
}
