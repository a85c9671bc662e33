import { type WorkingSummary, workingContainersOf } from "../../engine/working.ts";
import type { Command } from "../command.ts";
import { formatRows, isTable, Row } from "../format/rows.ts";
import { asBuildah, failure } from "./failures.ts";
import { accepted } from "./flags.ts";

const short = 12;

export const containers: Command = {
  synopsis: "[OPTIONS]",
  summary: "List working containers and their base images",
  count: { least: 0 },
  examples: ['containers --format "{{.ContainerID}} {{.ContainerName}}"', "containers --quiet --notruncate"],
  define(flags) {
    accepted(flags, { bools: ["storage"] });
    flags.bool(
      "all",
      "List all containers: also those of buildah on other machines, of which there are none",
      {
        short: "a",
        hidden: true,
      },
    );
    const filter = flags.list("filter", "Filter output: ancestor=…, id=…, name=…", { short: "f" });
    const format = flags.string("format", "Pretty-print containers using a Go template");
    const json = flags.bool("json", "Output in JSON format");
    const noHeading = flags.bool("noheading", "Do not print column headings", { short: "n" });
    const noTruncation = flags.bool("notruncate", "Do not truncate output");
    const quiet = flags.bool("quiet", "Display only container IDs", { short: "q" });
    return asBuildah(async ({ args, io, engine }) => {
      if (args.length > 0) throw failure("'buildah containers' does not accept arguments");
      const isMeant = filterOf(filter.value);
      const working = workingContainersOf(await engine());
      const found = (await working.list()).filter(isMeant);
      if (json.value) {
        await io.stdout.write(`${JSON.stringify(found.map(asJson), null, 4)}\n`);
        return 0;
      }
      if (quiet.value) {
        await io.stdout.write(found.map(({ id }) => `${id}\n`).join(""));
        return 0;
      }
      if (format.value !== "") {
        await io.stdout.write(formatted(format.value, found, noTruncation.value));
        return 0;
      }
      await io.stdout.write(table(found, { heading: !noHeading.value, isWhole: noTruncation.value }));
      return 0;
    });
  },
};

function asJson({ id, imageId, imageName, name }: WorkingSummary): object {
  return { id, builder: true, imageid: imageId, imagename: imageName, containername: name };
}

/** As Buildah lays it out: columns of a width that is known before. */
function table(
  found: readonly WorkingSummary[],
  { heading, isWhole }: { heading: boolean; isWhole: boolean },
): string {
  const width = isWhole ? 64 : short;
  const line = (id: string, builder: string, imageId: string, image: string, name: string) =>
    `${id.padEnd(width)}  ${builder.padEnd(7)}  ${imageId.padEnd(width)} ${image.padEnd(32)} ${name}\n`;
  const lines = found.map(({ id, imageId, imageName, name }) =>
    line(id.slice(0, width), "   *", imageId.slice(0, width), imageName, name),
  );
  const top = heading ? [line("CONTAINER ID", "BUILDER", "IMAGE ID", "IMAGE NAME", "CONTAINER NAME")] : [];
  return [...top, ...lines].join("");
}

const headings = {
  ContainerID: "CONTAINER ID",
  Builder: "BUILDER",
  ImageID: "IMAGE ID",
  ImageName: "IMAGE NAME",
  ContainerName: "CONTAINER NAME",
};

function formatted(format: string, found: readonly WorkingSummary[], isWhole: boolean): string {
  const cut = (id: string) => (isWhole ? id : id.slice(0, short));
  const rows = found.map(
    ({ id, imageId, imageName, name }) =>
      new Row("main.containerOutputParams", {
        ContainerID: () => cut(id),
        Builder: () => "   *",
        ImageID: () => cut(imageId),
        ImageName: () => imageName,
        ContainerName: () => name,
      }),
  );
  const layout = {
    headings,
    table: Object.keys(headings)
      .map((field) => `{{.${field}}}`)
      .join("\t"),
  };
  // Here `json` and the like are words like any other.
  const isTemplate = format.includes("{{") || isTable(format);
  return isTemplate ? formatRows(layout, format, false, rows) : found.map(() => `${format}\n`).join("");
}

/** @throws CommandError in Buildah's words */
function filterOf(filters: readonly string[]): (container: WorkingSummary) => boolean {
  const conditions = filters.map((text) => {
    const equals = text.indexOf("=");
    const [name, value] = equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
    switch (name) {
      case "name":
        return (container: WorkingSummary) => container.name.includes(value);
      case "id":
        return (container: WorkingSummary) => container.id.startsWith(value);
      case "ancestor":
        return ({ imageId, imageName }: WorkingSummary) =>
          imageId.startsWith(value) || isNamed(imageName, value);
      default:
        throw failure(`parsing filter: invalid filter ${JSON.stringify(name)}`);
    }
  });
  return (container) => conditions.every((holds) => holds(container));
}

/** `busybox` is `docker.io/library/busybox:latest`, and so is `library/busybox`. */
function isNamed(image: string, word: string): boolean {
  if (word === "") return false;
  const tag = /:[^/]+$/.test(word) ? word : `${word}:latest`;
  return image === tag || image.endsWith(`/${tag}`);
}
