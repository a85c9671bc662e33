import type { ImageDifference } from "../../core/objects.ts";
import { type Command, exactly } from "../command.ts";
import { listFormatFlag } from "../format/flag.ts";
import { formatRows, type ListLayout, Row } from "../format/rows.ts";
import { humanSize } from "../format/units.ts";
import { normalPlatform, platformFlag } from "../options/platform.ts";

const layout: ListLayout = {
  headings: { Kind: "KIND", Path: "PATH", SizeBefore: "BEFORE", SizeAfter: "AFTER", Change: "CHANGE" },
  table: "{{.Kind}}\t{{.Path}}\t{{.SizeBefore}}\t{{.SizeAfter}}",
};

/** As `docker diff` writes them. */
const letters: Record<ImageDifference["Kind"], string> = { added: "A", changed: "C", removed: "D" };

export const diff: Command = {
  synopsis: "[OPTIONS] IMAGE IMAGE",
  summary: "Show the paths in which the file systems of two images differ",
  description: `Show the paths in which the file systems of two images differ: A was added, C changed, D removed
on the way from the first to the second, with the change of its size in bytes.`,
  count: exactly(2),
  examples: ["image diff web:1 web:2", "image diff --format table web:1 web:2"],
  define(flags) {
    const format = listFormatFlag(flags);
    const platform = platformFlag(flags, "Compare the images for the given platform");
    return async ({ args: [from = "", to = ""], engine, io }) => {
      const wanted = normalPlatform(platform.value);
      const { images } = await engine();
      const differences = await images.diff(from, to, wanted === undefined ? {} : { platform: wanted });
      const text =
        format.value === ""
          ? differences.map(line).join("")
          : formatRows(layout, format.value, false, differences.map(differenceRow));
      await io.stdout.write(text);
      return 0;
    };
  },
};

/** `C /etc/passwd +120` */
function line({ Kind, Path, SizeBefore, SizeAfter }: ImageDifference): string {
  const change = SizeAfter - SizeBefore;
  const shown = change === 0 ? "" : ` ${change > 0 ? "+" : ""}${change}`;
  return `${letters[Kind]} ${Path}${shown}\n`;
}

function differenceRow({ Kind, Path, SizeBefore, SizeAfter }: ImageDifference): Row {
  return new Row("*image.differenceContext", {
    Kind: () => Kind,
    Path: () => Path,
    SizeBefore: () => humanSize(SizeBefore, 3),
    SizeAfter: () => humanSize(SizeAfter, 3),
    Change: () => String(SizeAfter - SizeBefore),
  });
}
