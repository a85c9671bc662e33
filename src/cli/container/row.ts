/** A container as a row of `ps`. */
import { shortId } from "../../core/ids.ts";
import type { ContainerSummary, PortSummary } from "../../core/objects.ts";
import { quote } from "../../core/strconv.ts";
import { type ListLayout, Row } from "../format/rows.ts";
import { ellipsis, goTime, humanDuration, humanSize } from "../format/units.ts";

export const containerLayout: ListLayout = {
  headings: {
    ID: "CONTAINER ID",
    Names: "NAMES",
    Image: "IMAGE",
    Command: "COMMAND",
    CreatedAt: "CREATED AT",
    RunningFor: "CREATED",
    Ports: "PORTS",
    State: "STATE",
    Status: "STATUS",
    Size: "SIZE",
    Labels: "LABELS",
    Mounts: "MOUNTS",
    LocalVolumes: "LOCAL VOLUMES",
    Networks: "NETWORKS",
    Platform: "PLATFORM",
  },
  table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
  quiet: "{{.ID}}",
  rawQuiet: "container_id: {{.ID}}",
  raw: `container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
`,
};

export interface RowOptions {
  truncate: boolean;
  /** Milliseconds since 1970. */
  now: number;
  /** Called when the template reads `.Size`. */
  onSize?: () => void;
}

export function containerRow(container: ContainerSummary, options: RowOptions): Row {
  const { truncate, now, onSize } = options;
  return new Row(
    "*formatter.ContainerContext",
    {
      ID: () => (truncate ? shortId(container.Id) : container.Id),
      Names: () => namesOf(container, truncate).join(","),
      Image: () => imageOf(container, truncate),
      Command: () => quote(truncate ? ellipsis(container.Command, 20) : container.Command),
      CreatedAt: () => goTime(container.Created),
      RunningFor: () => `${humanDuration(now - container.Created * 1000)} ago`,
      Ports: () => describePorts(container.Ports),
      State: () => container.State,
      Status: () => container.Status,
      Size: () => {
        onSize?.();
        return sizeOf(container);
      },
      Labels: () => joinLabels(container.Labels),
      Mounts: () =>
        (container.Mounts ?? [])
          .map((mount) => mount.Name || mount.Source)
          .map((name) => (truncate ? ellipsis(name, 15) : name))
          .join(","),
      LocalVolumes: () => String((container.Mounts ?? []).filter((mount) => mount.Driver === "local").length),
      Networks: () => Object.keys(container.NetworkSettings?.Networks ?? {}).join(","),
      Platform: () => null,
    },
    { Label: (name) => container.Labels?.[name] ?? "" },
  );
}

/** Labels as `a=b,c=d`, by name. */
export function joinLabels(labels: Record<string, string> | null | undefined): string {
  return Object.entries(labels ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(",");
}

/** Without their slashes; the names that others linked it by only when nothing is cut short. */
function namesOf(container: ContainerSummary, truncate: boolean): string[] {
  const names = (container.Names ?? []).map((name) => name.replace(/^\//, ""));
  return truncate ? names.filter((name) => !name.includes("/")) : names;
}

function imageOf(container: ContainerSummary, truncate: boolean): string {
  const { Image, ImageID } = container;
  if (Image === "") return "<no image>";
  if (!truncate) return Image;
  const id = shortId(ImageID ?? "");
  if (id !== "" && id === shortId(Image)) return id;
  return Image.replace(/@sha256:[0-9a-f]{64}$/, "");
}

function sizeOf({ SizeRw = 0, SizeRootFs = 0 }: ContainerSummary): string {
  const written = humanSize(SizeRw, 3);
  return SizeRootFs > 0 ? `${written} (virtual ${humanSize(SizeRootFs, 3)})` : written;
}

interface PortGroup {
  first: number;
  last: number;
}

/** `0.0.0.0:80->80/tcp, 9000-9002/udp`: neighbours that map to themselves are shown as ranges. */
export function describePorts(ports: readonly PortSummary[] | null): string {
  const groups = new Map<string, PortGroup>();
  const shown: string[] = [];
  const mapped: string[] = [];
  for (const port of [...(ports ?? [])].sort(comparePorts)) {
    const { PrivatePort: inside, PublicPort: outside, IP: address = "", Type: protocol } = port;
    if (address !== "" && outside !== inside) {
      mapped.push(`${hostAndPort(address, String(outside))}->${inside}/${protocol}`);
      continue;
    }
    const key = address === "" ? protocol : `${address}/${protocol}`;
    const group = groups.get(key);
    if (group !== undefined && inside === group.last + 1) {
      group.last = inside;
      continue;
    }
    if (group !== undefined) shown.push(describeGroup(key, group));
    groups.set(key, { first: inside, last: inside });
  }
  for (const [key, group] of groups) shown.push(describeGroup(key, group));
  return [...shown, ...mapped].join(", ");
}

function describeGroup(key: string, { first, last }: PortGroup): string {
  const slash = key.lastIndexOf("/");
  const range = first === last ? String(first) : `${first}-${last}`;
  if (slash < 0) return `${range}/${key}`;
  return `${hostAndPort(key.slice(0, slash), range)}->${range}/${key.slice(slash + 1)}`;
}

/** `127.0.0.1:80`, `[::1]:80` */
export function hostAndPort(address: string, port: string): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function comparePorts(a: PortSummary, b: PortSummary): number {
  return (
    a.PrivatePort - b.PrivatePort ||
    compareText(a.IP ?? "", b.IP ?? "") ||
    (a.PublicPort ?? 0) - (b.PublicPort ?? 0) ||
    compareText(a.Type, b.Type)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
