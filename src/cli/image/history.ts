import { shortId } from "../../core/ids.ts";
import type { ImageHistoryItem } from "../../core/objects.ts";
import { type Command, exactly } from "../command.ts";
import { listFormatFlag } from "../format/flag.ts";
import { formatRows, type ListLayout, Row } from "../format/rows.ts";
import { ellipsis, humanDuration, humanSize, rfc3339 } from "../format/units.ts";
import { normalPlatform, platformFlag } from "../options/platform.ts";

const headings = {
  ID: "IMAGE",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  CreatedBy: "CREATED BY",
  Size: "SIZE",
  Comment: "COMMENT",
};

const forPeople: ListLayout = {
  headings,
  table:
    "{{.ID}}\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
  quiet: "{{.ID}}",
};
const forPrograms: ListLayout = {
  headings,
  table: "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
  quiet: "{{.ID}}",
};

export const history: Command = {
  synopsis: "[OPTIONS] IMAGE",
  summary: "Show the history of an image",
  count: exactly(1),
  examples: ["history --no-trunc busybox"],
  define(flags) {
    const format = listFormatFlag(flags);
    const human = flags.bool("human", "Print sizes and dates in human readable format", {
      short: "H",
      initial: true,
    });
    const noTruncation = flags.bool("no-trunc", "Don't truncate output");
    const platform = platformFlag(flags, "Show history for the given platform");
    const quiet = flags.bool("quiet", "Only show image IDs", { short: "q" });
    return async ({ args: [image = ""], engine, io }) => {
      const wanted = normalPlatform(platform.value);
      const { images } = await engine();
      const items = await images.history(image, wanted === undefined ? {} : { platform: wanted });
      const options = { truncate: !noTruncation.value, human: human.value, now: io.now() };
      const rows = items.map((item) => historyRow(item, options));
      await io.stdout.write(
        formatRows(human.value ? forPeople : forPrograms, format.value, quiet.value, rows),
      );
      return 0;
    };
  },
};

function historyRow(
  item: ImageHistoryItem,
  options: { truncate: boolean; human: boolean; now: number },
): Row {
  const createdAt = () => rfc3339(item.Created);
  return new Row("*formatter.historyContext", {
    ID: () => (options.truncate && item.Id !== "<missing>" ? shortId(item.Id) : item.Id),
    CreatedAt: createdAt,
    CreatedSince: () => {
      if (!options.human) return createdAt();
      return item.Created <= 0 ? "N/A" : `${humanDuration(options.now - item.Created * 1000)} ago`;
    },
    CreatedBy: () => {
      const command = item.CreatedBy.replaceAll("\t", " ");
      return options.truncate ? ellipsis(command, 45) : command;
    },
    Size: () => (options.human ? humanSize(item.Size, 3) : String(item.Size)),
    Comment: () => item.Comment,
  });
}
