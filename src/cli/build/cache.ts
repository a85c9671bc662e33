/** `build-cache ls`, `builder prune`: what earlier builds have left for later ones. */
import { buildsOf, type PruneBuildCacheOptions } from "../../engine/build.ts";
import { type Command, CommandError, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { filterFlag } from "../filters.ts";
import { parseBytes, parseDuration } from "../flags/values.ts";
import { alignTabs } from "../format/tabs.ts";
import { humanDuration, humanSize } from "../format/units.ts";

export const listCache: Command = {
  synopsis: "[OPTIONS]",
  summary: "List what the build cache holds",
  count: noArguments,
  examples: ["build-cache ls"],
  define(flags) {
    const quiet = flags.bool("quiet", "Only show ids", { short: "q" });
    return async ({ engine, io }) => {
      const records = await buildsOf(await engine()).cache.list();
      if (quiet.value) {
        await io.stdout.write(records.map(({ id }) => `${id}\n`).join(""));
        return 0;
      }
      const rows = records.map(({ id, kind, size, usedAt, uses, description }) => [
        id,
        kind,
        humanSize(size),
        `${humanDuration(io.now() - usedAt)} ago`,
        String(uses),
        description.replaceAll("\t", " "),
      ]);
      const lines = [["CACHE ID", "TYPE", "SIZE", "LAST USED", "USES", "DESCRIPTION"], ...rows];
      await io.stdout.write(alignTabs(lines.map((cells) => `${cells.join("\t")}\n`).join("")));
      return 0;
    };
  },
};

export const pruneCache: Command = {
  synopsis: "[OPTIONS]",
  summary: "Remove build cache",
  count: noArguments,
  examples: ["builder prune", "builder prune -f --filter until=24h --keep-storage 10GB"],
  define(flags) {
    const all = flags.bool("all", "Remove all unused build cache, not just dangling ones", { short: "a" });
    const filters = filterFlag(flags, 'Provide filter values (e.g. "until=24h")', null);
    const force = flags.bool("force", "Do not prompt for confirmation", { short: "f" });
    const keep = flags.value("keep-storage", "Amount of disk space to keep for cache", {
      initial: 0,
      kind: "bytes",
      parse: parseBytes,
    });
    return async ({ engine, io }) => {
      const options: PruneBuildCacheOptions = {
        all: all.value,
        ...(keep.value > 0 ? { keepBytes: keep.value } : {}),
        ...unusedFor(filters.value),
      };
      const which = all.value ? "all build cache" : "all dangling build cache";
      if (!force.value && !(await confirm(io, `WARNING! This will remove ${which}.`))) return 0;
      const { removed, bytes } = await buildsOf(await engine()).cache.prune(options);
      const list = removed.length === 0 ? "" : `Deleted build cache objects:\n${removed.join("\n")}\n\n`;
      await io.stdout.write(`${list}Total reclaimed space: ${humanSize(bytes)}\n`);
      return 0;
    };
  },
};

function unusedFor(filters: Record<string, string[]>): { unusedFor?: number } {
  for (const name of Object.keys(filters)) {
    if (!["until", "unused-for"].includes(name)) throw new CommandError(`invalid filter '${name}'`);
  }
  const [text] = [...(filters.until ?? []), ...(filters["unused-for"] ?? [])];
  return text === undefined ? {} : { unusedFor: parseDuration(text) / 1_000_000 };
}
