import { shortId } from "../../core/ids.ts";
import type {
  BuildCacheRecord,
  ContainerSummary,
  DiskUsage,
  ImageSummary,
  Volume,
} from "../../core/objects.ts";
import { type Command, CommandError, noArguments } from "../command.ts";
import { containerLayout, containerRow } from "../container/row.ts";
import { listFormatFlag } from "../format/flag.ts";
import { formatRows, type ListLayout, Row } from "../format/rows.ts";
import { Template, TemplateExecutionError, TemplateSyntaxError } from "../format/template/template.ts";
import { absent, GoObject, type Value } from "../format/template/values.ts";
import { goTimeOf, humanDuration, humanSize } from "../format/units.ts";
import { imageLayout, imageRow } from "../image/row.ts";
import { volumeLayout, volumeRow } from "../volume/row.ts";

const summaryLayout: ListLayout = {
  headings: {
    Type: "TYPE",
    TotalCount: "TOTAL",
    Active: "ACTIVE",
    Size: "SIZE",
    Reclaimable: "RECLAIMABLE",
  },
  table: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
  raw: `type: {{.Type}}
total: {{.TotalCount}}
active: {{.Active}}
size: {{.Size}}
reclaimable: {{.Reclaimable}}
`,
};

const since = "{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}";

/** The tables of --verbose. */
const tables = {
  images: {
    ...imageLayout,
    table: `{{.Repository}}\t{{.Tag}}\t{{.ID}}\t${since}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}`,
  },
  containers: {
    ...containerLayout,
    table:
      "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
  },
  volumes: { ...volumeLayout, table: "{{.Name}}\t{{.Links}}\t{{.Size}}" },
  buildCache: {
    headings: {
      ID: "CACHE ID",
      Parent: "PARENT",
      CacheType: "CACHE TYPE",
      Size: "SIZE",
      CreatedSince: "CREATED",
      LastUsedSince: "LAST USED",
      UsageCount: "USAGE",
      Shared: "SHARED",
      InUse: "IN USE",
      Description: "DESCRIPTION",
    },
    table:
      "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
  },
} satisfies Record<string, ListLayout>;

const rawVerbose = `{{range .Images}}type: Image
${imageLayout.raw?.replace(/^tag: .*\n/m, "$&digest: {{.Digest}}\n")}
{{end -}}
{{range .Containers}}type: Container
${containerLayout.raw}size: {{.Size}}

{{end -}}
{{range .Volumes}}type: Volume
${volumeLayout.raw}
{{end -}}
{{range .BuildCache}}type: Build Cache
build_cache_id: {{.ID}}
parent_id: {{.Parent}}
build_cache_type: {{.CacheType}}
description: {{.Description}}
created_at: {{.CreatedAt}}
created_since: {{.CreatedSince}}
last_used_at: {{.LastUsedAt}}
last_used_since: {{.LastUsedSince}}
usage_count: {{.UsageCount}}
in_use: {{.InUse}}
shared: {{.Shared}}

{{end -}}`;

export const diskUsage: Command = {
  synopsis: "[OPTIONS]",
  summary: "Show disk usage",
  count: noArguments,
  examples: ["system df -v", "system df --format '{{.Type}}: {{.Reclaimable}}'"],
  define(flags) {
    const format = listFormatFlag(flags);
    const verbose = flags.bool("verbose", "Show detailed information on space usage", { short: "v" });
    return async ({ engine, io }) => {
      const usage = await (await engine()).system.diskUsage();
      await io.stdout.write(
        verbose.value
          ? describeVerbosely(usage, format.value, io.now())
          : formatRows(summaryLayout, format.value, false, summaryRows(usage)),
      );
      return 0;
    };
  },
};

function summaryRows(usage: DiskUsage): Row[] {
  return [imagesRow(usage), containersRow(usage), volumesRow(usage), buildCacheRow(usage)];
}

interface Summary {
  type: string;
  /** As Go calls what has these figures. */
  goName: string;
  total: number;
  active: number;
  /** Bytes. */
  size: number;
  reclaimable: number;
  /** Says the share of it that is reclaimable. */
  withShare: boolean;
}

function summaryRow({ type, goName, total, active, size, reclaimable, withShare }: Summary): Row {
  return new Row(`*formatter.diskUsage${goName}Context`, {
    Type: () => type,
    TotalCount: () => String(total),
    Active: () => String(active),
    Size: () => humanSize(size),
    Reclaimable: () =>
      withShare && size > 0
        ? `${humanSize(reclaimable)} (${Math.trunc((reclaimable * 100) / size)}%)`
        : humanSize(reclaimable),
  });
}

/** What an image shares with another cannot be got back by removing it alone. */
function imagesRow({ Images, LayersSize }: DiskUsage): Row {
  const used = Images.filter((image) => image.Containers !== 0)
    .filter((image) => image.Size !== -1 && image.SharedSize !== -1)
    .map((image) => image.Size - image.SharedSize);
  return summaryRow({
    type: "Images",
    goName: "Images",
    total: Images.length,
    active: Images.filter((image) => image.Containers > 0).length,
    size: LayersSize,
    reclaimable: LayersSize - sum(used),
    withShare: true,
  });
}

function containersRow({ Containers }: DiskUsage): Row {
  const isActive = ({ State }: ContainerSummary) => ["running", "paused", "restarting"].includes(State);
  const sizes = (containers: readonly ContainerSummary[]) => sum(containers.map(({ SizeRw = 0 }) => SizeRw));
  return summaryRow({
    type: "Containers",
    goName: "Containers",
    total: Containers.length,
    active: Containers.filter(isActive).length,
    size: sizes(Containers),
    reclaimable: sizes(Containers.filter((container) => !isActive(container))),
    withShare: true,
  });
}

function volumesRow({ Volumes }: DiskUsage): Row {
  const known = Volumes.flatMap(({ UsageData }) => (UsageData ? [UsageData] : []));
  const sizes = known.filter(({ Size }) => Size !== -1);
  return summaryRow({
    type: "Local Volumes",
    goName: "Volumes",
    total: Volumes.length,
    active: known.filter(({ RefCount }) => RefCount > 0).length,
    size: sum(sizes.map(({ Size }) => Size)),
    reclaimable: sum(sizes.filter(({ RefCount }) => RefCount === 0).map(({ Size }) => Size)),
    withShare: true,
  });
}

function buildCacheRow({ BuildCache }: DiskUsage): Row {
  const own = BuildCache.filter(({ Shared }) => !Shared);
  return summaryRow({
    type: "Build Cache",
    goName: "Builder",
    total: BuildCache.length,
    active: BuildCache.filter(({ InUse }) => InUse).length,
    size: sum(own.map(({ Size }) => Size)),
    reclaimable: sum(own.filter(({ InUse }) => !InUse).map(({ Size }) => Size)),
    withShare: false,
  });
}

function describeVerbosely(usage: DiskUsage, format: string, now: number): string {
  const isTable = format === "" || format === "table";
  const rows = verboseRows(usage, isTable, now);
  if (!isTable) return byTemplate(format, rows);
  const cacheSize = sum(usage.BuildCache.filter(({ Shared }) => !Shared).map(({ Size }) => Size));
  return [
    `Images space usage:\n\n${formatRows(tables.images, "table", false, rows.Images)}`,
    `Containers space usage:\n\n${formatRows(tables.containers, "table", false, rows.Containers)}`,
    `Local Volumes space usage:\n\n${formatRows(tables.volumes, "table", false, rows.Volumes)}`,
    `Build cache usage: ${humanSize(cacheSize)}\n\n${formatRows(tables.buildCache, "table", false, rows.BuildCache)}`,
  ].join("\n");
}

interface VerboseRows {
  Images: Row[];
  Containers: Row[];
  Volumes: Row[];
  BuildCache: Row[];
}

function verboseRows(usage: DiskUsage, truncate: boolean, now: number): VerboseRows {
  return {
    Images: usage.Images.map((image) => imageRow(image, firstName(image), { truncate, now })),
    Containers: usage.Containers.map(({ SizeRootFs: _, ...container }) =>
      containerRow(container, { truncate, now }),
    ),
    Volumes: usage.Volumes.map((volume: Volume) => volumeRow(volume)),
    BuildCache: usage.BuildCache.toSorted(byLastUse).map((record) => cacheRow(record, truncate, now)),
  };
}

function firstName({ RepoTags }: ImageSummary): { repository: string; tag: string; digest: string } {
  const name = RepoTags?.[0];
  if (name === undefined || name === "<none>:<none>") {
    return { repository: "<none>", tag: "<none>", digest: "" };
  }
  const colon = name.lastIndexOf(":");
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1), digest: "" };
}

/** What was never used first, then the longest unused. */
function byLastUse(a: BuildCacheRecord, b: BuildCacheRecord): number {
  const moment = ({ LastUsedAt }: BuildCacheRecord) => (LastUsedAt === null ? 0 : Date.parse(LastUsedAt));
  return moment(a) - moment(b);
}

function cacheRow(record: BuildCacheRecord, truncate: boolean, now: number): Row {
  const ago = (moment: string | null) =>
    moment === null ? "" : `${humanDuration(now - Date.parse(moment))} ago`;
  return new Row("*formatter.buildCacheContext", {
    ID: () => `${truncate ? shortId(record.ID) : record.ID}${record.InUse ? "*" : ""}`,
    Parent: () => {
      const parents = (record.Parents ?? []).join(", ");
      return truncate ? shortId(parents) : parents;
    },
    CacheType: () => record.Type,
    Description: () => record.Description,
    Size: () => humanSize(record.Size, 3),
    CreatedAt: () => goTimeOf(record.CreatedAt),
    CreatedSince: () => ago(record.CreatedAt),
    LastUsedAt: () => (record.LastUsedAt === null ? "" : goTimeOf(record.LastUsedAt)),
    LastUsedSince: () => ago(record.LastUsedAt),
    UsageCount: () => String(record.UsageCount),
    InUse: () => String(record.InUse),
    Shared: () => String(record.Shared),
  });
}

/** All of it as one object: `{{range .Images}}{{.ID}}{{end}}`. */
function byTemplate(format: string, rows: VerboseRows): string {
  const given = format.replace(/^table\s*/, "");
  const source = format === "json" ? "{{json .}}" : format === "raw" ? rawVerbose : given;
  try {
    return new Template(source).run(new VerboseUsage(rows));
  } catch (error) {
    if (error instanceof TemplateSyntaxError) {
      throw new CommandError(`template parsing error: ${error.message}`);
    }
    if (error instanceof TemplateExecutionError) throw new CommandError(error.message);
    throw error;
  }
}

class VerboseUsage extends GoObject {
  readonly typeName = "*formatter.diskUsageContext";
  override readonly escapesHtml = true;
  readonly #rows: VerboseRows;

  constructor(rows: VerboseRows) {
    super();
    this.#rows = rows;
  }

  override member(name: string): Value | typeof absent {
    const found = Object.entries(this.#rows).find(([key]) => key === name);
    return found === undefined ? absent : found[1];
  }

  override toJson(): unknown {
    return Object.fromEntries(
      Object.entries(this.#rows).map(([name, rows]) => [name, rows.map((row: Row) => row.toJson())]),
    );
  }

  override print(): string {
    return JSON.stringify(this.toJson());
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
