import { shortId } from "../../core/ids.ts";
import type { ImageSummary } from "../../core/objects.ts";
import { canonicalForm } from "../../engine/references.ts";
import type { Command } from "../command.ts";
import { filterFlag } from "../filters.ts";
import { formatRows, Row } from "../format/rows.ts";
import { humanDuration, humanSize } from "../format/units.ts";
import { namedReference } from "../options/references.ts";
import { asBuildah } from "./failures.ts";
import { accepted } from "./flags.ts";

const headings = {
  ID: "IMAGE ID",
  Name: "REPOSITORY",
  Tag: "TAG",
  Digest: "DIGEST",
  CreatedAt: "CREATED",
  CreatedAtRaw: "CREATED AT",
  Size: "SIZE",
  ReadOnly: "R/O",
};

export const images: Command = {
  synopsis: "[OPTIONS] [NAME]",
  summary: "List images in local storage",
  count: { least: 0, most: 1 },
  examples: ["buildah images", "buildah images --format '{{.ID}} {{.Name}}:{{.Tag}}'"],
  define(flags) {
    const all = flags.bool("all", "Show all images, including intermediate images from a build", {
      short: "a",
    });
    const digests = flags.bool("digests", "Show digests");
    const filters = filterFlag(flags, "Filter output based on conditions provided");
    const format = flags.string("format", "Pretty-print images using a Go template");
    const json = flags.bool("json", "Output in JSON format");
    const noHeading = flags.bool("noheading", "Do not print column headings", { short: "n" });
    const noTruncation = flags.bool("no-trunc", "Do not truncate output");
    const quiet = flags.bool("quiet", "Display only image IDs", { short: "q" });
    accepted(flags, { bools: ["history"] });
    return asBuildah(async ({ args: [name], io, engine }) => {
      const wanted = { ...filters.value };
      if (name !== undefined) wanted.reference = [...(wanted.reference ?? []), name];
      const { images: local } = await engine();
      const found = await local.list({ all: all.value, filters: wanted, digests: true });
      if (json.value) {
        await io.stdout.write(
          `${JSON.stringify(
            found.map((image) => asJson(image, io.now())),
            null,
            4,
          )}\n`,
        );
        return 0;
      }
      const cut = (id: string) => (noTruncation.value ? id : shortId(id));
      if (quiet.value) {
        await io.stdout.write(found.map(({ Id }) => `${cut(Id)}\n`).join(""));
        return 0;
      }
      const rows = found.flatMap((image) =>
        namesOf(image).map((each) => row(image, each, { cut, now: io.now() })),
      );
      const digest = digests.value ? "\t{{.Digest}}" : "";
      const layout = {
        headings,
        table: `{{.Name}}\t{{.Tag}}${digest}\t{{.ID}}\t{{.CreatedAt}}\t{{.Size}}`,
      };
      const text = formatRows(layout, format.value, false, rows);
      const hasHeading = format.value === "" || format.value.startsWith("table");
      await io.stdout.write(noHeading.value && hasHeading ? text.replace(/^.*\n/, "") : text);
      return 0;
    });
  },
};

interface Name {
  readonly repository: string;
  readonly tag: string;
}

/** In full, as Buildah shows them. */
function namesOf({ RepoTags }: ImageSummary): Name[] {
  const tags = (RepoTags ?? []).filter((tag) => tag !== "<none>:<none>");
  if (tags.length === 0) return [{ repository: "<none>", tag: "<none>" }];
  return tags.map((text) => {
    const full = canonicalForm(namedReference(text));
    const colon = full.lastIndexOf(":");
    return { repository: full.slice(0, colon), tag: full.slice(colon + 1) };
  });
}

function digestOf({ RepoDigests, Id }: ImageSummary): string {
  const [first] = (RepoDigests ?? []).filter((text) => text !== "<none>@<none>");
  return first?.split("@").at(-1) ?? Id;
}

function row(
  image: ImageSummary,
  name: Name,
  { cut, now }: { cut: (id: string) => string; now: number },
): Row {
  return new Row("main.imageOutputParams", {
    ID: () => cut(image.Id),
    Name: () => name.repository,
    Tag: () => name.tag,
    Digest: () => digestOf(image),
    CreatedAt: () => ago(image, now),
    CreatedAtRaw: () => new Date(image.Created * 1000).toISOString(),
    Size: () => sizeOf(image),
    ReadOnly: () => "",
  });
}

/** `1.99 MB`. */
function sizeOf({ Size }: ImageSummary): string {
  return humanSize(Size, 3).replace(/([A-Za-z]+)$/, " $1");
}

function ago({ Created }: ImageSummary, now: number): string {
  return `${humanDuration(now - Created * 1000)} ago`;
}

function asJson(image: ImageSummary, now: number): object {
  return {
    id: shortId(image.Id),
    names: namesOf(image).map(({ repository, tag }) => `${repository}:${tag}`),
    digest: digestOf(image),
    createdat: ago(image, now),
    size: sizeOf(image),
    created: image.Created,
    createdatraw: new Date(image.Created * 1000).toISOString(),
    readonly: false,
    history: null,
  };
}
