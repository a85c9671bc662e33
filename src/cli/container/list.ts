import type { ContainerSummary } from "../../core/objects.ts";
import { type Command, CommandError, noArguments } from "../command.ts";
import { filterFlag } from "../filters.ts";
import { listFormatFlag } from "../format/flag.ts";
import { formatRows } from "../format/rows.ts";
import { containerLayout, containerRow } from "./row.ts";

export const list: Command = {
  synopsis: "[OPTIONS]",
  summary: "List containers",
  count: noArguments,
  examples: ["ps -a", "ps --filter status=exited --format '{{.Names}}: {{.Status}}'"],
  define(flags) {
    const all = flags.bool("all", "Show all containers (default shows just running)", { short: "a" });
    const filters = filterFlag(flags, "Filter output based on conditions provided");
    const format = listFormatFlag(flags);
    const last = flags.int("last", "Show n last created containers (includes all states)", {
      short: "n",
      initial: -1,
    });
    const latest = flags.bool("latest", "Show the latest created container (includes all states)", {
      short: "l",
    });
    const noTruncation = flags.bool("no-trunc", "Don't truncate output");
    const quiet = flags.bool("quiet", "Only display container IDs", { short: "q" });
    const size = flags.bool("size", "Display total file sizes", { short: "s" });
    return async ({ engine, io }) => {
      const usesSize = format.value !== "" && (await readsSize(format.value));
      if (format.value !== "" && quiet.value) {
        await io.stderr.write(
          "WARNING: Ignoring custom format, because both --format and --quiet are set.\n",
        );
      }
      const wanted = quiet.value && format.value !== "raw" ? "table" : format.value;
      const limit = latest.value && last.value === -1 ? 1 : Math.max(last.value, 0);
      const showSize = size.changed ? size.value : usesSize;
      const containers = await (await engine()).containers.list({
        all: all.value,
        limit,
        size: showSize,
        filters: filters.value,
      });
      const layout = size.value
        ? {
            ...containerLayout,
            table: `${containerLayout.table}\t{{.Size}}`,
            raw: `${containerLayout.raw}size: {{.Size}}\n`,
          }
        : containerLayout;
      const options = { truncate: !noTruncation.value, now: io.now() };
      const rows = containers.map((container) => containerRow(container, options));
      await io.stdout.write(formatRows(layout, wanted, quiet.value, rows));
      return 0;
    };
  },
};

/** Runs the template once on nothing, to learn whether it reads `.Size`, which costs the engine work. */
async function readsSize(format: string): Promise<boolean> {
  const { Template, TemplateExecutionError, TemplateSyntaxError } = await import(
    "../format/template/template.ts"
  );
  let used = false;
  const nothing: ContainerSummary = {
    Id: "",
    Names: [],
    Image: "",
    ImageID: "",
    Command: "",
    Created: 0,
    Ports: [],
    Labels: {},
    State: "created",
    Status: "",
    HostConfig: { NetworkMode: "" },
    NetworkSettings: { Networks: {} },
    Mounts: [],
  };
  const row = containerRow(nothing, {
    truncate: true,
    now: 0,
    onSize: () => {
      used = true;
    },
  });
  try {
    new Template(format).run(row);
  } catch (error) {
    if (error instanceof TemplateSyntaxError)
      throw new CommandError(`failed to parse template: ${error.message}`);
    if (error instanceof TemplateExecutionError) {
      throw new CommandError(`failed to execute template: ${error.message}`);
    }
    throw error;
  }
  return used;
}
