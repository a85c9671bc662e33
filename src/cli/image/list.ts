import type { ImageSummary } from "../../core/objects.ts";
import type { Engine, Filters } from "../../engine/engine.ts";
import { type Command, CommandError } from "../command.ts";
import { filterFlag } from "../filters.ts";
import { listFormatFlag } from "../format/flag.ts";
import { formatRows, type ListLayout } from "../format/rows.ts";
import type { Io } from "../io.ts";
import { createdSince, type ImageName, imageLayout, imageRow } from "./row.ts";

const layoutWithDigests: ListLayout = {
  ...imageLayout,
  table: `{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t${createdSince}\t{{.Size}}`,
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
    const tree = flags.bool("tree", "List multi-platform images as a tree (EXPERIMENTAL)");
    return async ({ args: [pattern], engine, io }) => {
      const wanted = { ...filters.value };
      if (pattern !== undefined) wanted.reference = [...(wanted.reference ?? []), pattern];
      if (tree.value) {
        refuseBesideTree({
          quiet: quiet.value,
          "no-trunc": noTruncation.value,
          "show-digest": digests.value,
          format: format.value !== "",
        });
        await io.stdout.write(await treeOf(await engine(), io, { all: all.value, filters: wanted }));
        return 0;
      }
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
      const chosen = digests.value ? layoutWithDigests : imageLayout;
      await io.stdout.write(formatRows(chosen, format.value, quiet.value, rows));
      return 0;
    };
  },
};

/** @throws CommandError in Docker's words, flag names included */
function refuseBesideTree(flags: Record<string, boolean>): void {
  const given = Object.entries(flags).find(([, isGiven]) => isGiven);
  if (given !== undefined) throw new CommandError(`--${given[0]} is not yet supported with --tree`);
}

async function treeOf(engine: Engine, io: Io, options: { all: boolean; filters: Filters }): Promise<string> {
  const images = await engine.images.list({ ...options, manifests: true });
  const { imageTree } = await import("./tree.ts");
  return imageTree(images, {
    columns: io.stdout.size()?.width,
    colours: io.stdout.isTerminal && !io.env.NO_COLOR,
    untagged: options.all,
  });
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
