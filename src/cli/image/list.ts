import { shortId } from "../../core/ids.ts";
import type { ImageSummary } from "../../core/objects.ts";
import type { Command } from "../command.ts";
import { filterFlag } from "../filters.ts";
import { listFormatFlag } from "../format/flag.ts";
import { formatRows, type ListLayout, Row } from "../format/rows.ts";
import { goTime, humanDuration, humanSize } from "../format/units.ts";

const since = "{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}";

const layout: ListLayout = {
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
  table: `{{.Repository}}\t{{.Tag}}\t{{.ID}}\t${since}\t{{.Size}}`,
  quiet: "{{.ID}}",
  rawQuiet: "image_id: {{.ID}}",
  raw: `repository: {{ .Repository }}
tag: {{.Tag}}
image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}
`,
};

const layoutWithDigests: ListLayout = {
  ...layout,
  table: `{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t${since}\t{{.Size}}`,
};

export const list: Command = {
  synopsis: "[OPTIONS] [REPOSITORY[:TAG]]",
  summary: "List images",
  count: { least: 0, most: 1 },
  examples: ["images --filter dangling=true -q", "images --format '{{.Repository}}:{{.Tag}} {{.Size}}'"],
  define(flags) {
    const all = flags.bool("all", "Show all images (default hides intermediate images)", { short: "a" });
    const digests = flags.bool("digests", "Show digests");
    const filters = filterFlag(flags, "Filter output based on conditions provided");
    const format = listFormatFlag(flags);
    const noTruncation = flags.bool("no-trunc", "Don't truncate output");
    const quiet = flags.bool("quiet", "Only show image IDs", { short: "q" });
    flags.bool("tree", "List multi-platform images as a tree (EXPERIMENTAL)", { unsupported: true });
    return async ({ args: [pattern], engine, io }) => {
      const wanted = { ...filters.value };
      if (pattern !== undefined) wanted.reference = [...(wanted.reference ?? []), pattern];
      const images = await (await engine()).images.list({
        all: all.value,
        filters: wanted,
        digests: digests.value,
      });
      const showDigests = digests.value || format.value.includes("{{.Digest}}");
      const rows = images.flatMap((image) =>
        namesOf(image, showDigests).map((name) =>
          imageRow(image, name, { truncate: !noTruncation.value, now: io.now() }),
        ),
      );
      const chosen = digests.value ? layoutWithDigests : layout;
      await io.stdout.write(formatRows(chosen, format.value, quiet.value, rows));
      return 0;
    };
  },
};

interface ImageName {
  repository: string;
  tag: string;
  digest: string;
}

const none = "<none>";

/** A row for each name that the image has; with digests a row for each of those, too. */
function namesOf(image: ImageSummary, showDigests: boolean): ImageName[] {
  const tags = (image.RepoTags ?? []).filter((tag) => tag !== "<none>:<none>");
  const digests = (image.RepoDigests ?? []).filter((digest) => digest !== "<none>@<none>");
  if (tags.length === 0 && digests.length === 0) return [{ repository: none, tag: none, digest: none }];
  const names: ImageName[] = [];
  const digestsOf = (repository: string) =>
    digests
      .filter((digest) => digest.startsWith(`${repository}@`))
      .map((digest) => digest.slice(repository.length + 1));
  const tagged = new Set<string>();
  for (const reference of tags) {
    const colon = reference.lastIndexOf(":");
    const repository = reference.slice(0, colon);
    tagged.add(repository);
    const known = showDigests ? digestsOf(repository) : [];
    for (const digest of known.length === 0 ? [none] : known) {
      names.push({ repository, tag: reference.slice(colon + 1), digest });
    }
  }
  const untagged = new Set(
    digests.map((digest) => digest.split("@", 1)[0] ?? "").filter((name) => !tagged.has(name)),
  );
  for (const repository of untagged) {
    for (const digest of showDigests ? digestsOf(repository) : [none])
      names.push({ repository, tag: none, digest });
  }
  return names;
}

function imageRow(image: ImageSummary, name: ImageName, options: { truncate: boolean; now: number }): Row {
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
