import type { RegistrySearchItem } from "../../core/objects.ts";
import { authOfRegistry } from "../account/credentials.ts";
import { type Command, exactly } from "../command.ts";
import { filterFlag } from "../filters.ts";
import { formatRows, type ListLayout, Row } from "../format/rows.ts";
import { ellipsis } from "../format/units.ts";

const layout: ListLayout = {
  headings: { Name: "NAME", Description: "DESCRIPTION", StarCount: "STARS", IsOfficial: "OFFICIAL" },
  table: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
};

export const search: Command = {
  synopsis: "[OPTIONS] TERM",
  summary: "Search Docker Hub for images",
  count: exactly(1),
  examples: ["search --filter stars=100 nginx", "search registry.example.com/tools"],
  define(flags) {
    const filters = filterFlag(flags, "Filter output based on conditions provided");
    const format = flags.string("format", "Pretty-print search using a Go template");
    const limit = flags.int("limit", "Max number of search results");
    const noTruncation = flags.bool("no-trunc", "Don't truncate output");
    return async (invocation) => {
      const { args, engine, io } = invocation;
      const term = args[0] ?? "";
      const { images } = await engine();
      const found = await images.search(term, {
        limit: limit.value,
        filters: filters.value,
        ...(await authOfRegistry(invocation, registryOf(term))),
      });
      // In the order of the registry: its best match first.
      const rows = found.map((item) => new SearchRow(item, !noTruncation.value));
      await io.stdout.write(formatRows(layout, format.value, false, rows));
      return 0;
    };
  },
};

/** A term may begin with a registry's host. */
function registryOf(term: string): string {
  const [first = "", ...rest] = term.split("/");
  return rest.length > 0 && (/[.:]/.test(first) || first === "localhost") ? first : "docker.io";
}

/** JSON says `true` where people are shown a mark. */
class SearchRow extends Row {
  readonly #isOfficial: boolean;

  constructor(item: RegistrySearchItem, truncate: boolean) {
    super("*registry.searchContext", {
      Name: () => item.name,
      Description: () => {
        const line = (item.description ?? "").replace(/[\n\r]/g, " ");
        return truncate ? ellipsis(line, 45) : line;
      },
      StarCount: () => String(item.star_count),
      IsOfficial: () => (item.is_official ? "[OK]" : ""),
    });
    this.#isOfficial = item.is_official;
  }

  override toJson(): unknown {
    return Object.assign({}, super.toJson(), { IsOfficial: String(this.#isOfficial) });
  }
}
