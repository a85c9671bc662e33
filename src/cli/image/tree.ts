/** `images --tree`: each name with its platforms, in docker's layout. */
import { shortId } from "../../core/ids.ts";
import type { ImageManifestSummary, ImageSummary } from "../../core/objects.ts";
import { formatPlatform } from "../../engine/platforms.ts";
import { humanSize } from "../format/units.ts";

export interface TreeOptions {
  /** Of the terminal; `undefined` where there is none. */
  columns: number | undefined;
  colours: boolean;
  /** Those without a name, too. */
  untagged: boolean;
}

const usualColumns = 80;
const fewestColumns = 20;
/** A first column narrower than this gives way to none of the others. */
const narrowestName = 12;
const gap = "   ";

const warning =
  "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";

type Style = "warning" | "heading" | "name" | "plain" | "faint" | "mark" | "info";

const codes: Record<Style, string> = {
  warning: "\x1b[93m",
  heading: "\x1b[39m\x1b[1m",
  name: "\x1b[34m\x1b[1m",
  plain: "\x1b[39m",
  faint: "\x1b[39m\x1b[2m",
  mark: "\x1b[38;5;0m\x1b[48;5;14m",
  info: "\x1b[96m",
};

interface Details {
  id: string;
  usage: string;
  content: string;
  inUse: boolean;
}

interface Column {
  title: string;
  width: number;
  align: "left" | "right";
  cell: (details: Details) => string;
}

const detailColumns: readonly Column[] = [
  { title: "ID", width: 12, align: "left", cell: ({ id }) => shortId(id) },
  { title: "DISK USAGE", width: 10, align: "right", cell: ({ usage }) => usage },
  { title: "CONTENT SIZE", width: 12, align: "right", cell: ({ content }) => content },
  { title: "EXTRA", width: 5, align: "left", cell: ({ inUse }) => (inUse ? mark : "") },
];
const mark = "U";

/** The whole text of the tree. */
export function imageTree(images: readonly ImageSummary[], options: TreeOptions): string {
  const paint = painter(options.colours);
  const columns = Math.max(fewestColumns, options.columns || usualColumns);
  const entries = images
    .map(entryOf)
    .filter(({ names }) => options.untagged || names.length > 0)
    .toSorted((a, b) => b.created - a.created);
  const layout = chooseColumns(columns, entries);
  return [
    `${paint("warning", warning)}\n`,
    `${legend(options.columns || usualColumns, options.colours, paint)}\n\n`,
    `${headings(layout, paint)}\n`,
    ...entries.map((entry) => `${describeEntry(entry, layout, paint)}\n`),
  ].join("");
}

interface Entry {
  names: string[];
  details: Details;
  children: Child[];
  created: number;
}

interface Child {
  platform: string;
  available: boolean;
  details: Details;
}

function entryOf(image: ImageSummary): Entry {
  const manifests = image.Manifests ?? [];
  const children = manifests.flatMap(childOf);
  // Of attestations, too: they are stored with the image.
  const content = manifests.map(({ Size }) => Size.Content);
  return {
    names: image.RepoTags,
    details: {
      id: image.Id,
      usage: humanSize(image.Size, 3),
      content: humanSize(
        content.reduce((total, size) => total + size, 0),
        3,
      ),
      inUse: image.Containers > 0 || children.some(({ details }) => details.inUse),
    },
    children,
    created: image.Created,
  };
}

/** Attestations and what is unknown are no platforms. */
function childOf({ ID, Kind, Available, Size, ImageData }: ImageManifestSummary): Child[] {
  if (Kind !== "image" || ImageData === undefined) return [];
  return [
    {
      platform: formatPlatform(ImageData.Platform),
      available: Available,
      details: {
        id: ID,
        usage: humanSize(Size.Total, 3),
        content: humanSize(Size.Content, 3),
        inUse: (ImageData.Containers ?? []).length > 0,
      },
    },
  ];
}

interface Layout {
  nameWidth: number;
  columns: readonly Column[];
}

/** Columns from the left as long as the names keep room, and the names no wider than they are. */
function chooseColumns(total: number, entries: readonly Entry[]): Layout {
  let nameWidth = total;
  let count = 0;
  for (const { width } of detailColumns) {
    const needed = width + gap.length;
    if (nameWidth - needed < narrowestName) break;
    nameWidth -= needed;
    count += 1;
  }
  const widest = Math.max(
    "Image".length,
    ...entries.flatMap(({ names }) => names.map((name) => name.length)),
    // Docker counts the branch by its bytes.
    ...entries.flatMap(({ children }) => children.map(({ platform }) => platform.length + 7)),
  );
  return { nameWidth: Math.min(nameWidth, widest), columns: detailColumns.slice(0, count) };
}

type Paint = (style: Style, text: string) => string;

function painter(colours: boolean): Paint {
  return (style, text) => {
    if (!colours) return text;
    return `${codes[style]}${style === "mark" ? ` ${text} ` : text}\x1b[0m`;
  };
}

/** What the marks mean, at the right edge. */
function legend(columns: number, colours: boolean, paint: Paint): string {
  const arrow = colours
    ? "\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m"
    : " Info -> ";
  const shown = `${arrow} ${paint("mark", mark)} In Use `;
  return " ".repeat(Math.max(0, columns - Bun.stringWidth(shown))) + shown;
}

function headings({ nameWidth, columns }: Layout, paint: Paint): string {
  const cells = columns.map((column) => gap + cell(column, column.title, "heading", paint));
  return paddedName("IMAGE", nameWidth, "heading", paint) + cells.join("");
}

function describeEntry(entry: Entry, layout: Layout, paint: Paint): string {
  const names = entry.names.length === 0 ? ["<untagged>"] : entry.names;
  const named = names.map((name, at) => {
    const isLast = at === names.length - 1;
    if (!isLast) return `${paint("name", clip(name, layout.nameWidth))}\n`;
    return line(paddedName(name, layout.nameWidth, "name", paint), entry.details, layout, "plain", paint);
  });
  const children = entry.children.map((child, at) => {
    const branch = at === entry.children.length - 1 ? "└─ " : "├─ ";
    const style = child.available ? "plain" : "faint";
    const name = paddedName(branch + child.platform, layout.nameWidth, style, paint);
    return line(name, child.details, layout, style, paint);
  });
  return [...named, ...children].join("");
}

function line(name: string, details: Details, { columns }: Layout, style: Style, paint: Paint): string {
  const cells = columns.map((column) => gap + cell(column, column.cell(details), style, paint));
  return `${name}${cells.join("")}\n`;
}

function cell({ width, align }: Column, text: string, style: Style, paint: Paint): string {
  const painted = text === "" ? "" : paint(text === mark ? "mark" : style, clip(text, width));
  const room = " ".repeat(Math.max(0, width - Bun.stringWidth(painted)));
  return align === "right" ? room + painted : painted + room;
}

function paddedName(name: string, width: number, style: Style, paint: Paint): string {
  const shown = clip(name, width);
  return paint(style, shown) + " ".repeat(width - [...shown].length);
}

function clip(text: string, width: number): string {
  const letters = [...text];
  return letters.length <= width ? text : `${letters.slice(0, width - 1).join("")}…`;
}
