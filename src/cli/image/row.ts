/** An image as a row of `images`. */
import { shortId } from "../../core/ids.ts";
import type { ImageSummary } from "../../core/objects.ts";
import { type ListLayout, Row } from "../format/rows.ts";
import { goTime, humanDuration, humanSize } from "../format/units.ts";

export const createdSince = "{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}";

export const imageLayout: ListLayout = {
  headings: {
    ID: "IMAGE ID",
    Repository: "REPOSITORY",
    Tag: "TAG",
    Digest: "DIGEST",
    CreatedSince: "CREATED",
    CreatedAt: "CREATED AT",
    Size: "SIZE",
    Containers: "CONTAINERS",
    VirtualSize: "SIZE",
    SharedSize: "SHARED SIZE",
    UniqueSize: "UNIQUE SIZE",
  },
  table: `{{.Repository}}\t{{.Tag}}\t{{.ID}}\t${createdSince}\t{{.Size}}`,
  quiet: "{{.ID}}",
  rawQuiet: "image_id: {{.ID}}",
  raw: `repository: {{ .Repository }}
tag: {{.Tag}}
image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}
`,
};

export interface ImageName {
  repository: string;
  tag: string;
  digest: string;
}

export function imageRow(
  image: ImageSummary,
  name: ImageName,
  options: { truncate: boolean; now: number },
): Row {
  const unlessUnknown = (value: number | undefined, text: (known: number) => string) =>
    value === undefined || value < 0 ? "N/A" : text(value);
  const shared = image.SharedSize;
  return new Row("*formatter.imageContext", {
    ID: () => (options.truncate ? shortId(image.Id) : image.Id),
    Repository: () => name.repository,
    Tag: () => name.tag,
    Digest: () => name.digest,
    CreatedSince: () => `${humanDuration(options.now - image.Created * 1000)} ago`,
    CreatedAt: () => goTime(image.Created),
    Size: () => humanSize(image.Size, 3),
    Containers: () => unlessUnknown(image.Containers, String),
    VirtualSize: () => humanSize(image.Size),
    SharedSize: () => unlessUnknown(shared, (size) => humanSize(size)),
    UniqueSize: () => unlessUnknown(shared, (size) => humanSize(image.Size - size)),
  });
}
