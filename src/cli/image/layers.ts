import { shortId } from "../../core/ids.ts";
import type { LayerReport } from "../../core/objects.ts";
import { type Command, exactly } from "../command.ts";
import { listFormatFlag } from "../format/flag.ts";
import { formatRows, type ListLayout, Row } from "../format/rows.ts";
import { ellipsis, humanSize } from "../format/units.ts";
import { normalPlatform, platformFlag } from "../options/platform.ts";

const layout: ListLayout = {
  headings: {
    Digest: "LAYER",
    DiffID: "DIFF ID",
    MediaType: "MEDIA TYPE",
    Size: "SIZE",
    UnpackedSize: "UNPACKED",
    Added: "ADDED",
    Changed: "CHANGED",
    Removed: "REMOVED",
    Wasted: "WASTED",
    CreatedBy: "CREATED BY",
  },
  table:
    "{{.Digest}}\t{{.Size}}\t{{.UnpackedSize}}\t{{.Added}}\t{{.Changed}}\t{{.Removed}}\t{{.Wasted}}\t{{.CreatedBy}}",
  quiet: "{{.Digest}}",
};

export const layers: Command = {
  synopsis: "[OPTIONS] IMAGE",
  summary: "Show what each layer of an image adds, changes, removes and wastes",
  description: `Show what each layer of an image adds, changes, removes and wastes.
Wasted are the bytes of files in lower layers that a layer replaces or removes:
they are stored and sent, and no container sees them. The bottom layer is first.`,
  count: exactly(1),
  examples: ["image layers busybox", "image layers --format '{{.Wasted}} {{.CreatedBy}}' web:1"],
  define(flags) {
    const format = listFormatFlag(flags);
    const noTruncation = flags.bool("no-trunc", "Don't truncate output");
    const platform = platformFlag(flags, "Show the layers for the given platform");
    const quiet = flags.bool("quiet", "Only show layer digests", { short: "q" });
    return async ({ args, engine, io }) => {
      const wanted = normalPlatform(platform.value);
      const { images } = await engine();
      const reports = await images.layers(args[0] ?? "", wanted === undefined ? {} : { platform: wanted });
      const rows = reports.map((report) => layerRow(report, !noTruncation.value));
      const isTable = !quiet.value && (format.value === "" || format.value === "table");
      const table = formatRows(layout, format.value, quiet.value, rows);
      await io.stdout.write(isTable ? `${table}\n${total(reports)}\n` : table);
      return 0;
    };
  },
};

function layerRow(report: LayerReport, truncate: boolean): Row {
  const shortDigest = (digest: string) => (truncate ? shortId(digest) : digest);
  return new Row("*image.layerContext", {
    Digest: () => shortDigest(report.Digest),
    DiffID: () => shortDigest(report.DiffID),
    MediaType: () => report.MediaType,
    Size: () => humanSize(report.Size, 3),
    UnpackedSize: () => humanSize(report.UnpackedSize, 3),
    Added: () => String(report.Added),
    Changed: () => String(report.Changed),
    Removed: () => String(report.Removed),
    Wasted: () => humanSize(report.Wasted, 3),
    CreatedBy: () => {
      const command = report.CreatedBy.replace(/[\t\n]/g, " ");
      return truncate ? ellipsis(command, 45) : command;
    },
  });
}

/** `3 layers, 12.5MB, 30MB unpacked, 1.2MB of it wasted (4%)` */
function total(reports: readonly LayerReport[]): string {
  const sum = (of: (report: LayerReport) => number) =>
    reports.reduce((bytes, report) => bytes + of(report), 0);
  const unpacked = sum(({ UnpackedSize }) => UnpackedSize);
  const wasted = sum(({ Wasted }) => Wasted);
  const share = unpacked === 0 ? "" : ` (${Math.round((wasted * 100) / unpacked)}%)`;
  const count = `${reports.length} layer${reports.length === 1 ? "" : "s"}`;
  const packed = humanSize(
    sum(({ Size }) => Size),
    3,
  );
  return `${count}, ${packed}, ${humanSize(unpacked, 3)} unpacked, ${humanSize(wasted, 3)} of it wasted${share}`;
}
